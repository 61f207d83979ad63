"""Following channels along torch-pruning's dependency graph, to an end.

Where halves change places (rotary embeddings) or are joined with themselves, torch-pruning finds the same layer again
with its channels in ever another order, and goes on for hours. Such a layer is found out by the number of its steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch_pruning
from torch import nn
from torch_pruning.dependency import graph

MOST_STEPS = 5000
"""Places that the channels of one layer are followed to, at most; nets whose every layer joins all before it come to
some hundreds."""


class EndlessError(Exception):
    """The channels of `layer` were followed to more places than a module has."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(f"the channels of a {type(layer).__name__} come to no end")
        self.layer = layer


class BoundedGroup(torch_pruning.dependency.Group):  # type: ignore[misc]
    """What depends on one layer, as torch-pruning finds it; knows what is in it without looking at all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._known = set[int]()

    def add_dep(self, dep: Any, idxs: Any) -> None:
        """Put in one more. Raises EndlessError."""
        if len(self._known) > MOST_STEPS:
            raise EndlessError(self[0].dep.target.module)
        self._known.add(_key(dep, idxs))
        super().add_dep(dep, idxs)

    def has_pruning_op(self, dep: Any, idxs: Any) -> bool:
        """Return whether it is in."""
        return _key(dep, idxs) in self._known


def _key(dep: Any, idxs: Any) -> int:
    return hash((dep.target, dep.handler, tuple(idxs)))


@contextmanager
def bounded() -> Iterator[None]:
    """Let whoever follows channels raise EndlessError in place of going on."""
    before = graph.Group
    graph.Group = BoundedGroup
    try:
        yield
    finally:
        graph.Group = before


def alike(layer: nn.Module, layers: Mapping[str, nn.Module]) -> set[str]:
    """Return the name of `layer` and those that differ from it in numbers alone: the same layer of other blocks."""
    name = next(name for name, item in layers.items() if item is layer)
    pattern = _unnumbered(name)
    return {other for other, item in layers.items() if type(item) is type(layer) and _unnumbered(other) == pattern}


def _unnumbered(name: str) -> str:
    return re.sub(r"\d+", "#", name)
