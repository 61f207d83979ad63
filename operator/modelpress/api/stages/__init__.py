"""The compression vocabulary: one file per stage. A stage, preset or algorithm that is not built is not in here."""

from .finetune import Finetune
from .fuse import Fuse
from .prune import Importance, Prune, PruneAmount, PruneStructure
from .quantize import (
    Granularity,
    Quantize,
    QuantizeActivations,
    QuantizeAlgorithm,
    QuantizeEmbeddings,
    QuantizeMixed,
    QuantizeOverride,
    QuantizePreset,
    QuantizeScales,
    QuantizeWeights,
)
from .stage import STAGE_KINDS, Stage

__all__ = [
    "STAGE_KINDS",
    "Finetune",
    "Fuse",
    "Granularity",
    "Importance",
    "Prune",
    "PruneAmount",
    "PruneStructure",
    "Quantize",
    "QuantizeActivations",
    "QuantizeAlgorithm",
    "QuantizeEmbeddings",
    "QuantizeMixed",
    "QuantizeOverride",
    "QuantizePreset",
    "QuantizeScales",
    "QuantizeWeights",
    "Stage",
]
