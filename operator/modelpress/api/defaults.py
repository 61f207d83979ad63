"""What an unset field of the spec means.

Each `Effective…` type is its namesake with the gaps filled: same fields, same wire names, but what has a default is
never None. `with_defaults(Finetune(epochs=3)).learning_rate` is a float. A part that is not in the spec at all is its
empty form: `with_defaults(spec.serving or Serving())`. Nothing here is ever written back into a spec, so a default may
change without changing anybody's object; `keys.py` leaves out of a hash whatever equals its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Literal, TypeVar, overload

from pydantic import Field

from .analysis import Analysis, AnalysisQuery, Disagreement, OnInconclusiveAnalysis
from .auto import Auto
from .autoscaling import Autoscaling, AutoscalingEngine
from .base import ApiType
from .compression import SEARCH_TIME, TIMEOUT, Compression, JobSettings, Recipe, Scratch
from .data import CompressionData, Dataset, DatasetFormat, Text
from .evaluation import Evaluation, Gate, Latency, MeasuredOn, Metric, MetricType, OnInconclusive
from .fields import ResourceRequirements
from .intervals import CONFIDENCE
from .rollout import Rollout, RolloutStep, Routing, Strategy
from .serving import Batching, Serving
from .source import Source, SourceFormat, TensorSpec
from .spec import Artifacts, DeletionPolicy
from .stages import (
    Distill,
    Factorize,
    FeaturePair,
    Finetune,
    Granularity,
    Importance,
    LearningRateSchedule,
    Match,
    Prune,
    PruneStructure,
    Quantize,
    QuantizeAlgorithm,
    QuantizeMixed,
    QuantizeOverride,
    QuantizePreset,
    QuantizeScales,
    QuantizeWeights,
    Training,
)
from .verification import Compare

CALIBRATION_SAMPLES = 256
"""Samples of the training data that calibrate when no calibration data is given."""
INPUT_DTYPES: Mapping[SourceFormat, str] = MappingProxyType(
    {SourceFormat.TORCH: "float32", SourceFormat.TRANSFORMERS: "int64"}
)
"""Element type of an input that says none; other formats carry their own."""

_Same = TypeVar("_Same", bound=ApiType)


class EffectivePrune(Prune):
    """Prune without gaps."""

    importance: Importance = Importance.L1
    scope: Literal["Global", "Layer"] = "Layer"
    steps: int = 1
    reconstruct: bool = False
    round_to: int = 1
    ignore: tuple[str, ...] = ()


class EffectiveFactorize(Factorize):
    """Factorize without gaps. `targets` None: all layers that become smaller."""

    round_to: int = 1
    ignore: tuple[str, ...] = ()


class EffectiveTraining(Training):
    """What training stages share, without gaps. `patience` None: all epochs are run."""

    learning_rate: float = 0.001
    schedule: LearningRateSchedule = LearningRateSchedule.COSINE
    batch_size: int = 64
    weight_decay: float = 0.0001
    quantization_aware: bool = False


class EffectiveFinetune(EffectiveTraining, Finetune):
    """Finetune without gaps."""


class EffectiveDistill(EffectiveTraining, Distill):
    """Distill without gaps. `temperature` has no meaning but for match Logits."""

    match: Match = Match.LOGITS
    temperature: float = 4.0
    alpha: float = 0.7
    features: tuple[FeaturePair, ...] = ()
    feature_weight: float = 1.0


class EffectiveQuantizeWeights(QuantizeWeights):
    """How weights are stored, without gaps. `group_size` has no meaning beside 8-bit activations."""

    group_size: Literal[16, 32, 64, 128, 256]
    symmetric: bool = True


class EffectiveQuantizeMixed(QuantizeMixed):
    """Mixed precision without gaps."""

    group_size: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = True


class EffectiveQuantize(Quantize):
    """Quantize without gaps.

    `algorithm` has no meaning for INT8_DYNAMIC, `granularity` none for weights in groups. `targets` None: all nodes.
    """

    algorithm: QuantizeAlgorithm
    granularity: Granularity = Granularity.CHANNEL
    smooth_quant: bool = False
    scales: QuantizeScales = QuantizeScales.FREE
    ignore: tuple[str, ...] = ()
    overrides: tuple[QuantizeOverride, ...] = ()


class EffectiveSource(Source):
    """Source without gaps. `inputs` and `outputs` None: as in the file, or as the task has them. No `assets`: of a
    transformer its tokenizer's files."""

    kwargs: dict[str, Any] = Field(default_factory=dict)
    trust_code: bool = False
    assets: tuple[str, ...] = ()


class EffectiveText(Text):
    """Text without gaps. `length` None: what the model takes, or what the tokenizer says, or 512."""

    blocks: bool = False


class EffectiveDataset(Dataset):
    """Dataset without gaps. `samples` None: all of them."""

    format: DatasetFormat
    inputs: dict[str, str] = Field(default_factory=dict)
    targets: dict[str, str] = Field(default_factory=dict)


class EffectiveJobSettings(JobSettings):
    """How the compression pod runs, without gaps."""

    resources: ResourceRequirements = ResourceRequirements(requests={"cpu": "500m", "memory": "1Gi"})
    timeout: str = TIMEOUT
    retries: int = 2
    scratch: Scratch = Scratch(size="20Gi")
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()


class EffectiveAuto(Auto):
    """A search without gaps."""

    max_trials: int = 12
    max_time: str = SEARCH_TIME


class EffectiveCompression(Compression):
    """Compression without gaps."""

    data: CompressionData = CompressionData()
    seed: int = 0
    job: EffectiveJobSettings = EffectiveJobSettings()


class EffectiveMetric(Metric):
    """Metric without gaps. `output` None: the first; `target` None: the dataset's target of that output."""

    args: dict[str, Any] = Field(default_factory=dict)
    higher_is_better: bool


class EffectiveLatency(Latency):
    """How latency is measured, without gaps."""

    batch_sizes: tuple[int, ...] = (1,)
    threads: int = 1


class EffectiveGate(Gate):
    """Gate without gaps."""

    confidence: float = CONFIDENCE
    on_inconclusive: OnInconclusive = OnInconclusive.FAIL
    measured_on: MeasuredOn = MeasuredOn.COMPRESSION


class EffectiveEvaluation(Evaluation):
    """Evaluation without gaps. `test` None: only sizes and latency are measured."""

    metrics: tuple[EffectiveMetric, ...] = ()
    latency: EffectiveLatency = EffectiveLatency()
    gates: tuple[EffectiveGate, ...] = ()


class EffectiveArtifacts(Artifacts):
    """Artifacts without gaps. `uri` and Secrets None: the installation's."""

    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN


class EffectiveBatching(Batching):
    """Batching without gaps."""

    max_batch_size: int = 32
    max_queue_delay: str = "2ms"


class EffectiveAutoscaling(Autoscaling):
    """Autoscaling without gaps. `target` None: as the engine that is chosen can do best."""

    engine: AutoscalingEngine = AutoscalingEngine.AUTO
    min_replicas: int = 1


class EffectiveServing(Serving):
    """Serving without gaps. `replicas` means nothing where `autoscaling` is set."""

    batching: EffectiveBatching = EffectiveBatching()
    replicas: int = 1
    resources: ResourceRequirements = ResourceRequirements(requests={"cpu": "250m", "memory": "512Mi"})
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()
    affinity: dict[str, Any] = Field(default_factory=dict)
    image_pull_secrets: tuple[str, ...] = ()


class EffectiveDisagreement(Disagreement):
    """Disagreement without gaps. `output` None: the first."""

    compare: Compare = Compare.ARGMAX
    at_least: float = 0.99


class EffectiveAnalysis(Analysis):
    """Analysis without gaps; what has no default is not judged unless it is set."""

    disagreement: EffectiveDisagreement | None = None

    min_requests: int = 100
    max_error_rate: float = 0.01
    queries: tuple[AnalysisQuery, ...] = ()
    on_inconclusive: OnInconclusiveAnalysis = OnInconclusiveAnalysis.PROMOTE


class EffectiveRollout(Rollout):
    """Rollout without gaps."""

    strategy: Strategy = Strategy.CANARY
    routing: Routing = Routing.AUTO
    steps: tuple[RolloutStep, ...] = (RolloutStep(weight=10, pause="1m"), RolloutStep(weight=50, pause="1m"))
    analysis: EffectiveAnalysis = EffectiveAnalysis()
    progress_deadline: str = "30m"
    scale_down_delay: str = "10s"
    retry_token: str = ""
    revision_history_limit: int = 5
    paused: bool = False


EFFECTIVE: Mapping[type[ApiType], type[ApiType]] = MappingProxyType(
    {
        Prune: EffectivePrune,
        Factorize: EffectiveFactorize,
        Finetune: EffectiveFinetune,
        Distill: EffectiveDistill,
        Quantize: EffectiveQuantize,
        QuantizeMixed: EffectiveQuantizeMixed,
        QuantizeWeights: EffectiveQuantizeWeights,
        Source: EffectiveSource,
        Text: EffectiveText,
        Dataset: EffectiveDataset,
        JobSettings: EffectiveJobSettings,
        Auto: EffectiveAuto,
        Compression: EffectiveCompression,
        Recipe: EffectiveCompression,
        Metric: EffectiveMetric,
        Latency: EffectiveLatency,
        Gate: EffectiveGate,
        Evaluation: EffectiveEvaluation,
        Artifacts: EffectiveArtifacts,
        Autoscaling: EffectiveAutoscaling,
        Batching: EffectiveBatching,
        Serving: EffectiveServing,
        Disagreement: EffectiveDisagreement,
        Analysis: EffectiveAnalysis,
        Rollout: EffectiveRollout,
    }
)
"""The gapless type of each type that has defaults."""


@overload
def with_defaults(value: Prune) -> EffectivePrune: ...
@overload
def with_defaults(value: Factorize) -> EffectiveFactorize: ...
@overload
def with_defaults(value: Finetune) -> EffectiveFinetune: ...
@overload
def with_defaults(value: Distill) -> EffectiveDistill: ...
@overload
def with_defaults(value: Quantize) -> EffectiveQuantize: ...
@overload
def with_defaults(value: QuantizeMixed) -> EffectiveQuantizeMixed: ...
@overload
def with_defaults(value: Text) -> EffectiveText: ...
@overload
def with_defaults(value: QuantizeWeights) -> EffectiveQuantizeWeights: ...
@overload
def with_defaults(value: Source) -> EffectiveSource: ...
@overload
def with_defaults(value: Dataset) -> EffectiveDataset: ...
@overload
def with_defaults(value: JobSettings) -> EffectiveJobSettings: ...
@overload
def with_defaults(value: Auto) -> EffectiveAuto: ...
@overload
def with_defaults(value: Compression) -> EffectiveCompression: ...
@overload
def with_defaults(value: Metric) -> EffectiveMetric: ...
@overload
def with_defaults(value: Latency) -> EffectiveLatency: ...
@overload
def with_defaults(value: Gate) -> EffectiveGate: ...
@overload
def with_defaults(value: Evaluation) -> EffectiveEvaluation: ...
@overload
def with_defaults(value: Artifacts) -> EffectiveArtifacts: ...
@overload
def with_defaults(value: Autoscaling) -> EffectiveAutoscaling: ...
@overload
def with_defaults(value: Batching) -> EffectiveBatching: ...
@overload
def with_defaults(value: Serving) -> EffectiveServing: ...
@overload
def with_defaults(value: Disagreement) -> EffectiveDisagreement: ...
@overload
def with_defaults(value: Analysis) -> EffectiveAnalysis: ...
@overload
def with_defaults(value: Rollout) -> EffectiveRollout: ...
@overload
def with_defaults(value: _Same) -> _Same: ...
def with_defaults(value: Any) -> Any:
    """Return `value` with every default filled in, parts of it too; a type without defaults comes back as it is.

    Raises ValueError for a dataset whose format neither stands in the spec nor follows from the ending of its URI.
    """
    kind = type(value)
    if kind not in EFFECTIVE:
        return value
    given = {name: _filled(part) for name in kind.model_fields if (part := getattr(value, name)) is not None}
    return EFFECTIVE[kind].model_validate(dependent_defaults(value) | given)


def dependent_defaults(value: ApiType) -> dict[str, Any]:
    """Return the defaults of `value` that depend on its other fields, by field name.

    They are the same whether the field itself is set or not, but for the format of a dataset.
    """
    if isinstance(value, Prune):
        return {"scope": "Layer" if value.structure is PruneStructure.CHANNEL else "Global"}
    if isinstance(value, Quantize):
        return {"algorithm": QuantizeAlgorithm.MIN_MAX if integer_activations(value) else QuantizeAlgorithm.RTN}
    if isinstance(value, QuantizeWeights):
        return {"group_size": 32 if value.bits == 4 else 128}
    if isinstance(value, Metric) and value.type is not MetricType.ENTRYPOINT:
        return {"higher_is_better": value.type not in {MetricType.MSE, MetricType.MAE, MetricType.PERPLEXITY}}
    if isinstance(value, Dataset) and value.format is None:
        return {"format": dataset_format(value)}
    return {}


def integer_activations(stage: Quantize) -> bool:
    """Whether 8-bit weights meet 8-bit activations, calibrated or not; otherwise weights lie in groups."""
    if stage.preset is not None:
        return stage.preset in {QuantizePreset.INT8, QuantizePreset.INT8_DYNAMIC}
    return stage.weights is not None and stage.weights.bits == 8 and stage.activations is not None


def dataset_format(dataset: Dataset) -> DatasetFormat:
    """Return how samples lie in the file of `dataset`: as the spec says, else by the ending of its URI.

    Raises ValueError if neither tells.
    """
    if dataset.format is not None:
        return dataset.format
    ending = PurePosixPath(dataset.uri).suffix.removeprefix(".").lower()
    try:
        return DatasetFormat(ending)
    except ValueError:
        known = ", ".join(DatasetFormat)
        raise ValueError(
            f"the ending of {dataset.uri} tells none of the formats {known}: write the file as one of them, or, if it "
            "is one, set format"
        ) from None


def input_dtype(tensor: TensorSpec, source_format: SourceFormat) -> str | None:
    """Return the element type of an input; None: as the ONNX file has it."""
    return tensor.dtype or INPUT_DTYPES.get(source_format)


def calibration_data(data: CompressionData) -> tuple[str, Dataset] | None:
    """Return role and dataset that calibrate: `calibration`, else 256 samples of `train`, else None."""
    if data.calibration is not None:
        return "calibration", data.calibration
    if data.train is not None:
        samples = min(data.train.samples or CALIBRATION_SAMPLES, CALIBRATION_SAMPLES)
        return "train", data.train.model_copy(update={"samples": samples})
    return None


def _filled(part: Any) -> Any:
    if isinstance(part, ApiType):
        return with_defaults(part)
    if isinstance(part, tuple):
        return tuple(_filled(item) for item in part)
    return part
