"""Which recipes make sense for a model, by what it is and what data there is. Pure.

A recipe has two parts: a shape, which makes the module smaller (channels pruned, blocks cut) and trains it again, and a
store, which says how the weights of the exported graph are kept. Either may be nothing. Nothing here knows any model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from modelpress.api.auto import AutoObjective
from modelpress.api.objective import Loss
from modelpress.api.stages import (
    Cut,
    Distill,
    Fuse,
    Importance,
    Match,
    Prune,
    PruneAmount,
    PruneStructure,
    Quantize,
    QuantizeAlgorithm,
    QuantizeEmbeddings,
    QuantizeMixed,
    QuantizePreset,
    Stage,
)
from modelpress.store.search import Sensitivity

from ..stages.quantize import mixed

AMOUNTS = (0.3, 0.5, 0.7, 0.8, 0.9)
"""Parts of the parameters, or of the multiplications, that pruning takes away, mildest first."""
WHOLE_VECTORS = 8
"""For latency, channels stay in multiples of this: a vector of the processor holds so many floats."""
WIDE = 64
"""Channels of a layer, at the median, from which whole vectors are kept: of fewer, next to none would be left."""
LARGE_TABLES = 0.2
"""Part of the bytes in embedding tables from which their bits are worth a trial of their own."""
SHARES = (1 / 20, 1 / 4)
"""Mixed precision takes away all but so much of the loss that 4 bits everywhere would cost, mildest first."""
HOPELESS = 0.5
"""Relative squared error of the outputs, weights summed up, from which 4 bits everywhere are not worth a trial."""
FEW, MORE = 4.5, 8.25
"""Bits of a weight in 4 and in 8 bits, with its share of a scale: of 16 bits for 32 weights, of 32 for 128."""
FINER = 1 / 256
"""Error in 8 bits by that in 4: a step is 16 times as fine, and errors count squared."""


@dataclass(frozen=True)
class BlockList:
    """Blocks that may be cut."""

    name: str
    count: int
    removable: int
    """How many of them can go without breaking the shapes of their neighbours."""


@dataclass(frozen=True)
class Traits:
    """What decides which recipes make sense."""

    dense: int = 0
    """Matrix products with a constant."""
    convolutions: int = 0
    tables: float = 0.0
    """Part of the bytes of all weights that lies in embedding tables."""
    fuses: bool = False
    """Whether there is a normalization that can be folded."""
    calibrates: bool = False
    """Whether there is data to calibrate with."""
    pruning: Prune | None = None
    """How channels are ranked best, as was measured; the amount is not looked at. None: none can go, or nothing would
    train what is left."""
    width: float = 0.0
    """Channels that layers answer with, at the median."""
    blocks: BlockList | None = None
    epochs: int = 0
    """Epochs that a trial may train; 0: nothing trains."""
    loss: Loss | None = None
    """What training makes small beside the original's answers; None: nothing trains."""
    sensitivities: tuple[Sensitivity, ...] = ()


@dataclass(frozen=True)
class Part:
    """A shape or a store: its name, and its stages."""

    name: str
    stages: tuple[Stage, ...]


NOTHING = Part("", ())


@dataclass(frozen=True)
class Candidate:
    """One recipe."""

    shape: Part
    store: Part
    fuses: bool

    @property
    def name(self) -> str:
        """The recipe in a few words."""
        return ", ".join(part for part in (self.shape.name, self.store.name) if part) or "exported as it is"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The recipe."""
        fuse = (Stage(fuse=Fuse()),) if self.fuses else ()
        return (*self.shape.stages, *fuse, *self.store.stages)

    @property
    def trains(self) -> bool:
        """Whether it trains."""
        return any(stage.distill is not None or stage.finetune is not None for stage in self.shape.stages)

    def stored(self, store: Part) -> Candidate:
        """Return this shape with another store."""
        return replace(self, store=store)

    def shaped(self, shape: Part) -> Candidate:
        """Return this store with another shape."""
        return replace(self, shape=shape)


@dataclass(frozen=True)
class Space:
    """All that may be tried."""

    untouched: Candidate
    """Nothing but what costs nothing."""
    integers: tuple[Part, ...]
    """Stores that compute in integers."""
    weights: tuple[Part, ...]
    """Stores of weights alone, mildest first."""
    shapes: tuple[tuple[Part, ...], ...]
    """Shapes of each kind, mildest first."""


def space(traits: Traits, objective: AutoObjective) -> Space:
    """Return what may be tried on such a model."""
    return Space(
        untouched=Candidate(NOTHING, NOTHING, traits.fuses),
        integers=tuple(_integers(traits)),
        weights=tuple(_weights(traits)),
        shapes=tuple(kind for kind in (_pruned(traits, objective), _cut(traits)) if kind),
    )


def _integers(traits: Traits) -> list[Part]:
    found = []
    if traits.dense:
        found.append(_quantized("INT8 dynamic", Quantize(preset=QuantizePreset.INT8_DYNAMIC)))
    if traits.calibrates and (traits.dense or traits.convolutions):
        found.append(_quantized("INT8 static", Quantize(preset=QuantizePreset.INT8)))
    if traits.dense and traits.tables >= LARGE_TABLES:
        tables = QuantizeEmbeddings(bits=4)
        settings = Quantize(preset=QuantizePreset.INT8_DYNAMIC, embeddings=tables)
        found.append(_quantized("INT8 dynamic, embeddings in 4 bits", settings))
    return found


def _weights(traits: Traits) -> list[Part]:
    """Return stores of weights in groups, mildest first."""
    if not traits.dense and not traits.convolutions and not traits.tables:
        return []
    found = [_quantized("weights in 8 bits", Quantize(preset=QuantizePreset.W8A16))]
    if not traits.dense and not traits.tables:
        return found  # convolutions are stored in 8 bits anyway
    if traits.tables >= LARGE_TABLES:
        settings = Quantize(preset=QuantizePreset.W8A16, embeddings=QuantizeEmbeddings(bits=4))
        found.append(_quantized("weights in 8 bits, embeddings in 4", settings))
    if traits.calibrates and len(traits.sensitivities) > 1:
        for bits in dict.fromkeys(levels(traits.sensitivities)):
            settings = Quantize(mixed=QuantizeMixed(effective_bits=bits))
            found.append(_quantized(f"weights in {bits:g} bits by sensitivity", settings))
    if sum(item.loss for item in traits.sensitivities) < HOPELESS:
        algorithm = QuantizeAlgorithm.GPTQ if traits.calibrates else None
        settings = Quantize(preset=QuantizePreset.W4A16, algorithm=algorithm)
        found.append(_quantized(f"weights in 4 bits{', GPTQ' if algorithm else ''}", settings))
    return found


def levels(sensitivities: Sequence[Sensitivity]) -> list[float]:
    """Return mean bits of a weight, greatest first, at which all but a share of the loss of 4 bits is gone.

    By the path of greatest fall for each bit (`mixed.path`). Only what lies between 4 and 8 bits is worth its trial.
    """
    options = {
        item.name: [
            mixed.Option(4, item.parameters * FEW, item.loss),
            mixed.Option(8, item.parameters * MORE, item.loss * FINER),
        ]
        for item in sensitivities
    }
    parameters = sum(item.parameters for item in sensitivities)
    total = sum(item.loss for item in sensitivities)
    found = []
    for share in SHARES:
        bits, loss = parameters * FEW, total
        for name, option in mixed.path(options):
            if loss <= share * total:
                break
            bits += option.cost - options[name][0].cost
            loss += option.loss - options[name][0].loss
        found.append(round(bits / parameters, 1))
    return [bits for bits in found if FEW + 0.2 <= bits <= MORE - 0.5]


def _pruned(traits: Traits, objective: AutoObjective) -> tuple[Part, ...]:
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


def _cut(traits: Traits) -> tuple[Part, ...]:
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


def _quantized(name: str, settings: Quantize) -> Part:
    return Part(name, (Stage(quantize=settings),))
