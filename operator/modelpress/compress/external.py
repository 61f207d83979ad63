"""Weights that lie beside an ONNX file: read where they are, written one after the other, never all in memory.

While a graph is open (`graph.load`), a large weight says by an absolute path where its bytes lie, whoever wrote them
there: an exporter, a runtime, or a stage that puts into a Spool what it makes. `graph.save` gathers them beside the new
file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]


LARGE = 1024
"""Bytes from which a weight may lie outside: shapes are inferred from small ones."""
PAGE = 4096
"""Weights begin at multiples of this, so that runtimes can map them."""
PIECE = 2**24
"""Bytes that are copied at a time."""
PACKED = frozenset({onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.FLOAT4E2M1})
"""Element types of which a byte holds two."""


@dataclass(frozen=True)
class Place:
    """Where the bytes of a weight lie."""

    path: Path
    offset: int
    length: int


def place_of(tensor: Any) -> Place | None:
    """Return where the bytes of a weight of an open graph lie, None if in the graph itself."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return Place(Path(entries["location"]), int(entries["offset"]), int(entries["length"]))


def put(tensor: Any, place: Place) -> None:
    """Have a tensor say, in place, that its bytes lie there."""
    for name in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(name)
    del tensor.external_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place.path), ("offset", place.offset), ("length", place.length)):
        tensor.external_data.add(key=key, value=str(value))


def size_of(tensor: Any) -> int:
    """Return the bytes of a weight, wherever they lie."""
    place = place_of(tensor)
    return int(tensor.ByteSize()) if place is None else place.length


def array(tensor: Any) -> Array:
    """Return the values of a weight of an open graph; what lies in a file is mapped, and cannot be written to."""
    place = place_of(tensor)
    if place is None:
        return np.asarray(numpy_helper.to_array(tensor))
    kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    shape = tuple(tensor.dims)
    if kind.itemsize * int(np.prod(shape)) == place.length:
        return np.memmap(place.path, kind, "r", place.offset, shape)
    whole = onnx.TensorProto()
    whole.CopyFrom(tensor)
    _bring_in(whole)
    return np.asarray(numpy_helper.to_array(whole))  # two elements to a byte


def open_places(model: Any, folder: Path) -> None:
    """Have every weight say absolutely where in `folder` its bytes lie, in place; what is no weight is read in.

    Raises ValueError for bytes that are not there, or lie outside of the folder.
    """
    own = list(model.graph.initializer)  # held, so that each is the same object again below
    identities = {id(tensor) for tensor in own}
    for tensor in onnx.external_data_helper._get_all_tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            put(tensor, _found(tensor, folder))
            if id(tensor) not in identities or size_of(tensor) < LARGE:
                _bring_in(tensor)


def bring_in(model: Any) -> None:
    """Read every weight into the graph, in place."""
    for tensor in model.graph.initializer:
        _bring_in(tensor)


def gather(model: Any, target: Path) -> None:
    """Write all large weights into one file, in place; they lie there then."""
    part = target.with_name(f"{target.name}.part")
    places = []
    with part.open("wb") as opened:
        for tensor in model.graph.initializer:
            if size_of(tensor) >= LARGE and tensor.data_type != onnx.TensorProto.STRING:
                offset = _advance(opened)
                _copy(tensor, opened)
                places.append((tensor, Place(target, offset, opened.tell() - offset)))
    part.replace(target)
    for tensor, place in places:
        put(tensor, place)


@contextlib.contextmanager
def relative(model: Any) -> Iterator[None]:
    """Have places be names of files, as they are written down, while this lasts."""
    kept = [(tensor, place) for tensor in model.graph.initializer if (place := place_of(tensor)) is not None]
    for tensor, place in kept:
        put(tensor, replace(place, path=Path(place.path.name)))
    try:
        yield
    finally:
        for tensor, place in kept:
            put(tensor, place)


@dataclass
class Spool:
    """A file that large arrays go to as they are made, so that memory holds one of them at a time."""

    path: Path

    def keep(self, values: Array) -> Array:
        """Return the same values, mapped and read-only if they are large."""
        if values.nbytes < LARGE:
            return values
        place = self._append(values)
        return np.memmap(place.path, values.dtype, "r", place.offset, values.shape)

    def tensor(self, tensor: Any) -> Any:
        """Return the tensor; if it is large its bytes lie in the file now."""
        if len(tensor.raw_data) >= LARGE:
            put(tensor, self._append(np.frombuffer(tensor.raw_data, np.uint8)))
        return tensor

    def _append(self, values: Array) -> Place:
        with self.path.open("ab") as opened:
            offset = _advance(opened)
            opened.write(np.ascontiguousarray(values).data)
        return Place(self.path, offset, values.nbytes)


def _advance(opened: BinaryIO) -> int:
    """Go on to the next page, and return where it begins."""
    lacking = -opened.tell() % PAGE
    opened.write(bytes(lacking))
    return opened.tell()


def _copy(tensor: Any, opened: BinaryIO) -> None:
    place = place_of(tensor)
    if place is None:
        whole = tensor if tensor.HasField("raw_data") else numpy_helper.from_array(numpy_helper.to_array(tensor))
        opened.write(whole.raw_data)
        return
    with place.path.open("rb") as source:
        source.seek(place.offset)
        left = place.length
        while left:
            piece = source.read(min(PIECE, left))
            if not piece:
                raise ValueError(f"{place.path.name} ends within the weight {tensor.name}")
            opened.write(piece)
            left -= len(piece)


def _bring_in(tensor: Any) -> None:
    place = place_of(tensor)
    if place is not None:
        with place.path.open("rb") as opened:
            opened.seek(place.offset)
            content = opened.read(place.length)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT
        tensor.raw_data = content


def _found(tensor: Any, folder: Path) -> Place:
    """Return where a file that somebody else wrote says that the bytes of a tensor lie. Raises ValueError."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = (folder / location).resolve()
    if not location or not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(
            f"the weight {tensor.name} lies in {location!r}, no file beside the model: bring both, in one folder, and "
            "name that folder as the source"
        )
    size, offset = path.stat().st_size, int(entries.get("offset", 0))
    length = int(entries.get("length", size - offset))
    kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    wanted = int(np.prod(tensor.dims, dtype=np.int64)) * kind.itemsize
    if min(offset, length) < 0 or offset + length > size or (length != wanted and tensor.data_type not in PACKED):
        raise ValueError(
            f"{location} has {size} bytes, and the weight {tensor.name} should be {wanted} of them from {offset} on"
        )
    return Place(path, offset, length)
