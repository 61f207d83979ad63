"""What a pod of a new revision answered before it got any request: figures, and how far it and the old one disagree."""

from __future__ import annotations

from enum import StrEnum

from .base import ApiType
from .figures import MetricFigure


class Compare(StrEnum):
    """When two answers to one sample are the same."""

    ARGMAX = "Argmax"
    COSINE = "Cosine"
    ALLCLOSE = "Allclose"
    EXACT_MATCH = "ExactMatch"


class ServedLatency(ApiType):
    """Round trips over gRPC, one request at a time, in milliseconds."""

    batch_size: int
    """Samples per request."""
    requests: int
    """Requests that were timed."""
    p50: float
    """Median."""
    p95: float
    """95th percentile."""
    p99: float
    """99th percentile."""


class ServedFigures(ApiType):
    """What the serving runtime's own answers come to."""

    samples: int
    """Number of test samples; of random ones where there is no test data."""
    metrics: tuple[MetricFigure, ...] = ()
    """Quality, as `evaluation.metrics` asks; `compressed` is the serving runtime's."""
    latency: tuple[ServedLatency, ...] = ()
    """Latency, in the order of `evaluation.latency.batchSizes`; gates judge the first."""
    agreement: float | None = None
    """Fraction of answers that serving runtime and original give alike, as that of result and original."""


class DisagreementFigure(ApiType):
    """How often the new revision answered otherwise than the one that serves, on the same samples."""

    stable: str
    """ModelRevision that served at that time."""
    compare: Compare
    """When two answers are the same."""
    samples: int
    """Samples that both answered."""
    different: int
    """Those of them on which they differ."""
    unanswered: int = 0
    """Samples that the revision that serves could not answer, and that are left out."""

    @property
    def share(self) -> float:
        """Fraction of the samples on which they differ; 0 without samples."""
        return self.different / self.samples if self.samples else 0.0


class VerificationRecord(ApiType):
    """What is known of a revision by asking it before it got requests, and of the attempts to ask it."""

    figures: ServedFigures | None = None
    """What its answers come to."""
    measured_for: str = ""
    """Hash of the evaluation (metrics, latency, digest of the test data) that `figures` answer."""
    disagreement: DisagreementFigure | None = None
    """How far it and the revision that serves disagree."""
    compared_for: str = ""
    """Hash of evaluation, revision that serves, and way to compare that `disagreement` answers."""
    answers_digest: str = ""
    """`sha256:` over its answers to the test data, in order: the same for the same answers."""
    node: str = ""
    """Node that the pod ran on: latency depends on it."""
    at: str | None = None
    """When it was asked, RFC 3339."""
    attempts: int = 0
    """Attempts to ask it that have ended so far."""
    crashes: int = 0
    """Those of them that crashed or took too long, since something they depend on last changed."""
    setbacks: int = 0
    """Attempts in a row that the surroundings failed; the pause before the next grows with it."""
    next_attempt_at: str | None = None
    """When the next attempt is due, RFC 3339."""
    reason: str = ""
    """Why the last attempt has to be repeated, if it has: a constant that machines read."""
    message: str = ""
    """The same in a sentence."""
    retry_token: str = ""
    """`rollout.retryToken` at the time of the last attempt."""
