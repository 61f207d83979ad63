"""What the judge hands to functions of the source: both models' answers to the test data, and the truth.

Written by the judge, read where the source's code runs, which can change none of it. The way back are numbers alone:
two for each sample and metric, in a file whose size they decide.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.base import ApiType
from modelpress.api.defaults import EffectiveMetric
from modelpress.api.reasons import Reason

from ..datasets import Samples, rows_of
from ..errors import Judged
from . import archives
from .archives import Arrays

Scores = NDArray[numpy.float64]

INDEX, GROUP = "index.json", "group.npy"
PARTS = ("original", "compressed", "targets", "columns")
"""Archives: answers of both models by output, truth by output, further columns by their own names."""
NUMBER = numpy.dtype("<f8")
"""How a score is written."""
MODELS = 2
"""Rows of scores: of the original, and of the result."""


class Index(ApiType):
    """What was recorded."""

    samples: int
    """Number of test samples."""
    batches: tuple[tuple[int, int], ...]
    """First sample of each batch, and the one after its last."""
    names: dict[str, tuple[str, ...]]
    """Arrays in each of PARTS."""


@dataclass(frozen=True)
class Batch:
    """Some samples; the first axis of every array counts them."""

    rows: slice
    original: Arrays
    """What the original answers, by output."""
    compressed: Arrays
    """What the result answers."""
    targets: Arrays
    """The truth, by output."""
    columns: Arrays
    """Further columns, by their own names."""


class Recorder:
    """Keeps what is answered, batch by batch. It is there once all of it is."""

    def __init__(
        self, folder: Path, metrics: Sequence[EffectiveMetric], outputs: Sequence[str], samples: Samples
    ) -> None:
        """`metrics`: those of the source; `outputs`: all that the model has."""
        asked = {metric.output for metric in metrics}
        kept = tuple(outputs) if None in asked else tuple(name for name in outputs if name in asked)
        self.folder = folder
        self.samples = samples
        self.columns = {metric.target: samples.columns[metric.target] for metric in metrics if metric.target}
        self.names = dict(zip(PARTS, (kept, kept, tuple(samples.targets), tuple(self.columns)), strict=True))
        self.batches: list[tuple[int, int]] = []
        self.stack = ExitStack()
        self.archives: dict[str, zipfile.ZipFile] = {}

    def __enter__(self) -> Recorder:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.archives = {
            part: self.stack.enter_context(zipfile.ZipFile(self.folder / f"{part}.zip", "w")) for part in PARTS
        }
        return self

    def see(self, rows: slice, original: Arrays, compressed: Arrays) -> None:
        """Take in the answers to samples `rows`."""
        targets = {name: rows_of(truth, rows) for name, truth in self.samples.targets.items()}
        columns = {name: rows_of(values, rows) for name, values in self.columns.items()}
        for part, arrays in zip(PARTS, (original, compressed, targets, columns), strict=True):
            archives.put(self.archives[part], self.names[part], rows, arrays)
        self.batches.append((rows.start, rows.stop))

    def __exit__(self, kind: object, *_error: object) -> None:
        self.stack.close()
        if kind is not None:
            return
        if self.samples.group is not None:
            numpy.save(self.folder / GROUP, self.samples.group, allow_pickle=False)
        index = Index(samples=self.samples.count, batches=tuple(self.batches), names=self.names)
        (self.folder / INDEX).write_text(index.model_dump_json(by_alias=True), encoding="utf-8")


class Recorded:
    """What a Recorder left in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index = Index.model_validate_json((folder / INDEX).read_bytes())

    def batches(self) -> Iterator[Batch]:
        """Yield all samples, in order."""
        with ExitStack() as stack:
            opened = {part: stack.enter_context(zipfile.ZipFile(self.folder / f"{part}.zip")) for part in PARTS}
            for start, stop in self.index.batches:
                rows = slice(start, stop)
                parts = (archives.get(opened[part], self.index.names[part], rows) for part in PARTS)
                yield Batch(rows, *parts)

    def group(self) -> NDArray[Any] | None:
        """Return which samples belong together, (samples,); None: each stands for itself."""
        path = self.folder / GROUP
        return numpy.load(path, allow_pickle=False) if path.is_file() else None


def write_scores(folder: Path, metric: str, scores: Scores) -> None:
    """Leave the scores of `metric`, (2, samples), of the original and of the result."""
    folder.mkdir(parents=True, exist_ok=True)
    scores.astype(NUMBER).tofile(folder / metric)


def read_scores(folder: Path, metric: str, samples: int) -> Scores:
    """Return what was left of the scores of `metric`, (2, samples). Raises Judged with EntrypointFailed.

    Whatever the source's code made of the file, it is read as so many numbers or not at all.
    """
    told = f"metric {metric}: the source's code left"
    try:
        descriptor = os.open(folder / metric, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise Judged(Reason.ENTRYPOINT_FAILED, f"{told} no scores ({error.strerror})") from error
    wanted = MODELS * samples * NUMBER.itemsize
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != wanted:
            raise Judged(
                Reason.ENTRYPOINT_FAILED,
                f"{told} {found.st_size:,} bytes, not two scores of {NUMBER.itemsize} bytes for each of {samples:,} "
                "samples: it must return them and write nothing itself",
            )
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            scores = numpy.frombuffer(opened.read(wanted), NUMBER).astype(numpy.float64)
    finally:
        os.close(descriptor)
    if scores.size != MODELS * samples or not numpy.isfinite(scores).all():
        raise Judged(Reason.ENTRYPOINT_FAILED, f"{told} scores that are not finite numbers")
    return scores.reshape(MODELS, samples)
