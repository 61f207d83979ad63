"""What the settings of stage quantize may not say together. Mirrors the CEL rules of the API. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from modelpress.api.defaults import integer_activations
from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize, QuantizeAlgorithm, QuantizePreset, QuantizeScales
from modelpress.api.stages.quantize import FP8_REFUSED

from .errors import Judged

RANGES = frozenset({QuantizeAlgorithm.MIN_MAX, QuantizeAlgorithm.ENTROPY, QuantizeAlgorithm.PERCENTILE})
"""Algorithms that find the range of an activation."""
LEARNING = frozenset({QuantizeAlgorithm.GPTQ, QuantizeAlgorithm.AWQ})
"""Algorithms that round weights by calibration data."""


def check_quantize(name: str, settings: Quantize, roles: Collection[str]) -> None:
    """Raise Judged with RecipeInvalid if the settings contradict themselves, or need data that is not there."""
    wrong = next(contradictions(settings), None)
    if wrong is not None:
        raise Judged(Reason.RECIPE_INVALID, f"{name}: {wrong}.")
    what = needs_calibration(settings)
    if what is not None and not {"train", "calibration"} & set(roles):
        raise Judged(
            Reason.RECIPE_INVALID,
            f"{name} with {what} needs compression.data.calibration or compression.data.train.",
        )


def contradictions(settings: Quantize) -> Iterator[str]:
    """Yield what is wrong with the settings, in words."""
    if settings.preset is QuantizePreset.FP8_DYNAMIC:
        yield FP8_REFUSED
    given = [key for key in ("preset", "weights", "mixed") if getattr(settings, key) is not None]
    if len(given) != 1:
        yield f"set exactly one of preset, weights, mixed, not {', '.join(given) or 'none'}"
    weights, activations, algorithm = settings.weights, settings.activations, settings.algorithm
    integer = integer_activations(settings)
    if settings.mixed is not None and (settings.mixed.effective_bits is None) == (settings.mixed.max_loss is None):
        yield "set exactly one of mixed.effectiveBits, mixed.maxLoss"
    if activations is not None and weights is None:
        yield "activations stand beside weights: a preset says what they are, and mixed leaves them in float"
    elif activations is not None and weights is not None:
        if weights.bits == 4 and not activations.dynamic:
            yield "4-bit weights take 8-bit activations only with dynamic: true"
        if integer and (weights.group_size is not None or weights.symmetric is False):
            yield (
                "8-bit weights with 8-bit activations have a scale per output channel: leave weights.groupSize and "
                "symmetric: false out"
            )
    if algorithm in RANGES and not is_calibrated(settings):
        yield f"algorithm {algorithm} is for activations that are calibrated, as of preset INT8"
    if algorithm is not None and algorithm not in RANGES and integer:
        yield f"algorithm {algorithm} is for weights in groups, as of presets W8A16 and W4A16"
    if settings.overrides and integer:
        yield "overrides are for weights in groups, as of presets W8A16 and W4A16"
    yield from _contradictions_of_scales(settings, integer=integer)


def _contradictions_of_scales(settings: Quantize, *, integer: bool) -> Iterator[str]:
    activations, algorithm = settings.activations, settings.algorithm
    dynamic = settings.preset is QuantizePreset.INT8_DYNAMIC or (activations is not None and activations.dynamic)
    if settings.scales is QuantizeScales.POWER_OF_TWO and (dynamic or algorithm is QuantizeAlgorithm.AWQ):
        yield "scales PowerOfTwo are neither for dynamic activations nor for algorithm AWQ, which scale by any number"
    if settings.smooth_quant and (not integer or settings.scales is QuantizeScales.POWER_OF_TWO):
        yield (
            "smoothQuant is for 8-bit activations, as of presets INT8 and INT8_DYNAMIC, and for scales of any number"
        )
    if settings.granularity is not None and not integer:
        yield "granularity is for 8-bit activations: weights in groups have groupSize"


def is_calibrated(settings: Quantize) -> bool:
    """Whether ranges of activations are found in calibration."""
    if settings.activations is not None:
        return integer_activations(settings) and not settings.activations.dynamic
    return settings.preset is QuantizePreset.INT8


def needs_calibration(settings: Quantize) -> str | None:
    """Return what of the settings needs calibration data, in words; None if nothing does."""
    if is_calibrated(settings):
        return "preset INT8" if settings.preset is not None else "activations that are not dynamic"
    if settings.smooth_quant:
        return "smoothQuant"
    if settings.mixed is not None:
        return "mixed"
    return f"algorithm {settings.algorithm}" if settings.algorithm in LEARNING else None
