"""Stage `quantize`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ..base import ApiType, Names, rules


class QuantizePreset(StrEnum):
    """A named scheme."""

    INT8 = "INT8"
    INT8_DYNAMIC = "INT8_DYNAMIC"
    W8A16 = "W8A16"
    W4A16 = "W4A16"
    FP8_DYNAMIC = "FP8_DYNAMIC"


FP8_REFUSED = (
    "preset FP8_DYNAMIC needs GPUs of compute capability 8.9 or more and a server that multiplies in 8-bit floats:"
    " onnxruntime does so on no processor, so use INT8_DYNAMIC, or W8A16 for weights alone"
)


class QuantizeAlgorithm(StrEnum):
    """How ranges of activations are found in calibration, or how weights are rounded."""

    MIN_MAX = "MinMax"
    ENTROPY = "Entropy"
    PERCENTILE = "Percentile"
    RTN = "RTN"
    GPTQ = "GPTQ"
    AWQ = "AWQ"


class Granularity(StrEnum):
    """What shares one scale."""

    TENSOR = "Tensor"
    CHANNEL = "Channel"


class QuantizeScales(StrEnum):
    """What scales may be."""

    FREE = "Free"
    POWER_OF_TWO = "PowerOfTwo"


class QuantizeWeights(ApiType):
    """How weights are stored."""

    bits: Literal[4, 8]
    """Bits of a weight. 4 bits are for matrix products and embeddings; convolutions and recurrent layers are stored in
    8."""
    group_size: Literal[16, 32, 64, 128, 256] | None = None
    """Weights along the input axis that share a scale. Not for 8-bit weights with 8-bit activations, which have a scale
    per output channel. Default: 32 for 4 bits, 128 for 8 bits."""
    symmetric: bool | None = None
    """Whether zero is always the middle of the range; otherwise each group has a zero point of its own, at a cost of
    `bits` per group. Default: true."""


class QuantizeActivations(ApiType):
    """How activations are computed with."""

    bits: Literal[8]
    """Bits of an activation."""
    dynamic: bool
    """Whether ranges are found at run time (true) or in calibration (false)."""


class QuantizeEmbeddings(ApiType):
    """How embedding tables, constants that rows are gathered from, are stored."""

    bits: Literal[4, 8]
    """Bits of a weight: 8 with a scale per row, or 4 with a scale per 32 weights of a row."""


class QuantizeMixed(ApiType):
    """Bits for each node by its measured sensitivity. Exactly one of effectiveBits and maxLoss is set."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.effectiveBits) != has(self.maxLoss)", "mixed has exactly one of effectiveBits, maxLoss")
        )
    )

    effective_bits: Annotated[float, Field(ge=4, le=32)] | None = None
    """Greatest mean number of bits of matrices and embeddings that are quantized, their scales included: `5.5`.
    Convolutions and recurrent layers are stored in 8 bits whatever it is, and not counted. Default: none, but
    maxLoss."""
    max_loss: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Greatest relative squared error of the outputs, ‖y' - y‖² / ‖y‖², on up to 128 samples of the calibration data;
    for normalized embeddings that is twice the lost cosine similarity. With algorithm GPTQ and 64 samples or more,
    weights are fitted to three quarters of them and the error is measured on the others. Default: none, but
    effectiveBits."""
    group_size: Literal[16, 32, 64, 128, 256] | None = None
    """Weights along the input axis that share a scale, in 4 bits. Default: 32."""
    symmetric: bool | None = None
    """As in `weights`. Default: true."""


class QuantizeOverride(ApiType):
    """Other weights for some nodes."""

    targets: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    """Nodes by name or as `re:<regular expression>`, as in `targets` of the stage."""
    weights: QuantizeWeights
    """How their weights are stored."""


def calibrated(name: str) -> str:
    """Return, in CEL, whether the stage in variable `name` has activations with calibrated ranges."""
    return (
        f"(has({name}.preset) && {name}.preset == 'INT8' || has({name}.weights) && {name}.weights.bits == 8"
        f" && has({name}.activations) && !{name}.activations.dynamic)"
    )


_GROUPS = (
    "(has(self.preset) && self.preset in ['W8A16', 'W4A16'] || has(self.mixed)"
    " || has(self.weights) && (self.weights.bits == 4 || !has(self.activations)))"
)
"""Whether weights lie in groups, in CEL: rounding algorithms and overrides are for those, granularity is not."""


class Quantize(ApiType):
    """Store weights as integers of 8 or 4 bits, and compute with 8-bit activations if wanted.

    Works on the exported graph: comes last.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.preset) || self.preset != 'FP8_DYNAMIC'", FP8_REFUSED),
            (
                "[has(self.preset), has(self.weights), has(self.mixed)].filter(set, set).size() == 1",
                "quantize has exactly one of preset, weights, mixed",
            ),
            (
                "!has(self.activations) || has(self.weights)",
                "activations stand beside weights: a preset says what activations are, and mixed leaves them in float",
            ),
            (
                "!has(self.activations) || !has(self.weights) || self.weights.bits == 8 || self.activations.dynamic",
                "4-bit weights take 8-bit activations only with dynamic: true",
            ),
            (
                "!has(self.activations) || !has(self.weights) || self.weights.bits == 4"
                " || !has(self.weights.groupSize) && (!has(self.weights.symmetric) || self.weights.symmetric)",
                "8-bit weights with 8-bit activations have a scale per output channel: leave groupSize and"
                " symmetric: false out",
            ),
            (
                "!has(self.algorithm) || !(self.algorithm in ['MinMax', 'Entropy', 'Percentile'])"
                f" || {calibrated('self')}",
                "algorithm MinMax, Entropy and Percentile are for activations that are calibrated, as of preset INT8",
            ),
            (
                f"!has(self.algorithm) || !(self.algorithm in ['RTN', 'GPTQ', 'AWQ']) || {_GROUPS}",
                "algorithm RTN, GPTQ and AWQ are for weights in groups, as of presets W8A16 and W4A16",
            ),
            (
                f"!has(self.overrides) || {_GROUPS}",
                "overrides are for weights in groups, as of presets W8A16 and W4A16",
            ),
            (
                f"!has(self.granularity) || !{_GROUPS}",
                "granularity is for 8-bit activations: weights in groups have groupSize",
            ),
            (
                f"!has(self.smoothQuant) || !self.smoothQuant || !{_GROUPS}"
                " && (!has(self.scales) || self.scales == 'Free')",
                "smoothQuant is for 8-bit activations, as of presets INT8 and INT8_DYNAMIC, and for scales of any"
                " number",
            ),
            (
                "!has(self.scales) || self.scales == 'Free'"
                " || !(has(self.preset) && self.preset == 'INT8_DYNAMIC')"
                " && !(has(self.activations) && self.activations.dynamic)"
                " && !(has(self.algorithm) && self.algorithm == 'AWQ')",
                "scales PowerOfTwo are neither for dynamic activations nor for algorithm AWQ, which scale by any"
                " number",
            ),
        )
    )

    preset: QuantizePreset | None = None
    """INT8: weights and activations, static, calibrated. INT8_DYNAMIC: weights ahead of time, activations at run time.
    W8A16, W4A16: weights of matrix products and embeddings in groups, activations in float; convolutions and
    recurrent layers store 8 bits. FP8_DYNAMIC: refused, it needs a GPU and a server of another kind. Default: none,
    weights or mixed stands instead."""
    weights: QuantizeWeights | None = None
    """How weights are stored, said in full. Default: as the preset has it."""
    activations: QuantizeActivations | None = None
    """How activations are computed with, beside `weights`. Default: in float."""
    mixed: QuantizeMixed | None = None
    """Bits for each matrix product and embedding by its measured sensitivity. Default: the same bits for all."""
    embeddings: QuantizeEmbeddings | None = None
    """How embeddings are stored. Default: in as many bits as other weights; with `mixed`, as measured."""
    algorithm: QuantizeAlgorithm | None = None
    """How calibration finds the range of an activation (MinMax, Entropy, Percentile), or how weights in groups are
    rounded: to nearest (RTN), by second-order error compensation (GPTQ, Frantar et al. 2023, arXiv:2210.17323) or with
    scaled inputs (AWQ, Lin et al. 2024, arXiv:2306.00978); the latter two need calibration data. Default: MinMax for
    calibrated activations, RTN for weights in groups."""
    granularity: Granularity | None = None
    """Whether a weight tensor has one scale or one per output channel, where activations have 8 bits. Default: Channel.
    """
    smooth_quant: bool | None = None
    """Whether outliers of activations are moved into weights before both are rounded to 8 bits (SmoothQuant, Xiao et
    al. 2023, arXiv:2211.10438, equation 4; its alpha is searched for each activation). It helps transformers, whose
    few large channels take the range from the others, and needs calibration data. Default: false."""
    scales: QuantizeScales | None = None
    """Whether scales are powers of two, for fixed-point arithmetic: the next greater than those of Free. Default: Free.
    """
    targets: Names | None = None
    """Nodes of the exported graph that are quantized, by name or as `re:<regular expression>`. Nodes of a torch module
    are named after it and their operator, `encoder.layer.0.query.MatMul`; `encoder.layer.0` stands for all below it.
    Default: all that can be quantized."""
    ignore: Names | None = None
    """Nodes of the exported graph that stay as they are, named as in `targets`. Default: none."""
    overrides: Annotated[tuple[QuantizeOverride, ...], Field(max_length=32)] | None = None
    """Other weights for some nodes; the last that names a node holds. Default: none."""
