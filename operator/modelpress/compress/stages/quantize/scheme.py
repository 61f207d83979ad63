"""What the settings mean: which engine does it, and how the weights of each node are stored. Pure."""

from __future__ import annotations

from enum import StrEnum

from modelpress.api.defaults import integer_activations, with_defaults
from modelpress.api.stages import (
    Quantize,
    QuantizePreset,
    QuantizeScales,
    QuantizeWeights,
)

from .rounding import Scheme

PRESETS = {
    QuantizePreset.W8A16: QuantizeWeights(bits=8),
    QuantizePreset.W4A16: QuantizeWeights(bits=4),
}
"""Presets of weights in groups, said in full."""
EMBEDDING_GROUP = 32
"""Weights of a row that share a scale, in 4 bits."""


class Engine(StrEnum):
    """What computes matrix products afterwards."""

    STATIC = "static"
    """8-bit activations with calibrated ranges."""
    DYNAMIC = "dynamic"
    """8-bit activations with ranges found at run time."""
    GROUPS = "groups"
    """Weights in groups; activations in float, or in 8 bits where the processor is fast at that."""


def engine(settings: Quantize) -> Engine:
    """Return what the settings ask for."""
    if not integer_activations(settings):
        return Engine.GROUPS
    dynamic = settings.activations.dynamic if settings.activations is not None else False
    return Engine.DYNAMIC if dynamic or settings.preset is QuantizePreset.INT8_DYNAMIC else Engine.STATIC


def weights(settings: Quantize) -> QuantizeWeights:
    """Return how matrices are stored unless an override says otherwise; of `mixed`, its fewest bits."""
    if settings.mixed is not None:
        return QuantizeWeights(bits=4, group_size=settings.mixed.group_size, symmetric=settings.mixed.symmetric)
    if settings.preset in PRESETS:
        return PRESETS[settings.preset]
    return settings.weights or QuantizeWeights(bits=8)


def matrix_scheme(given: QuantizeWeights, inputs: int, settings: Quantize) -> Scheme:
    """Return the scheme of a matrix; a group is no larger than the inputs, rounded up to a power of two.

    Where activations may be rounded to 8 bits, scales are stored in full.
    """
    full = with_defaults(given)
    group = min(full.group_size, 1 << (inputs - 1).bit_length())
    half = settings.activations is None
    return Scheme(full.bits, group, full.symmetric, half_scales=half, power_of_two=fixed_point(settings))


def table_bits(settings: Quantize) -> int | None:
    """Return in how many bits embedding tables are stored beside 8-bit activations; None: by onnxruntime, one scale.

    Static graphs never leave them to it: it would widen a whole table for every request.
    """
    if settings.embeddings is not None:
        return settings.embeddings.bits
    return 8 if engine(settings) is Engine.STATIC else None


def table_scheme(bits: int, width: int, settings: Quantize) -> Scheme:
    """Return the scheme of an embedding table whose rows hold `width` weights."""
    group = width if bits == 8 else EMBEDDING_GROUP
    return Scheme(bits, group, power_of_two=fixed_point(settings))


def fixed_point(settings: Quantize) -> bool:
    """Whether scales are powers of two."""
    return settings.scales is QuantizeScales.POWER_OF_TWO
