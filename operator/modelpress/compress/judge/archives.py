"""Arrays of samples in a zip, batch by batch: written and read without any of them lying in memory whole."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading an archive that is not whole raises."""


def put(archive: zipfile.ZipFile, names: Sequence[str], rows: slice, arrays: Arrays) -> None:
    """Write the samples `rows` of each array of `names`. Raises OSError."""
    for name, member in _members(names, rows):
        with archive.open(member, "w", force_zip64=True) as opened:
            numpy.lib.format.write_array(opened, numpy.ascontiguousarray(arrays[name]), allow_pickle=False)


def get(archive: zipfile.ZipFile, names: Sequence[str], rows: slice) -> Arrays:
    """Return the samples `rows` of each array of `names`, as they were written. Raises one of DAMAGED."""
    found = {}
    for name, member in _members(names, rows):
        with archive.open(member) as opened:
            found[name] = numpy.lib.format.read_array(opened, allow_pickle=False)
    return found


def _members(names: Sequence[str], rows: slice) -> Iterator[tuple[str, str]]:
    """Yield each name and its member's: a name may hold what no path may."""
    for number, name in enumerate(names):
        yield name, f"{rows.start}-{rows.stop}.{number}"
