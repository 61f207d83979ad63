"""Stores that make sense for a model: how the weights of its graph may be kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from modelpress.api.auto import AutoObjective
from modelpress.api.stages import (
    Quantize,
    QuantizeAlgorithm,
    QuantizeEmbeddings,
    QuantizeMixed,
    QuantizePreset,
    Stage,
)
from modelpress.store.search import Sensitivity

from ..stages.quantize import mixed
from .parts import Part
from .traits import Traits

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


def integers(traits: Traits, objective: AutoObjective) -> list[Part]:
    """Return stores that compute in integers."""
    found = []
    if traits.dense:
        found.append(_quantized("INT8 dynamic", Quantize(preset=QuantizePreset.INT8_DYNAMIC)))
    if traits.calibrates and (traits.dense or traits.convolutions):
        found.append(_quantized("INT8 static", Quantize(preset=QuantizePreset.INT8)))
    if traits.calibrates and traits.dense and objective is AutoObjective.LATENCY:
        smoothed = Quantize(preset=QuantizePreset.INT8, smooth_quant=True)
        found.append(_quantized("INT8 static, outliers moved into weights", smoothed))
    if traits.dense and traits.tables >= LARGE_TABLES:
        tables = QuantizeEmbeddings(bits=4)
        settings = Quantize(preset=QuantizePreset.INT8_DYNAMIC, embeddings=tables)
        found.append(_quantized("INT8 dynamic, embeddings in 4 bits", settings))
    return found


def weights(traits: Traits) -> list[Part]:
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


def _quantized(name: str, settings: Quantize) -> Part:
    return Part(name, (Stage(quantize=settings),))
