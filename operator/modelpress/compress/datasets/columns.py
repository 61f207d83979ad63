"""Columns of a dataset's file, by name: arrays whose first axis counts samples. Loaded when asked for."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.data import DatasetFormat
from modelpress.api.reasons import Reason

from ..errors import Judged
from ..hollow import hollow
from .ragged import is_ragged, join, split

Array = NDArray[Any]

TEXT = numpy.dtypes.StringDType()
"""Element type of columns of text, whose samples may be of any length."""


@dataclass(frozen=True)
class Columns:
    """The columns of one file."""

    path: Path
    names: tuple[str, ...]
    """In the order of the file."""
    _load: Callable[[str], Array]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def load(self, name: str, *, text: bool = False) -> Array:
        """Return column `name`, mapped from the file where its format allows; `text`: it may hold strings.

        Raises Judged with DatasetInvalid.
        """
        try:
            array = self._load(name)
        except Judged:
            raise
        except (ValueError, TypeError, OSError, KeyError, EOFError, zipfile.BadZipFile, OverflowError) as error:
            raise _invalid(self.path, f"column {name!r} cannot be read: {error}") from error
        if text and array.dtype.kind in "UT":
            return array
        kind = array[0].dtype.kind if is_ragged(array) else array.dtype.kind
        if kind not in "buif":
            held = "text" if kind in "UT" else array.dtype
            raise _invalid(self.path, f"column {name!r} holds {held}, not numbers: convert it")
        if array.ndim == 0:
            raise _invalid(self.path, f"column {name!r} is a single number, not one value for each sample")
        return array


def open_columns(path: Path, file_format: DatasetFormat) -> Columns:
    """Return the columns of the file at `path`. Raises Judged with DatasetInvalid if it is no such file."""
    opener = {
        DatasetFormat.NPZ: _open_npz,
        DatasetFormat.SAFETENSORS: _open_safetensors,
        DatasetFormat.PARQUET: _open_parquet,
        DatasetFormat.JSONL: _open_jsonl,
    }[file_format]
    complaint = hollow(path)
    if complaint is not None:
        raise Judged(Reason.DATASET_INVALID, f"dataset {complaint}")
    try:
        columns = opener(path)
    except Judged:
        raise
    except ModuleNotFoundError:
        raise
    except Exception as error:  # each format's reader has exceptions of its own
        raise _invalid(path, f"is no readable {file_format} file: {' '.join(str(error).split())[:200]}") from error
    if not columns.names:
        raise _invalid(path, "holds no columns")
    return columns


def _open_npz(path: Path) -> Columns:
    with zipfile.ZipFile(path) as archive:
        members = {
            info.filename.removesuffix(".npy"): info for info in archive.infolist() if info.filename.endswith(".npy")
        }

    def load(name: str) -> Array:
        info = members[name]
        with zipfile.ZipFile(path) as archive, archive.open(info) as member:
            shape, fortran, dtype = _npy_header(member)
            if dtype.hasobject:
                raise _invalid(
                    path, f"column {name!r} holds pickled objects, which are never loaded: save plain numbers"
                )
            if info.compress_type == zipfile.ZIP_STORED and not fortran and 0 not in shape:
                return numpy.memmap(path, dtype, "r", _data_offset(path, info) + member.tell(), shape)
        with numpy.load(path, allow_pickle=False) as file:
            return numpy.asarray(file[name])

    return Columns(path, tuple(members), load)


def _npy_header(member: Any) -> tuple[tuple[int, ...], bool, numpy.dtype[Any]]:
    """Read the header of an npy file; return shape, whether in Fortran's order, and dtype."""
    version = numpy.lib.format.read_magic(member)
    if version == (1, 0):
        return numpy.lib.format.read_array_header_1_0(member)
    return numpy.lib.format.read_array_header_2_0(member)


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of a stored member begin: behind its local header, whose lengths are its own."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
    return info.header_offset + 30 + name + extra


def _open_safetensors(path: Path) -> Columns:
    from safetensors import safe_open  # noqa: PLC0415 - loaded with the format

    with safe_open(path, framework="numpy") as file:
        names = tuple(file.keys())

    def load(name: str) -> Array:
        with safe_open(path, framework="numpy") as file:
            return numpy.asarray(file.get_tensor(name))

    return Columns(path, names, load)


def _open_parquet(path: Path) -> Columns:
    from pyarrow import parquet  # noqa: PLC0415 - not in the operator's image

    names = tuple(parquet.read_schema(path).names)

    def load(name: str) -> Array:
        column = parquet.read_table(path, columns=[name], memory_map=True).column(name)
        return _nested(column.combine_chunks(), path, name)

    return Columns(path, names, load)


def _nested(values: Any, path: Path, name: str) -> Array:
    """Return an arrow array, of lists of lists of … numbers, as one array; ragged if lists differ in length."""
    import pyarrow  # noqa: PLC0415

    if isinstance(values, pyarrow.ChunkedArray):
        values = values.combine_chunks() if values.num_chunks else pyarrow.array([], values.type)
    if values.null_count:
        raise _invalid(path, f"column {name!r} has {values.null_count} empty values: fill or drop them")
    kind = values.type
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind) or pyarrow.types.is_fixed_size_list(kind):
        lengths = pyarrow.compute.list_value_length(values).to_numpy(zero_copy_only=False)
        inner = _nested(values.flatten(), path, name)
        if len(values) and (is_ragged(inner) or (lengths != lengths[0]).any()):
            return split(inner, lengths)
        return inner.reshape((len(values), lengths[0] if len(values) else 0, *inner.shape[1:]))
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return numpy.asarray(values.to_pylist(), TEXT)
    return numpy.asarray(values.to_numpy(zero_copy_only=False))


def _open_jsonl(path: Path) -> Columns:
    first = next(_rows(path), None)
    names = tuple(first) if first else ()

    def load(name: str) -> Array:
        values: list[Array] = []
        texts: list[str] = []
        for number, row in enumerate(_rows(path), start=1):
            if name not in row:
                raise _invalid(path, f"line {number} has no column {name!r}")
            if isinstance(row[name], str) and not values:
                texts.append(row[name])
                continue
            if texts:
                raise _invalid(path, f"column {name!r} is text in the lines before {number}, and not there")
            value = numpy.asarray(row[name])
            if value.dtype.kind == "O":
                raise _invalid(path, f"column {name!r} has no number and no text in line {number}: fill or drop it")
            if values and value.ndim != values[0].ndim:
                shapes = f"{list(value.shape)}, the lines before {list(values[0].shape)}"
                raise _invalid(path, f"column {name!r} has shape {shapes} in line {number}")
            values.append(value)
        return numpy.asarray(texts, TEXT) if texts else join(values)

    return Columns(path, names, load)


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a jsonl file."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise _invalid(path, f"line {number} is no JSON: {error}") from error
            if not isinstance(row, dict):
                raise _invalid(path, f"line {number} is no JSON object")
            yield row


def _invalid(path: Path, problem: str) -> Judged:
    return Judged(Reason.DATASET_INVALID, f"dataset {path.name}: {problem}")
