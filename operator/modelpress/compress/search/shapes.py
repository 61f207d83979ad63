"""Shapes that make sense for a model: how its module may become smaller, or compute otherwise. Pure."""

from __future__ import annotations

from typing import Literal

from modelpress.api.auto import AutoObjective
from modelpress.api.objective import Loss
from modelpress.api.stages import (
    Cut,
    Distill,
    Factorize,
    Fuse,
    Importance,
    Match,
    Prune,
    PruneAmount,
    PruneStructure,
    Stage,
)

from .parts import Part
from .traits import Traits

AMOUNTS = (0.3, 0.5, 0.7, 0.8, 0.9)
"""Parts of the parameters, or of the multiplications, that pruning takes away, mildest first."""
RANKS = (0.3, 0.5, 0.7)
"""Parts of the parameters that thin layers take away, mildest first."""
WHOLE_VECTORS = 8
"""For latency, channels stay in multiples of this: a vector of the processor holds so many floats."""
WIDE = 64
"""Channels of a layer, at the median, from which whole vectors are kept: of fewer, next to none would be left."""


def pruned(traits: Traits, objective: AutoObjective) -> tuple[Part, ...]:
    """Return pruned and trained shapes."""
    if traits.pruning is None or not traits.epochs:
        return ()
    counted = "parameters" if objective is AutoObjective.SIZE else "macs"
    what = "parameters" if counted == "parameters" else "multiplications"
    multiple = WHOLE_VECTORS if objective is AutoObjective.LATENCY and traits.width >= WIDE else None
    found = []
    for amount in AMOUNTS:
        settings = traits.pruning.model_copy(
            update={"amount": PruneAmount.model_validate({counted: amount}), "round_to": multiple}
        )
        stages = (Stage(prune=settings), _distilled(traits))
        found.append(Part(f"{amount:.0%} of the {what} pruned, distilled".replace("%", " %"), stages))
    return tuple(found)


def factorized(traits: Traits) -> tuple[Part, ...]:
    """Return shapes of thin layers, trained."""
    if not traits.factorizes or not traits.epochs:
        return ()
    found = []
    for amount in RANKS:
        stages = (Stage(factorize=Factorize(parameters=amount)), _distilled(traits))
        found.append(Part(f"{amount:.0%} of the parameters factorized away, distilled".replace("%", " %"), stages))
    return tuple(found)


def attending(traits: Traits, objective: AutoObjective) -> tuple[Part, ...]:
    """Return the shape whose attention is one operator: it answers sooner, and is no smaller."""
    if not traits.attends or objective is not AutoObjective.LATENCY:
        return ()
    return (Part("attention as one operator", (Stage(fuse=Fuse(attention=True)),)),)


def shortened(traits: Traits) -> tuple[Part, ...]:
    """Return shapes without some blocks, trained if anything trains."""
    blocks = traits.blocks
    if blocks is None or not traits.calibrates:
        return ()
    found = []
    for gone in range(1, min(blocks.removable, blocks.count // 2) + 1):
        cut = Stage(cut=Cut(blocks=blocks.name, keep=blocks.count - gone))
        trained = (_distilled(traits),) if traits.epochs else ()
        words = f"{gone} of {blocks.count} blocks cut{', distilled' if trained else ''}"
        found.append(Part(words, (cut, *trained)))
    return tuple(found)


def _distilled(traits: Traits) -> Stage:
    """Return the training: towards the original's answers and the targets."""
    return Stage(distill=distillation(traits.loss, traits.epochs))


def distillation(loss: Loss | None, epochs: int) -> Distill:
    """Return how the original is imitated beside such an objective.

    What a loss of the source's own compares nobody knows: a squared error fits any answer, while scores of classes are
    compared but for their mean.
    """
    match = {Loss.MSE: Match.MSE, Loss.COSINE: Match.COSINE, Loss.ENTRYPOINT: Match.MSE}
    return Distill(epochs=epochs, match=match.get(loss) if loss is not None else None)


def prunings() -> tuple[Prune, ...]:
    """Return the ways to rank channels that are compared before any trial: each is measured, none is believed."""
    half = PruneAmount(parameters=0.5)
    ways: tuple[tuple[Importance, Literal["Global", "Layer"]], ...] = (
        (Importance.L1, "Layer"),
        (Importance.TAYLOR, "Layer"),
        (Importance.TAYLOR, "Global"),
        (Importance.RECONSTRUCTION, "Layer"),
    )
    return tuple(
        Prune(
            structure=PruneStructure.CHANNEL,
            importance=importance,
            scope=scope,
            amount=half,
            reconstruct=True if importance is Importance.RECONSTRUCTION else None,
        )
        for importance, scope in ways
    )
