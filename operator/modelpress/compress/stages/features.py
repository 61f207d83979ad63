"""Outputs of layers inside a student, compared with those of layers inside its teacher (Romero et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from modelpress.api.reasons import Reason
from modelpress.api.stages import FeaturePair

from ..errors import Judged
from ..signature import describe
from .naming import select
from .padding import kept, words


class Features:
    """Watches pairs of layers. Call `loss` after the student and the teacher have run on the same inputs."""

    def __init__(self, student: nn.Module, teacher: nn.Module, pairs: Sequence[FeaturePair]) -> None:
        self.pairs = [(pair.layer, pair.teacher or pair.layer) for pair in pairs]
        self.seen: dict[tuple[str, str], torch.Tensor] = {}
        self.widening: dict[int, nn.Linear] = {}
        self.handles: list[Any] = []
        self.trained: list[nn.Parameter] = []
        for whose, module, names in (
            ("student", student, [pair[0] for pair in self.pairs]),
            ("teacher", teacher, [pair[1] for pair in self.pairs]),
        ):
            known = {name for name, _ in module.named_modules() if name}
            for name in names:
                select([name], known, f"layer of the {whose}", field="distill.features")
                self.handles.append(module.get_submodule(name).register_forward_hook(self._watch(whose, name)))

    def close(self) -> None:
        """Watch no longer."""
        for handle in self.handles:
            handle.remove()

    def prepare(self) -> None:
        """Make what brings the student's features to the teacher's width, after both have run once. Raises Judged."""
        for position, (layer, other) in enumerate(self.pairs):
            got, wanted = self._both(layer, other)
            axis = _differing_axis(got, wanted, layer, other)
            if axis is not None and position not in self.widening:
                self.widening[position] = nn.Linear(got.shape[axis], wanted.shape[axis]).to(got.device)
                self.trained += list(self.widening[position].parameters())

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained beside the student."""
        return self.trained

    def loss(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean over the pairs of the mean squared difference, relative to the teacher's mean square.

        Padding of the inputs that both have run on does not count.
        """
        losses = []
        for position, (layer, other) in enumerate(self.pairs):
            got, wanted = self._both(layer, other)
            axis = _differing_axis(got, wanted, layer, other)
            if axis is not None:
                got = self.widening[position](got.transpose(axis, -1)).transpose(axis, -1)
            where = words(inputs, wanted.shape)
            got, wanted = kept(got, where), kept(wanted, where)
            losses.append(functional.mse_loss(got, wanted) / wanted.square().mean().clamp(min=1e-8))
        self.seen.clear()
        return torch.stack(losses).mean()

    def _both(self, layer: str, other: str) -> tuple[torch.Tensor, torch.Tensor]:
        for whose, name in (("student", layer), ("teacher", other)):
            if (whose, name) not in self.seen:
                raise Judged(
                    Reason.RECIPE_INVALID,
                    f"distill.features: layer {name} of the {whose} gave no tensor in forward: name another layer.",
                )
        return self.seen["student", layer], self.seen["teacher", other].detach()

    def _watch(self, whose: str, name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) and output else output
            if isinstance(first, torch.Tensor):
                self.seen[whose, name] = first

        return hook


def _differing_axis(got: torch.Tensor, wanted: torch.Tensor, layer: str, other: str) -> int | None:
    """Return the axis along which widths differ, None if none does. Raises Judged if more do, or the batch."""
    axes = [axis for axis, pair in enumerate(zip(got.shape, wanted.shape, strict=False)) if pair[0] != pair[1]]
    if got.ndim != wanted.ndim or len(axes) > 1 or 0 in axes:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"distill.features: layer {layer} of the student gives {describe(got.shape)}, {other} of the teacher "
            f"{describe(wanted.shape)}: only one axis, the channels, may differ.",
        )
    return axes[0] if axes else None
