"""The compression vocabulary: one file per stage. A stage, preset or algorithm that is not built is not in here."""

from .cut import Cut
from .distill import Distill, FeaturePair, Match, SourceModule, Teacher
from .factorize import Factorize
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
from .training import Augment, Flip, LearningRateSchedule, Training

__all__ = [
    "STAGE_KINDS",
    "Augment",
    "Cut",
    "Distill",
    "Factorize",
    "FeaturePair",
    "Finetune",
    "Flip",
    "Fuse",
    "Granularity",
    "Importance",
    "LearningRateSchedule",
    "Match",
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
    "SourceModule",
    "Stage",
    "Teacher",
    "Training",
]
