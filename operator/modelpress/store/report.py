"""report.json: all that the judge measured, and exactly which files; written by the judge, read by publish."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from modelpress.api.base import ApiType
from modelpress.api.figures import Figures

from .manifest import ManifestFile, Tensor


class Report(ApiType):
    """One comparison of original and result."""

    schema_version: Literal[1] = 1
    """Readers refuse any other."""
    figures: Figures
    """What gates are judged by."""
    batched: bool
    """Whether the first axis of every input and output is dynamic: the batch."""
    inputs: tuple[Tensor, ...]
    """Inputs of the result."""
    outputs: tuple[Tensor, ...]
    """Outputs of the result."""
    original: tuple[ManifestFile, ...]
    """Files of the original that a server must load, relative to the folder that compression left."""
    compressed: tuple[ManifestFile, ...]
    """The same of the result."""
    samples: int = 0
    """Test samples."""
    seed: int = 0
    """Seed of samples and bootstraps."""
    evaluation: dict[str, Any] = Field(default_factory=dict)
    """`spec.evaluation` as it was judged by, without gates."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Processor, threads, versions: what latency and last digits depend on."""
    warnings: tuple[str, ...] = ()
    """Sentences that a person should read."""
