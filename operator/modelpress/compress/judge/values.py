"""Which values the weights of a graph stand for, whatever form they are stored in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy
from numpy.typing import NDArray

from .. import external

Array = NDArray[Any]

SAMPLED = 1_000_000
"""Values of one tensor that are looked at, at most."""
BITS = 8


@dataclass
class Graph:
    """A model, and who makes and takes each tensor."""

    model: Any
    tensors: dict[str, Any] = field(default_factory=dict)
    consumers: dict[str, list[Any]] = field(default_factory=dict)
    producers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {tensor.name: tensor for tensor in self.model.graph.initializer}
        for node in self.model.graph.node:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
            self.producers |= dict.fromkeys(node.output, node)

    def array(self, name: str) -> Array:
        """Return the values of an initializer."""
        return external.array(self.tensors[name])

    def constant(self, name: str) -> Array | None:
        """Return the values of an initializer, or of one that is cast to another type; None if it is neither."""
        return self.array(self._stored(name)) if self.is_constant(name) else None

    def is_constant(self, name: str) -> bool:
        """Whether it is an initializer, or one that is cast to another type."""
        return self._stored(name) in self.tensors

    def _stored(self, name: str) -> str:
        maker = self.producers.get(name)
        return str(maker.input[0]) if maker is not None and maker.op_type == "Cast" else name


def values_of(graph: Graph, name: str, node: Any) -> Array | None:
    """Return the values that the weight `name` of `node` stands for, (sampled,), None if they cannot be told."""
    weight = graph.array(name)
    if weight.dtype.kind == "f":
        return _sample(weight)
    return _of_integers(graph, name, weight, node) if weight.dtype.kind in "iu" else None


def _of_integers(graph: Graph, name: str, weight: Array, node: Any) -> Array | None:
    found = next((one for one in graph.consumers[name] if one.op_type == "DequantizeLinear"), None)
    if found is not None:
        axis = next((item.i for item in found.attribute if item.name == "axis"), 1)
        return _dequantized(graph, weight, found.input[1], found.input[2] if len(found.input) > 2 else "", axis)
    if node.op_type in {"MatMulInteger", "ConvInteger"}:
        scale = _integer_scale(graph, node)
        axis = 0 if node.op_type == "ConvInteger" else -1
        zero = node.input[3] if len(node.input) > 3 else ""
        return _dequantized(graph, weight, scale, zero, axis) if scale else None
    if node.op_type == "MatMulIntegerToFloat":
        return _dequantized(graph, weight, node.input[3], node.input[5], -1)
    if node.op_type == "MatMulNBits":
        return _blocks(graph, weight, node)
    if node.op_type == "Gather" and (scale := row_scale(graph, node)):
        return _sample(weight.astype(numpy.float32) * graph.array(scale).astype(numpy.float32))
    return _of_recurrent(graph, name, weight, node)


def _of_recurrent(graph: Graph, name: str, weight: Array, node: Any) -> Array | None:
    """Return the values of a recurrent layer's weight: integers that are cast, and multiplied with a constant then."""
    if node.op_type == "DynamicQuantizeLSTM":  # weights are inputs 1 and 2, [directions, width, rows]; scales 8 and 10
        place = 2 * list(node.input).index(name) + 6
        scales, zeros = (graph.constant(node.input[index]) for index in (place, place + 1))
        if scales is None or zeros is None:
            return None
        scales, zeros = (item.reshape(len(weight), 1, -1).astype(numpy.float32) for item in (scales, zeros))
        return _sample((weight.astype(numpy.float32) - zeros) * scales)
    for cast in graph.consumers[name]:
        for product in graph.consumers.get(cast.output[0], ()) if cast.op_type == "Cast" else ():
            other = next((one for one in product.input if one != cast.output[0]), "")
            scale = graph.constant(other) if product.op_type == "Mul" else None
            if scale is not None:
                return _sample(weight.astype(numpy.float32) * scale)
    return None


def row_scale(graph: Graph, node: Any) -> str:
    """Return the initializer of the scales that the rows gathered by `node` are multiplied by, empty if none is."""
    for cast in graph.consumers.get(node.output[0], ()):
        for product in graph.consumers.get(cast.output[0], ()) if cast.op_type == "Cast" else ():
            if product.op_type != "Mul":
                continue
            other = next((name for name in product.input if name != cast.output[0]), "")
            maker = graph.producers.get(other)
            while maker is not None and maker.op_type == "Cast":
                maker = graph.producers.get(maker.input[0])
            if maker is not None and maker.op_type == "Gather" and maker.input[1] == node.input[1]:
                return str(maker.input[0]) if maker.input[0] in graph.tensors else ""
    return ""


def _dequantized(graph: Graph, weight: Array, scale: str, zero: str, axis: int) -> Array | None:
    if scale not in graph.tensors:
        return None
    factors, shift = graph.array(scale), graph.array(zero) if zero in graph.tensors else numpy.zeros(1)
    if factors.ndim > 1:
        repeats = [-(-large // small) for large, small in zip(weight.shape, factors.shape, strict=True)]
        for place, times in enumerate(repeats):
            factors = factors.repeat(times, place)
            shift = shift.repeat(times, place) if shift.ndim > 1 else shift
        ends = tuple(slice(length) for length in weight.shape)
        factors, shift = factors[ends], shift[ends] if shift.ndim > 1 else shift
    else:
        shape = [1] * weight.ndim
        shape[axis] = -1
        factors = factors.reshape(shape) if factors.size > 1 else factors.reshape(())
        shift = shift.reshape(shape) if shift.size > 1 else shift.reshape(())
    return _sample((weight.astype(numpy.float32) - shift.astype(numpy.float32)) * factors)


def _integer_scale(graph: Graph, node: Any) -> str:
    """Return the initializer that the integers' product is scaled by, after MatMulInteger or ConvInteger."""
    for cast in graph.consumers.get(node.output[0], ()):
        for product in graph.consumers.get(cast.output[0], ()) if cast.op_type == "Cast" else ():
            for name in product.input if product.op_type == "Mul" else ():
                if name in graph.tensors:
                    return str(name)
                maker = graph.producers.get(name)
                if maker is not None and maker.op_type == "Mul":
                    return _larger(graph, [str(one) for one in maker.input if one in graph.tensors])
    return ""


def _larger(graph: Graph, names: list[str]) -> str:
    """Return the one with the most elements: a weight's scales beside its input's; empty if that cannot be told."""
    sizes = sorted(((graph.array(name).size, name) for name in names), reverse=True)
    return sizes[0][1] if len(sizes) == 1 or (sizes and sizes[0][0] > sizes[1][0]) else ""


def _blocks(graph: Graph, packed: Array, node: Any) -> Array | None:
    """Return the values of MatMulNBits' packed weight, (columns, blocks, bytes), low bits first."""
    settings = {item.name: item.i for item in node.attribute}
    bits, size = settings.get("bits", 4), settings["block_size"]
    if bits not in {2, 4, 8} or packed.ndim != 3:
        return None
    columns, blocks, _ = packed.shape
    scales = graph.constant(node.input[2])
    if scales is None:
        return None
    zero: Any = 2 ** (bits - 1)
    if len(node.input) > 3 and node.input[3]:
        points = graph.constant(node.input[3])
        if points is None or points.dtype != numpy.uint8:
            return None
        zero = _unpacked(points.reshape(columns, -1), bits)[:, :blocks, None].astype(numpy.float32)
    values = _unpacked(packed, bits)[..., :size].astype(numpy.float32)
    whole = (values - zero) * scales.reshape(columns, blocks, 1).astype(numpy.float32)
    return _sample(whole.reshape(columns, -1)[:, : settings["K"]])  # the last block is filled up


def _unpacked(packed: Array, bits: int) -> Array:
    """Return the numbers of `bits` bits in bytes, low bits first, in the last axis."""
    if bits == BITS:
        return packed
    parts = [(packed >> shift) & (2**bits - 1) for shift in range(0, BITS, bits)]
    return numpy.stack(parts, axis=-1).reshape(*packed.shape[:-1], -1)


def _sample(values: Array) -> Array:
    flat = values.reshape(-1)
    return flat[:: max(1, len(flat) // SAMPLED)].astype(numpy.float32)
