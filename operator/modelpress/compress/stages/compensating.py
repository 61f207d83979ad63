"""Importance Reconstruction: what layers can no longer answer without a channel, when the others make up for it.

Optimal Brain Surgeon (Hassibi and Stork 1993, NeurIPS 5:164) for whole channels, as in Kurtic et al. 2023, ZipLM,
arXiv:2302.04089, equations 3 and 4: of inputs X with H = X'X and weights W, channel S costs tr(W_S' (H⁻¹_SS)⁻¹ W_S),
and the rest, updated, makes up for it. Channels go greedily, some at a time; each costs what it does without those
before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from modelpress.api.reasons import Reason

from ..errors import Judged
from ..formats.entrypoint import Guard
from ..models import ModuleModel
from . import layer_inputs
from .candidates import Candidate
from .context import Context
from .portions import portions

SHARE = 64
"""At a time, the cheapest of so many channels goes: one of 64, two of 128."""
RIDGE = 1e-3
"""Of the mean square of a layer's inputs."""


@dataclass
class Consumer:
    """A layer that takes channels: its weights, which inputs are whose, and what it is given."""

    weight: torch.Tensor
    """[columns, outputs]."""
    columns: torch.Tensor
    """[channels, columns of each]."""
    square: torch.Tensor
    """X'X, [columns, columns]."""


def importances(candidates: Sequence[Candidate], model: ModuleModel, context: Context) -> list[torch.Tensor]:
    """Return for each channel what is lost if it goes after all less important ones, relative to what is answered.

    Raises Judged: RecipeInvalid where a candidate's channels are taken by no layer that can make up for them, or by one
    that is too wide; EntrypointFailed.
    """
    data = layer_inputs.data_of(context)
    found: list[torch.Tensor] = []
    known = layer_inputs.layers(model.module)

    def need(takers: list[Taker]) -> int:
        return sum(known[name].weight[0].numel() ** 2 for name, _ in takers)

    with Guard(context.source, "forward on the calibration data"):
        for portion in portions([_takers(item, known) for item in candidates], need, layer_inputs.BUDGET):
            squares = layer_inputs.squares(
                sorted({name for item in portion for name, _ in item}), model, data, context.seed
            )
            for item in portion:
                consumers = [_consumer(known[name], inputs, squares[name]) for name, inputs in item]
                found.append(eliminate(consumers) if consumers else torch.ones(1))
                context.report(0.9 * len(found) / len(candidates), f"{candidates[len(found) - 1].name} ranked")
    return found


Taker = tuple[str, torch.Tensor]
"""(name of a layer, inputs that belong to each channel, [channels, inputs of each])."""


def _takers(candidate: Candidate, known: Mapping[str, layer_inputs.Layer]) -> list[Taker]:
    """Return the layers that can make up for a candidate's channels; none of one that has a single channel.

    Raises Judged with RecipeInvalid where there are none, or one is too wide.
    """
    if candidate.width == 1:
        return []  # nothing to choose from
    names = {layer: name for name, layer in known.items()}
    takers = [(names[layer], inputs) for layer, inputs in candidate.takers() if layer in names]
    if not takers:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"prune with importance Reconstruction: nothing that can be fitted takes what {candidate.name} gives; "
            "name it in ignore, or rank by L2.",
        )
    widest = max(known[name].weight[0].numel() for name, _ in takers)
    if widest > layer_inputs.WIDEST:
        raise Judged(
            Reason.RECIPE_INVALID,
            f"prune with importance Reconstruction: {takers[0][0]} takes {widest:,} numbers at once, at most "
            f"{layer_inputs.WIDEST:,} can be looked at; name {candidate.name} in ignore, or rank by L2.",
        )
    return takers


def _consumer(layer: layer_inputs.Layer, inputs: torch.Tensor, square: torch.Tensor) -> Consumer:
    each = layer.weight[0, 0].numel()
    columns = (inputs[..., None] * each + torch.arange(each)).flatten(1)
    return Consumer(layer.weight.detach().flatten(1).T.double(), columns, square)


def eliminate(consumers: Sequence[Consumer]) -> torch.Tensor:
    """Return for each channel the relative error of all answers once it and all less important ones are gone."""
    width = len(consumers[0].columns)
    size = sum(float((item.weight * (item.square @ item.weight)).sum()) for item in consumers)
    states = [_State(item) for item in consumers]
    alive, found, lost = torch.arange(width), torch.zeros(width).double(), 0.0
    while len(alive):
        costs = torch.stack([state.costs(alive) for state in states]).sum(0)
        order = torch.argsort(costs, stable=True)[: max(1, len(alive) // SHARE)]
        for index, cost in zip(alive[order].tolist(), costs[order].tolist(), strict=True):
            lost += max(cost, 0.0)
            found[index] = lost
        for state in states:
            state.remove(alive[order])
        stays = torch.ones(len(alive), dtype=torch.bool)
        stays[order] = False
        alive = alive[stays]
    return found / max(size, 1e-30)


class _State:
    """What is left of a consumer while channels go."""

    def __init__(self, consumer: Consumer) -> None:
        self.columns = consumer.columns
        self.weight = consumer.weight.clone()
        square = consumer.square.clone()
        square.diagonal().add_(RIDGE * square.diagonal().mean().clamp(min=1e-9))
        self.inverse = torch.linalg.inv(square)

    def costs(self, channels: torch.Tensor) -> torch.Tensor:
        """Return tr(W_S' (H⁻¹_SS)⁻¹ W_S) of each channel."""
        columns = self.columns[channels]
        weight = self.weight[columns]
        block = self.inverse[columns[:, :, None], columns[:, None, :]]
        best: torch.Tensor = torch.linalg.solve(block, weight)
        return (weight * best).sum((1, 2))

    def remove(self, channels: torch.Tensor) -> None:
        """Take channels away and have the rest make up for them."""
        gone = self.columns[channels].flatten()
        share = torch.linalg.solve(self.inverse[gone][:, gone], self.inverse[gone]).T
        self.weight -= share @ self.weight[gone]
        self.inverse -= share @ self.inverse[gone]
        self.weight[gone] = 0
