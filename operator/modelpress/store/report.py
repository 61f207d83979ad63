"""report.json: all that the judge measured, and exactly which files; written by the judge, read by publish."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from modelpress.api.base import ApiType
from modelpress.api.figures import Figures
from modelpress.api.resources import GateOutcome

from .manifest import ManifestFile, Tensor
from .search import Search


class Histogram(ApiType):
    """How values of original and result are spread, in the same bins of equal width."""

    low: float
    """Where the first bin begins."""
    high: float
    """Where the last bin ends. Weights beyond are counted in the outermost bins, times beyond in none."""
    original: tuple[float, ...]
    """Part of the original's values in each bin, 0 to 1."""
    compressed: tuple[float, ...] = ()
    """The same of the result; empty if its values cannot be told."""


class LayerFigure(ApiType):
    """The weights of one operation of the original, and of the one that took its place."""

    name: str
    """As the original calls its weights or its node."""
    operator: str
    """ONNX operator of the original: `Gemm`."""
    parameters: int
    """Elements of the original's weights."""
    original_bytes: int
    """Bytes of the original's weights."""
    compressed_parameters: int | None = None
    """Elements of the result's weights, scales counted in. None: the result has no such operation."""
    compressed_bytes: int | None = None
    """Bytes of the result's weights, scales counted in."""
    histogram: Histogram | None = None
    """Values of the weights, of the largest layers only."""


class LatencyDetail(ApiType):
    """All that was timed at one batch size. Blocks are ABBA: original, result, result, original."""

    batch_size: int
    """Samples per request."""
    threads: int
    """Threads of the runtime."""
    blocks: int
    """Number of blocks."""
    percents: tuple[float, ...]
    """Which percentiles follow."""
    original: tuple[float, ...]
    """Percentiles of the original, in milliseconds."""
    compressed: tuple[float, ...]
    """Percentiles of the result, in milliseconds."""
    speedup: float
    """Median over blocks of the original's time by the result's: 2.0 is twice as fast."""
    speedup_low: float
    """Lower bound of it, with 95 % confidence."""
    speedup_high: float
    """Upper bound of it, with 95 % confidence."""
    histogram: Histogram
    """The times, in milliseconds."""


class Memory(ApiType):
    """Memory of a process that loads the model and answers once, above that of a process without one."""

    original: int
    """Bytes, at its greatest."""
    compressed: int
    """The same of the result."""


class NearDuplicates(ApiType):
    """Test samples that are nearly, but not quite, in another dataset."""

    role: str
    """train, validation or calibration."""
    count: int
    """So many of the test samples that were looked at."""
    of: int
    """Test samples that were looked at; of large datasets some."""
    pairs: tuple[tuple[int, int], ...] = ()
    """A few of them: row of the test data, and of the other; the first row is 0."""


class Leaks(ApiType):
    """What `fetch` found of test samples that others may have seen. The judge passes it on."""

    warnings: tuple[str, ...] = ()
    """Sentences that a person should read."""
    near_duplicates: tuple[NearDuplicates, ...] = ()
    """By role of the other dataset."""


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
    """`spec.evaluation` as it was judged by."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Processor, threads, versions: what latency and last digits depend on."""
    warnings: tuple[str, ...] = ()
    """Sentences that a person should read."""
    near_duplicates: tuple[NearDuplicates, ...] = ()
    """Test samples that are nearly in other data, for each dataset they were compared with."""
    name: str = ""
    """Name of the model."""
    gates: tuple[GateOutcome, ...] = ()
    """The gates that were set when this was measured, judged. Whoever changes gates judges the same figures anew."""
    latency: tuple[LatencyDetail, ...] = ()
    """What `figures.latency` sums up."""
    layers: tuple[LayerFigure, ...] = ()
    """Where the bytes are, in the order of the original's graph. What belongs to no layer is not in it."""
    weights: Histogram | None = None
    """Values of all weights with two axes or more."""
    memory: Memory | None = None
    """What serving takes, beside the files."""
    search: Search | None = None
    """How the recipe was searched for; none if it was given. Told by compression, beside tenants' code, of validation
    data: shown, and no gate is judged by it."""
