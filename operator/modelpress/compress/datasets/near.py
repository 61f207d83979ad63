"""Samples of two datasets that are nearly the same: found by sketches, then compared for real. Bounded in memory.

Text and tokens are compared as sets of runs of neighbours, by MinHash in bands (Broder 1997; Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, section 3.4): a pair that shares a band is looked at, and is near if the sets are
(Jaccard). Numbers are compared as vectors around the mean, by the signs of random projections in bands (Charikar 2002,
section 3), and are near if little of what sets them apart from the mean differs. No model is asked: a paraphrase is not
near, a corrected typo, another crop of white space or a little noise is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy
from numpy.typing import NDArray

from .columns import Array
from .fitting import ROWS
from .ragged import is_ragged

MOST = 10_000
"""Samples of one dataset that are looked at, drawn by a fixed seed."""
LOOKED_AT = 4
"""Samples that share a band with one are compared with it, at most so many for each band."""
LIKE = 0.8
"""Texts with so much in common (Jaccard) are near."""
RUN = {"text": 5, "tokens": 3}
"""Characters or tokens of a run."""
LONGEST = 20_000
"""Characters or tokens of a sample that are looked at."""
HASHES, BANDS = 64, 16
"""Hashes of a set, and bands they are cut into: of pairs at the limit 99.98 % share one, at half of it one in three."""
APART = 0.1
"""Vectors are near if their difference is at most so long, in parts of the distance from the mean."""
SIGNS, SIGN_BANDS = 64, 4
"""Signs of a vector, and bands they are cut into: of pairs at the limit 97 % share one."""
FEATURES = 16_384
"""Numbers of a sample that are projected, drawn by a fixed seed."""
NUMBERS = 2**24
"""Numbers that are held at a time."""
SEED = 20_251_130
PRIME = numpy.uint64((1 << 61) - 1)

Keys = NDArray[numpy.uint64]


@dataclass(frozen=True)
class Near:
    """A sample of one dataset, and one of another that is nearly the same; rows of their files."""

    row: int
    other: int


class _Kind(Protocol):
    """How samples of one kind are sketched and compared."""

    def keys(self, columns: Mapping[str, Array], rows: Array) -> Keys:
        """Return a key for each band, (rows, bands)."""

    def same(self, first: Mapping[str, Array], row: int, second: Mapping[str, Array], other: int) -> bool:
        """Return whether two samples are near, and not equal."""


def near_duplicates(test: Mapping[str, Array], other: Mapping[str, Array]) -> tuple[list[Near], int]:
    """Return the samples of `test` that are nearly in `other`, each once, and how many were looked at.

    Both are columns by name. Equal samples are not among them. Columns that only one has are not looked at.
    """
    names = sorted(set(test) & set(other))
    kind = _kind({name: test[name] for name in names})
    if kind is None:
        return [], 0
    ours, theirs = (_drawn({name: columns[name] for name in names}) for columns in (test, other))
    first, second = kind.keys(test, ours), kind.keys(other, theirs)
    found: dict[int, Near] = {}
    for place, candidate in _sharing(first, second):
        row, match = int(ours[place]), int(theirs[candidate])
        if row not in found and kind.same(test, row, other, match):
            found[row] = Near(row, match)
    return [found[row] for row in sorted(found)], len(ours)


def _drawn(columns: Mapping[str, Array]) -> NDArray[numpy.int64]:
    count = min(len(column) for column in columns.values())
    if count <= MOST:
        return numpy.arange(count)
    return numpy.sort(numpy.random.default_rng(SEED).choice(count, MOST, replace=False))


def _sharing(first: Keys, second: Keys) -> Iterator[tuple[int, int]]:
    """Yield places of samples that share a band, a few for each sample."""
    for band in range(first.shape[1]):
        order = numpy.argsort(second[:, band], kind="stable")
        ordered = second[order, band]
        begin, end = (numpy.searchsorted(ordered, first[:, band], side) for side in ("left", "right"))
        for place in numpy.flatnonzero(end > begin):
            for match in order[begin[place] : min(end[place], begin[place] + LOOKED_AT)]:
                yield int(place), int(match)


def _kind(columns: Mapping[str, Array]) -> _Kind | None:
    """Return how samples are compared: as text, else as tokens (whole numbers along one axis), else as vectors."""
    text = [name for name, column in columns.items() if column.dtype.kind in "UT"]
    if text:
        return _Sets(text, RUN["text"])
    tokens = [name for name, column in columns.items() if _are_tokens(column)]
    if tokens:
        return _Sets(tokens, RUN["tokens"])
    numbers = [name for name, column in columns.items() if not is_ragged(column)]
    return _Vectors({name: columns[name] for name in numbers}) if numbers else None


def _are_tokens(column: Array) -> bool:
    """Return whether samples are sequences of whole numbers; of 0 and 1 alone they are a mask."""
    first = column[0] if is_ragged(column) and len(column) else column
    whole = first.dtype.kind in "iu" and first.dtype.itemsize > 1
    sequence = first.ndim == 1 if is_ragged(column) else column.ndim == 2
    if not (whole and sequence and len(column)):
        return False
    return any(int(numpy.max(sample, initial=0)) > 1 for sample in column[: min(len(column), ROWS)])


@dataclass(frozen=True)
class _Sets:
    """Samples as sets of runs of neighbours."""

    names: list[str]
    run: int

    def keys(self, columns: Mapping[str, Array], rows: Array) -> Keys:
        random = numpy.random.default_rng(SEED)
        factors, shifts = (random.integers(1, 1 << 31, HASHES, numpy.uint64) for _ in range(2))
        found = numpy.empty((len(rows), BANDS), numpy.uint64)
        for place, row in enumerate(rows):
            runs = self.runs(columns, int(row)) & numpy.uint64(0xFFFFFFFF)
            least = numpy.full(HASHES, PRIME)
            for start in range(0, len(runs), ROWS):
                hashed = (runs[start : start + ROWS, None] * factors + shifts) % PRIME
                least = numpy.minimum(least, hashed.min(0))
            bands = least.reshape(BANDS, -1)
            key = numpy.arange(BANDS, dtype=numpy.uint64)
            for part in bands.T:
                key = _mixed(key, part)
            found[place] = key
        return found

    def same(self, first: Mapping[str, Array], row: int, second: Mapping[str, Array], other: int) -> bool:
        ours, theirs = self.runs(first, row), self.runs(second, other)
        both = len(numpy.intersect1d(ours, theirs, assume_unique=True))
        either = len(ours) + len(theirs) - both
        return LIKE * either <= both and not self._equal(first, row, second, other)

    def runs(self, columns: Mapping[str, Array], row: int) -> Keys:
        """Return the hashes of all runs of a sample, each once."""
        found = []
        for number, name in enumerate(self.names):
            units = _units(columns[name][row])
            width = min(self.run, max(len(units), 1))
            key = numpy.full(max(len(units) - width + 1, 0), number, numpy.uint64)
            for step in range(width):
                key = _mixed(key, units[step : len(units) - width + 1 + step])
            found.append(key)
        return numpy.unique(numpy.concatenate(found))

    def _equal(self, first: Mapping[str, Array], row: int, second: Mapping[str, Array], other: int) -> bool:
        return all(numpy.array_equal(first[name][row], second[name][other]) for name in self.names)


def _units(sample: object) -> Keys:
    """Return characters of a text, in lower case with single spaces, or tokens."""
    if isinstance(sample, str):
        text = " ".join(sample[:LONGEST].lower().split())
        return numpy.frombuffer(text.encode("utf-32-le"), numpy.uint32).astype(numpy.uint64)
    return numpy.asarray(sample)[:LONGEST].astype(numpy.int64).view(numpy.uint64)


def _mixed(key: Keys, value: Keys) -> Keys:
    """Return a hash of both (the finalizer of SplitMix64, Steele, Lea and Flood 2014)."""
    mixed = key * numpy.uint64(0x9E3779B97F4A7C15) + value + numpy.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> numpy.uint64(31))


class _Vectors:
    """Samples as vectors around the mean of one of the datasets."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self.names = sorted(columns)
        width = self._rows(columns, [0]).shape[1]
        self.step = max(1, NUMBERS // width)
        self.mean = self._rows(columns, slice(0, self.step)).mean(0)
        random = numpy.random.default_rng(SEED)
        self.features = numpy.sort(random.permutation(width)[:FEATURES])
        self.planes = random.standard_normal((len(self.features), SIGNS)).astype(numpy.float32)

    def keys(self, columns: Mapping[str, Array], rows: Array) -> Keys:
        found = numpy.empty((len(rows), SIGN_BANDS), numpy.uint64)
        for start in range(0, len(rows), self.step):
            part = self._rows(columns, rows[start : start + self.step]) - self.mean
            signs = part[:, self.features] @ self.planes > 0
            packed = numpy.packbits(signs.reshape(len(part), SIGN_BANDS, -1), axis=-1).astype(numpy.uint64)
            found[start : start + len(part)] = packed[..., 0] << numpy.uint64(8) | packed[..., 1]
        return found

    def same(self, first: Mapping[str, Array], row: int, second: Mapping[str, Array], other: int) -> bool:
        one, another = self._rows(first, [row])[0], self._rows(second, [other])[0]
        apart = float(numpy.linalg.norm(one - another))
        return 0 < apart <= APART * float(numpy.linalg.norm(one - self.mean))

    def _rows(self, columns: Mapping[str, Array], rows: slice | Array | list[int]) -> NDArray[numpy.float32]:
        parts = [columns[name][rows] for name in self.names]
        return numpy.concatenate([part.reshape(len(part), -1).astype(numpy.float32) for part in parts], axis=1)
