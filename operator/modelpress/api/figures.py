"""Figures of a compression: what it cost and what it brought. Written by the judge, shown in status, read by gates."""

from __future__ import annotations

from .base import ApiType


class DiscordantPairs(ApiType):
    """Samples on which original and result were not both right or both wrong."""

    original_only: int
    """Samples that only the original got right."""
    compressed_only: int
    """Samples that only the result got right."""


class MetricFigure(ApiType):
    """One metric of original and result on the same test samples, in the same run."""

    name: str
    """Name of the metric."""
    original: float
    """Value of the original."""
    compressed: float
    """Value of the result."""
    higher_is_better: bool
    """Direction of the metric."""
    least: float | None = None
    """Value below which no model can be: no bound goes there. None: not known."""
    most: float | None = None
    """Value above which none can be."""
    samples: int
    """Number of test samples."""
    groups: int | None = None
    """Number of groups that the samples came in, as `evaluation.group` says. None: each sample stands for itself."""
    pairs: DiscordantPairs | None = None
    """For metrics that count right answers: where the two differ. The interval of the difference comes from it."""
    design_effect: float | None = None
    """For `pairs` of samples in groups: how many samples say as much about the difference as one drawn by itself."""
    compressed_design_effect: float | None = None
    """The same about the value of the result."""
    standard_error: float | None = None
    """Standard error of (compressed - original), paired, by bootstrap; for metrics without `pairs`."""
    compressed_standard_error: float | None = None
    """Standard error of `compressed`, by bootstrap; for metrics without `pairs`."""


class LatencyFigure(ApiType):
    """Time of one request, original and result in alternation, in milliseconds."""

    batch_size: int
    """Samples per request."""
    original_p50: float
    """Median of the original."""
    compressed_p50: float
    """Median of the result."""
    original_p99: float
    """99th percentile of the original."""
    compressed_p99: float
    """99th percentile of the result."""


class Figures(ApiType):
    """All that gates are judged by."""

    original_bytes: int
    """Bytes on disk of everything the server must load for the original."""
    compressed_bytes: int
    """The same of the result."""
    metrics: tuple[MetricFigure, ...] = ()
    """Quality, as `evaluation.metrics` asks."""
    latency: tuple[LatencyFigure, ...] = ()
    """Latency, in the order of `evaluation.latency.batchSizes`; gates judge the first."""
    agreement: float | None = None
    """Fraction of answers that result and original give alike: the same class or whole number, or vectors with a
    cosine of 0.99 where metrics ask for that. Of a sample with many, such as one for each token, the mean counts. None
    for amounts."""

    @property
    def ratio(self) -> float:
        """Original size by the size of the result."""
        return self.original_bytes / max(self.compressed_bytes, 1)
