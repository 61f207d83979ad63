"""Whether layers that depend on each other count their channels in the same order.

torch-pruning follows channels by their numbers. Where forward puts them into another order on the way (the shuffle of
grouped convolutions, a flatten behind a transpose, two answers stacked and flattened), it goes on with the numbers from
before: the shapes would fit afterwards, but each filter that stays would meet another channel than the one it learned.

So channels are exchanged first, in all layers that torch-pruning names, by the numbers that it names: a module whose
layers agree on the order answers as before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

Moves = dict[int, int]
"""For a position along an axis, the one that is put there."""

NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


class UnknownError(Exception):
    """It cannot be said what an exchange would be: of a layer of this kind, or of channels that count differently."""


@dataclass(frozen=True)
class Dependent:
    """A layer of a group, and which of its channels belong to which of the group's."""

    layer: nn.Module
    outgoing: bool
    """Whether these are outputs of the layer; else they are inputs."""
    positions: Sequence[int]
    owners: Sequence[int]
    """For each of the positions, the channel of the group's first layer."""


def order(width: int, parts: int, seed: int) -> list[int]:
    """Return which channel takes the place of each: the same exchange in each part, another one for each `seed`."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(width, generator=generator)
    if torch.equal(chosen, torch.arange(width)):
        chosen = chosen.roll(1)
    return [index + part * width for part in range(parts) for index in chosen.tolist()]


@contextmanager
def exchanged(group: Iterable[Dependent], taken: Sequence[int]) -> Iterator[None]:
    """Put channel `taken[i]` into the place of channel i in all layers, for a while. Raises UnknownError."""
    moves: dict[tuple[int, int], Moves] = defaultdict(dict)
    found: dict[int, torch.Tensor] = {}
    for item in group:
        for tensor, axis, places in _exchanges(item.layer, _moves(item, taken), outgoing=item.outgoing):
            found[id(tensor)] = tensor  # one that two layers share stands once
            for place, source in places.items():
                if moves[id(tensor), axis].setdefault(place, source) != source:
                    raise UnknownError
    before = [(tensor, tensor.detach().clone()) for tensor in found.values()]
    try:
        with torch.no_grad():
            for (key, axis), places in moves.items():
                tensor = found[key]
                sources = [places.get(place, place) for place in range(tensor.shape[axis])]
                tensor.copy_(tensor.index_select(axis, torch.tensor(sources, device=tensor.device)))
        yield
    finally:
        with torch.no_grad():
            for tensor, values in before:
                tensor.copy_(values)


def _moves(item: Dependent, taken: Sequence[int]) -> Moves:
    """Return the moves in one layer: a channel that has several positions in it keeps them in their order."""
    owned: dict[int, list[int]] = defaultdict(list)
    for position, owner in zip(item.positions, item.owners, strict=True):
        owned[owner].append(position)
    moves: Moves = {}
    for owner, positions in owned.items():
        sources = owned.get(taken[owner] if owner < len(taken) else -1, [])
        if len(sources) != len(positions):
            raise UnknownError
        moves |= dict(zip(positions, sources, strict=True))
    return moves


def _exchanges(layer: nn.Module, moves: Moves, *, outgoing: bool) -> list[tuple[torch.Tensor, int, Moves]]:
    """Return the tensors of a layer that count these channels, along which axis, and their moves."""
    if isinstance(layer, nn.modules.conv._ConvNd) and layer.groups > 1:
        return _of_grouped(layer, moves, outgoing=outgoing)
    if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear):
        axis = 0 if outgoing != getattr(layer, "transposed", False) else 1
        return [(layer.weight, axis, moves), *((item, 0, moves) for item in _tensors(layer, "bias") if outgoing)]
    if isinstance(layer, nn.Embedding):
        return [(layer.weight, 1, moves)]
    if isinstance(layer, nn.Parameter):  # torch-pruning takes one that forward uses by itself for a layer
        return _counted([layer], moves)
    counted = _tensors(layer, "weight", "bias", "running_mean", "running_var")
    known = isinstance(layer, NORMALIZATIONS) or (isinstance(layer, nn.PReLU) and layer.num_parameters > 1)
    if not known and not isinstance(layer, nn.PReLU) and next(layer.parameters(), None) is not None:
        raise UnknownError
    return _counted(counted, moves) if known else []


def _of_grouped(
    layer: nn.modules.conv._ConvNd, moves: Moves, *, outgoing: bool
) -> list[tuple[torch.Tensor, int, Moves]]:
    if layer.groups == layer.in_channels or (outgoing and not layer.transposed):
        return [(item, 0, moves) for item in _tensors(layer, "weight", "bias")]
    return [(layer.weight, 1, _in_one_group(moves, layer))]


def _tensors(layer: nn.Module, *names: str) -> list[torch.Tensor]:
    return [item for name in names if isinstance(item := getattr(layer, name, None), torch.Tensor)]


def _counted(tensors: Iterable[torch.Tensor], moves: Moves) -> list[tuple[torch.Tensor, int, Moves]]:
    """Return tensors whose only axis counts channels. Raises UnknownError if one has more axes."""
    found = [(tensor, 0, moves) for tensor in tensors]
    if any(tensor.ndim != 1 or len(tensor) <= max(moves, default=0) for tensor, _, _ in found):
        raise UnknownError
    return found


def _in_one_group(moves: Moves, layer: nn.modules.conv._ConvNd) -> Moves:
    """Return the moves of inputs as a grouped convolution counts them: within a group, the same in each."""
    if layer.transposed:
        raise UnknownError
    width, found = layer.in_channels // layer.groups, Moves()
    for place, source in moves.items():
        if place // width != source // width or found.setdefault(place % width, source % width) != source % width:
            raise UnknownError
    return found
