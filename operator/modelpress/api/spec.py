"""`CompressedModel.spec`: what a user writes. Defaults stand in `defaults.py`, so that an unset field stays unset."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from .base import ApiType, Duration, Uri, rules
from .compression import Compression
from .evaluation import Evaluation
from .fields import SecretName
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


class Rollout(ApiType):
    """How a new revision takes over: it is started beside the old one and replaces it once it answers."""

    retry_token: Annotated[str, Field(max_length=63)] | None = None
    """Change it to have what was rejected tried again. Default: none."""
    revision_history_limit: Annotated[int, Field(ge=0, le=100)] | None = None
    """Old revisions that are kept for a return. Default: 5."""
    paused: bool | None = None
    """While true, a new revision is prepared but not started. Default: false."""


class Update(ApiType):
    """When the source is looked at again."""

    model_config = ConfigDict(
        json_schema_extra=rules(("duration(self.interval) >= duration('10s')", "update.interval must be at least 10s"))
    )

    interval: Duration
    """Time between two looks: `5m`. At least 10s."""


class CompressedModelSpec(ApiType):
    """The wanted state of one model."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.source.format != 'onnx'"
                " || self.compression.stages.all(stage, has(stage.fuse) || has(stage.quantize))",
                "prune, cut, distill and finetune work on a torch module: with source.format onnx, compression.stages"
                " may have fuse and quantize",
            )
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
