"""Stage `quantize`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from ..base import ApiType, rules


class QuantizePreset(StrEnum):
    """A named scheme."""

    INT8 = "INT8"
    INT8_DYNAMIC = "INT8_DYNAMIC"


class QuantizeAlgorithm(StrEnum):
    """How ranges of activations are found in calibration."""

    MIN_MAX = "MinMax"
    ENTROPY = "Entropy"
    PERCENTILE = "Percentile"


class Granularity(StrEnum):
    """What shares one scale."""

    TENSOR = "Tensor"
    CHANNEL = "Channel"


class Quantize(ApiType):
    """Store weights, and with INT8 activations too, as 8-bit integers. Works on the exported graph: comes last."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.preset == 'INT8' || !has(self.algorithm)",
                "algorithm is for preset INT8 only: INT8_DYNAMIC finds ranges of activations at run time",
            )
        )
    )

    preset: QuantizePreset
    """INT8: weights and activations, static, calibrated. INT8_DYNAMIC: weights ahead of time, activations at run time.
    """
    algorithm: QuantizeAlgorithm | None = None
    """How calibration finds the range of an activation. Preset INT8 only. Default: MinMax."""
    granularity: Granularity | None = None
    """Whether a weight tensor has one scale or one per output channel. Default: Channel."""
    ignore: Annotated[tuple[str, ...], Field(max_length=64)] | None = None
    """Nodes of the exported graph that stay as they are, by name or as `re:<regular expression>`. Default: none."""
