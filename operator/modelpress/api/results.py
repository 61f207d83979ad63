"""What a container answers: one JSON document in its termination message, and an exit code."""

from __future__ import annotations

from enum import IntEnum

from pydantic import Field

from .base import ApiType, Digest
from .figures import Figures
from .reasons import Reason
from .verification import DisagreementFigure, ServedFigures

MESSAGE_LIMIT = 1536
"""Bytes of a termination message. Kubernetes cuts at 4,096 for one container and 12,288 for a pod."""


class ExitCode(IntEnum):
    """How a container of ours ends. Anything else is a crash."""

    DONE = 0
    JUDGED = 10
    """The input is at fault; the same input will fail again."""
    ENVIRONMENT = 20
    """The surroundings are at fault; the same input may work later."""


class Failure(ApiType):
    """Why a container could not do its task."""

    reason: Reason
    """A constant that machines read."""
    message: str
    """One sentence for a person: what was wrong, where, and what to do."""


class ResolveResult(ApiType):
    """What the URIs hold now."""

    source: Digest
    """Digest of the source."""
    datasets: dict[str, Digest] = Field(default_factory=dict)
    """Digests of the datasets, by role; of a teacher by `teacher.<name>`."""


class PublishResult(ApiType):
    """What was put into the store."""

    manifest_digest: Digest
    """Digest of manifest.json, which holds the digests of all other files."""
    report_digest: Digest
    """Digest of report.json."""
    figures: Figures
    """The summary of the report."""
    batched: bool
    """Whether the model has a batch axis, so that the server may batch requests."""
    memory: int | None = None
    """Bytes of memory that a process took to load the result and answer once; none if that was not measured."""
    recipe: str | None = None
    """The recipe that a search chose, in a few words; none if it was given."""
    warnings: tuple[str, ...] = ()
    """Sentences that a person should read: a layer that could not be quantized, samples that are in both training and
    test data."""


class AskResult(ApiType):
    """What a server answered to the test data."""

    figures: ServedFigures
    """What its answers come to."""
    disagreement: DisagreementFigure | None = None
    """How far it and the other server disagree, if there was another one to ask."""
    answers_digest: Digest
    """`sha256:` over its answers to the test data, in order."""


class Progress(ApiType):
    """What a running compression says of itself at http://<pod>:8090/progress. Shown, never decisive."""

    stage: str
    """What is being done: `finetune`, `quantize`, `export`."""
    position: int = 0
    """Number of the stage, from 1."""
    of: int = 0
    """Number of stages."""
    fraction: float = 0.0
    """Part of this stage that is done, 0 to 1."""
    detail: str = ""
    """A few words: `epoch 12 of 30, loss 0.0312`."""
