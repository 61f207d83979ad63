"""The original's answers, asked once: every rung, trial and recipe after it is compared with the same ones.

Kept are answers, not scores: whatever metric is asked for later is computed from them. The key is everything that
decides them: the files of the original, the samples themselves, how many are asked together, processor, threads and
versions. Latency is not among them: it is measured side by side, each time. What cannot be kept or read is asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy

from modelpress.api.keys import canonical_json

from ..datasets import Samples
from ..datasets.ragged import is_ragged
from . import archives
from .answers import Arrays, ask
from .environment import describe_environment
from .models import Model

VERSION = 1
"""Goes into every key. It grows when the same model and samples come to be asked otherwise."""
ANSWERS = "answers.npz"
LARGEST = 2**30
"""Most bytes of answers that are kept for one model and one set of samples."""
ROWS = 4096
"""Samples that are digested together: a mapped column never lies in memory whole."""


class Answers(Protocol):
    """Whoever gives the original's answers."""

    def __call__(self, rows: slice) -> Arrays:
        """Return the answers to samples `rows`. Raises Judged."""


@contextmanager
def answers_of(original: Model, samples: Samples, folder: Path | None, most: int) -> Iterator[Answers]:
    """Yield who gives the original's answers to all samples, at most `most` at once, from the first to the last.

    `folder`: what earlier runs left for this one, and this one leaves for later ones; None: nothing.
    """
    asked = partial(ask, original, samples.inputs)
    if folder is None:
        yield asked
        return
    place = folder / _key(original, samples, most)
    try:
        archive = zipfile.ZipFile(place / ANSWERS)
    except (OSError, zipfile.BadZipFile):
        with _Kept(place, [tensor.name for tensor in original.outputs], asked, samples.count) as kept:
            yield kept
        return
    with archive:
        yield partial(_read, archive, [tensor.name for tensor in original.outputs], asked)


def _read(archive: zipfile.ZipFile, names: list[str], asked: Answers, rows: slice) -> Arrays:
    try:
        return archives.get(archive, names, rows)
    except archives.DAMAGED:
        return asked(rows)


@dataclass
class _Kept:
    """Asks, and keeps what is answered, aside until all of it is there."""

    place: Path
    names: list[str]
    asked: Answers
    count: int

    def __enter__(self) -> Answers:
        self.aside = self.place.with_name(f".{uuid.uuid4().hex}")
        self.archive: zipfile.ZipFile | None = None
        self.bytes = self.done = 0
        with contextlib.suppress(OSError):
            self.aside.mkdir(parents=True)
            self.archive = zipfile.ZipFile(self.aside / ANSWERS, "w")
        return self

    def __call__(self, rows: slice) -> Arrays:
        answers = self.asked(rows)
        self.bytes += sum(array.nbytes for array in answers.values())
        if self.archive is None or self.bytes > LARGEST:
            return answers
        try:
            archives.put(self.archive, self.names, rows, answers)
        except OSError:  # the disk is full, say: nothing is kept
            self.bytes = LARGEST + 1
        self.done = rows.stop
        return answers

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            if self.archive is not None:
                self.archive.close()
                if self.done == self.count and self.bytes <= LARGEST:
                    shutil.rmtree(self.place, ignore_errors=True)
                    self.aside.rename(self.place)
        shutil.rmtree(self.aside, ignore_errors=True)


def _key(original: Model, samples: Samples, most: int) -> str:
    content = {
        "version": VERSION,
        "original": [[file.path, file.digest] for file in original.files],
        "samples": {name: _digest(array) for name, array in samples.inputs.items()},
        "most": most,
        "environment": describe_environment(original.threads),
    }
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _digest(column: Any) -> str:
    """Return a digest of samples, dense or of different sizes."""
    found = hashlib.sha256(f"{column.dtype} {column.shape}".encode())
    for start in range(0, len(column), ROWS):
        part = column[start : start + ROWS]
        for array in part if is_ragged(column) else [part]:
            if is_ragged(column):
                found.update(f"{array.dtype} {array.shape}".encode())
            found.update(numpy.ascontiguousarray(array).data)
    return found.hexdigest()
