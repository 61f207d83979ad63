"""What may lose channels: layers that torch-pruning says depend on each other, ranked and removed together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch_pruning
from torch import nn

from .exchanging import Dependent, exchanged, order
from .selecting import least

LEAST_OF_GROUPED = 2
"""Outputs that stay in each group of a grouped convolution: with one, torch-pruning would take it for depthwise."""


class Candidate(Protocol):
    """A set of alike parts of a module, some of which may go: channels of a group of layers, heads of an attention."""

    @property
    def name(self) -> str:
        """One of its layers, for sentences."""
        ...

    @property
    def layers(self) -> set[str]:
        """The layers that lose outputs with it, by name."""
        ...

    @property
    def width(self) -> int:
        """How many there are in each part."""
        ...

    @property
    def parts(self) -> int:
        """Number of parts that must stay equally wide: 1, or the groups of a convolution or normalization."""
        ...

    @property
    def least(self) -> int:
        """How many must stay in each part."""
        ...

    def magnitude(self, power: int) -> torch.Tensor:
        """Return the norm of the weights of each, relative to their mean."""
        ...

    def taylor(self) -> torch.Tensor:
        """Return the sum of weight times gradient of each, for the gradients that are there."""
        ...

    def takers(self) -> list[tuple[nn.Module, torch.Tensor]]:
        """Return the layers that take what it gives, and which of their inputs are whose, [width, inputs of each]."""
        ...

    def without(self, index: int) -> Any:
        """Leave one out for a while: a context manager."""
        ...

    def remove(self, kept: int, importance: torch.Tensor) -> set[str]:
        """Remove all but so many of each part; return the layers that lost outputs, none if nothing was done."""
        ...


class ChannelGroup:
    """Channels of layers that depend on each other."""

    def __init__(
        self, graph: Any, group: Any, names: Mapping[nn.Module, str], parts: int, width: int, least: int
    ) -> None:
        self.graph = graph
        self.group = group
        first = group[0].dep
        self.layer: nn.Module = first.target.module
        self.removal = first.handler
        self.parts = parts
        self.width = width
        self.least = min(least, width)
        self.layers = _widths(group, names)
        self.name = names.get(self.layer, min(self.layers, default="a parameter"))

    @classmethod
    def of(cls, pruner: Any, group: Any, names: Mapping[nn.Module, str]) -> ChannelGroup | None:
        """Return the candidate of torch-pruning's group, None if it has no weight to rank it by."""
        try:
            score = torch_pruning.importance.MagnitudeImportance(p=1)(group)
        except IndexError:  # it cannot rank the inputs of a convolution whose groups have one each and several outputs
            return None
        if score is None:
            return None
        counts, least = [1], 1
        for dependency, _ in group:
            outgoing = pruner.DG.is_out_channel_pruning_fn(dependency.handler)
            table = pruner.out_channel_groups if outgoing else pruner.in_channel_groups
            layer = dependency.target.module
            counts.append(table.get(layer, 1))
            if outgoing and isinstance(layer, nn.modules.conv._ConvNd) and 1 < layer.groups < layer.out_channels:
                least = LEAST_OF_GROUPED
        return cls(pruner.DG, group, names, max(counts), len(score) // max(counts), least)

    def magnitude(self, power: int) -> torch.Tensor:
        """Return the norm of the weights of each channel, relative to the mean of all."""
        with torch.no_grad():
            return self._mean(torch_pruning.importance.MagnitudeImportance(p=power)(self.group))

    def taylor(self) -> torch.Tensor:
        """Return |Σ weight × gradient| of each channel, summed over the layers (Molchanov et al. 2019, equation 8)."""
        rule = torch_pruning.importance.GroupTaylorImportance(
            group_reduction="sum", normalizer=None, multivariable=True
        )
        score = rule(self.group)
        return torch.zeros(self.width) if score is None else self._mean(score)

    def takers(self) -> list[tuple[nn.Module, torch.Tensor]]:
        """Return the layers that take what it gives, and which of their inputs are whose, [width, inputs of each]."""
        found = []
        for item in (self.group[position] for position in range(len(self.group))):
            if self.graph.is_out_channel_pruning_fn(item.dep.handler) or len(item.idxs) % self.width:
                continue
            owners = torch.as_tensor(item.root_idxs) % self.width
            order = torch.argsort(owners, stable=True)
            found.append((item.dep.target.module, torch.as_tensor(item.idxs)[order].view(self.width, -1)))
        return found

    def exchanged(self, seed: int) -> Any:
        """Exchange channels in all layers for a while: a context manager. Raises UnknownError.

        Where the layers agree on the order of their channels, the module answers as before.
        """
        items = (self.group[position] for position in range(len(self.group)))
        outgoing = self.graph.is_out_channel_pruning_fn
        layers = [
            Dependent(item.dep.target.module, outgoing(item.dep.handler), item.idxs, item.root_idxs) for item in items
        ]
        return exchanged(layers, order(self.width, self.parts, seed))

    def _mean(self, score: torch.Tensor) -> torch.Tensor:
        return score.detach().view(self.parts, -1).mean(dim=0).cpu()

    @contextmanager
    def without(self, index: int) -> Iterator[None]:
        """Set all weights of one channel to zero, in each part, for a while."""
        indexes = [index + part * self.width for part in range(self.parts)]
        before: list[tuple[torch.Tensor, torch.Tensor]] = []
        with torch.no_grad():
            for dependency, affected in self.graph.get_pruning_group(self.layer, self.removal, indexes):
                outgoing = self.graph.is_out_channel_pruning_fn(dependency.handler)
                for tensor, axis in _slices(dependency.target.module, outgoing=outgoing):
                    before.append((tensor, tensor.clone()))
                    tensor.index_fill_(axis, torch.as_tensor(affected, device=tensor.device), 0.0)
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, values in reversed(before):
                    tensor.copy_(values)

    def remove(self, kept: int, importance: torch.Tensor) -> set[str]:
        """Remove all but `kept` channels of each part, least important first."""
        if kept >= self.width:
            return set()
        group = self.graph.get_pruning_group(self.layer, self.removal, least(importance, kept, self.parts))
        if not self.graph.check_pruning_group(group):
            return set()
        group.prune()
        return self.layers


def _widths(group: Any, names: Mapping[nn.Module, str]) -> set[str]:
    """Return the layers of a group that lose output channels."""
    return {
        names[dependency.target.module]
        for dependency, _ in group
        if dependency.target.module in names and dependency.handler.__name__.startswith("prune_out")
    }


def _slices(layer: nn.Module, *, outgoing: bool) -> Sequence[tuple[torch.Tensor, int]]:
    """Return which weights of a layer belong to channels, and along which axis they count them."""
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not isinstance(weight, torch.Tensor):
        return ()
    biases = [(bias, 0)] if isinstance(bias, torch.Tensor) and outgoing else []
    if isinstance(layer, nn.modules.conv._ConvNd):
        if layer.groups > 1:
            return [(weight, 0), *biases] if outgoing and not layer.transposed else ()
        return [(weight, 0 if outgoing != layer.transposed else 1), *biases]
    if isinstance(layer, nn.Linear):
        return [(weight, 0 if outgoing else 1), *biases]
    if isinstance(layer, nn.Embedding):
        return [(weight, 1)]
    return [(weight, 0), *biases] if weight.ndim == 1 else ()
