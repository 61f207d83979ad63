"""`CompressedModel.spec`: what a user writes. Defaults stand in `defaults.py`, so that an unset field stays unset."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict

from .base import ApiType, Duration, Uri, rules
from .compression import Compression
from .compression_rules import each_recipe
from .evaluation import Evaluation
from .fields import SecretName
from .rollout import Rollout
from .serving import Serving
from .source import Source


class DeletionPolicy(StrEnum):
    """What becomes of files in the store."""

    RETAIN = "Retain"


class Artifacts(ApiType):
    """Where results are kept."""

    uri: Uri | None = None
    """fsspec URL of the store's root. Default: the installation's."""
    secret_name: SecretName | None = None
    """Secret that may write there; mounted in the container that uploads, alone. Default: the installation's."""
    read_secret_name: SecretName | None = None
    """Secret that may only read there; mounted in serving pods. Default: the installation's, else `secretName`."""
    deletion_policy: DeletionPolicy | None = None
    """Files stay when the resource goes. Default: Retain."""


class Update(ApiType):
    """When the source is looked at again."""

    model_config = ConfigDict(
        json_schema_extra=rules(("duration(self.interval) >= duration('10s')", "update.interval must be at least 10s"))
    )

    interval: Duration
    """Time between two looks: `5m`. At least 10s."""


def _builds_nothing(stages: str) -> str:
    """Return, in CEL, whether no stage builds another module of the source."""
    return (
        f"!{stages}.exists(stage, has(stage.distill) && (has(stage.distill.student)"
        " || has(stage.distill.teacher) && !has(stage.distill.teacher.name)))"
    )


def _graph_alone(stages: str) -> str:
    """Return, in CEL, whether none of `stages` needs a torch module."""
    return f"{stages}.all(stage, has(stage.fuse) || has(stage.quantize))"


NO_METRIC_OF_THE_SOURCE = (
    "!has(self.evaluation) || !has(self.evaluation.metrics)"
    " || !self.evaluation.metrics.exists(metric, metric.type == 'entrypoint')"
)
UNTRUSTED_METRIC = "a metric of type entrypoint runs code out of the source: set source.trustCode to true"
METRIC_WITHOUT_FOLDER = (
    "a metric of type entrypoint is a file of the source's folder, and source.uri names a single file: put both into"
    " one folder, and name that"
)


class CompressedModelSpec(ApiType):
    """The wanted state of one model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                f"self.source.format in ['torch', 'transformers'] || {each_recipe(_graph_alone, 'self.compression')}",
                "prune, cut, factorize, distill and finetune work on a torch module: with source.format onnx or"
                " torch-export, compression.stages may have fuse and quantize",
            ),
            (
                f"self.source.format == 'torch' || {each_recipe(_builds_nothing, 'self.compression')}",
                "distill.student and a distill.teacher without a name are built by an entrypoint: they need"
                " source.format torch",
            ),
            (
                "!has(self.compression.objective) || self.compression.objective.loss != 'Entrypoint'"
                " || has(self.source.trustCode) && self.source.trustCode",
                "objective.loss Entrypoint runs code out of the source: set source.trustCode to true",
            ),
            (
                f"{NO_METRIC_OF_THE_SOURCE} || has(self.source.trustCode) && self.source.trustCode",
                UNTRUSTED_METRIC,
            ),
            (
                f"{NO_METRIC_OF_THE_SOURCE} || !self.source.uri.endsWith('.onnx') && !self.source.uri.endsWith('.pt2')",
                METRIC_WITHOUT_FOLDER,
            ),
            (
                "!has(self.rollout) || !has(self.rollout.analysis) || !has(self.rollout.analysis.disagreement)"
                " || has(self.evaluation) && has(self.evaluation.test)",
                "rollout.analysis.disagreement needs evaluation.test, the data that both revisions are asked for",
            ),
        )
    )

    suspend: bool | None = None
    """While true nothing new is started; what serves goes on serving. Default: false."""
    source: Source
    """Where the model comes from."""
    compression: Compression
    """How it is made smaller: the stages of the recipe, and the data they may learn from."""
    evaluation: Evaluation | None = None
    """How result and original are compared, and what is demanded. Default: sizes only, nothing is demanded."""
    artifacts: Artifacts | None = None
    """Where results are kept. Default: the installation's store."""
    serving: Serving | None = None
    """How it is served. Default: one replica."""
    rollout: Rollout | None = None
    """How a new version takes over."""
    update: Update | None = None
    """When the source is looked at again. Default: only when the spec changes."""
