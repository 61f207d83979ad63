"""Means over what falls together, and `index_reduce`, in operations that torch's exporter has a translation for.

It writes scatter_reduce with reduce "mean" as a scatter in which the last value wins, without a word, and has nothing
for index_reduce. Graph networks average over neighbours by either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def as_sums() -> Iterator[None]:
    """Let means be sums by counts while an export traces them, and index_reduce a scatter_reduce."""
    with _Sums():
        yield


class _Sums(TorchFunctionMode):
    """Calls ours in the place of torch's."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        out = given.pop("out", None) if func in OURS else None
        ours = OURS.get(func) if out is None else None
        return func(*args, **(kwargs or {})) if ours is None else ours(*args, **given)


def scatter_reduce(
    input: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, reduce: str, *, include_self: bool = True
) -> torch.Tensor:
    """Return what torch.scatter_reduce does."""
    if reduce != "mean":
        return torch.scatter_reduce(input, dim, index, src, reduce, include_self=include_self)
    nothing = torch.zeros_like(input)
    total = nothing.scatter_add(dim, index, src)
    count = nothing.scatter_add(dim, index, torch.ones_like(index, dtype=input.dtype))
    if include_self:
        return _divided(total + input, count + 1)
    return torch.where(count > 0, _divided(total, count.clamp(min=1)), input)


def index_reduce(
    input: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, reduce: str, *, include_self: bool = True
) -> torch.Tensor:
    """Return what torch.index_reduce does."""
    shape = [1] * source.dim()
    shape[dim] = -1
    places = index.reshape(shape).expand_as(source)
    return scatter_reduce(input, dim, places, source, reduce, include_self=include_self)


def _divided(total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    return total / count if total.is_floating_point() else torch.div(total, count, rounding_mode="floor")


def _in_place(ours: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def write(input: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return input.copy_(ours(input, *args, **kwargs))

    return write


OURS: Mapping[Any, Callable[..., torch.Tensor]] = MappingProxyType(
    {
        torch.scatter_reduce: scatter_reduce,
        torch.Tensor.scatter_reduce: scatter_reduce,
        torch.Tensor.scatter_reduce_: _in_place(scatter_reduce),
        torch.index_reduce: index_reduce,
        torch.Tensor.index_reduce: index_reduce,
        torch.Tensor.index_reduce_: _in_place(index_reduce),
    }
)
"""What is called in the place of torch's."""
