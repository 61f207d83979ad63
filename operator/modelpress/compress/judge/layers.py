"""Where a graph keeps its weights: which operation each belongs to, how many bytes, which values.

A weight belongs to the first operation it reaches that computes with it; what lies between (dequantization, casts,
transposes) only unpacks it. Operations of original and result are paired in the order of the graphs, by kind and, where
no channel was pruned, by shape: names do not survive quantization, and tools in between swap what does not depend on
each other.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from modelpress.store.report import Histogram, LayerFigure

from ..graph import load
from .pairing import aligned
from .values import Graph, row_scale, values_of

Array = NDArray[Any]

UNPACKING = frozenset({"DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Reshape", "Identity", "Unsqueeze"})
_OPERATORS = {
    "convolution": "Conv ConvInteger QLinearConv FusedConv NhwcConv ConvTranspose",
    "dense": "Gemm MatMul MatMulInteger QLinearMatMul QGemm MatMulNBits FusedMatMul FusedGemm DynamicQuantizeMatMul "
    "MatMulIntegerToFloat",
    "table": "Gather GatherBlockQuantized",
    "recurrent": "LSTM GRU RNN DynamicQuantizeLSTM",
}
FAMILIES: Mapping[str, str] = MappingProxyType(
    {operator: family for family, operators in _OPERATORS.items() for operator in operators.split()}
)
"""What counts as a layer, and what may take whose place."""
PACKING: Mapping[str, int] = MappingProxyType({"MatMulNBits": 1, "GatherBlockQuantized": 0})
"""Operators that take several elements in a byte, and which of their inputs holds them."""
BINS = 61
"""Bins of a histogram."""
SHOWN = 6
"""Largest layers that get a histogram of their own."""
LEAST_AXES = 2
INTEGERS = (TensorProto.INT8, TensorProto.UINT8)
HEXADECIMAL = re.compile("[0-9a-f]{1,6}")


@dataclass
class Layer:
    """One operation and its weights."""

    name: str
    operator: str
    count: int = 0
    """Elements."""
    size: int = 0
    """Bytes."""
    largest: int = 0
    """Bytes of the largest weight."""
    shape: tuple[int, ...] = ()
    """Lengths of its axes before it was packed, the shortest first: some operations take it transposed."""
    main: Array | None = None
    """Values of the largest weight, sampled and dequantized; None if they cannot be told."""

    @property
    def family(self) -> str:
        """What may take its place."""
        return FAMILIES.get(self.operator, self.operator)

    @property
    def kind(self) -> tuple[str, tuple[int, ...]]:
        """What takes its place where nothing was pruned."""
        return self.family, self.shape


def compare_layers(original: Path, result: Path) -> tuple[tuple[LayerFigure, ...], Histogram | None]:
    """Return the layers of the ONNX file `original` beside those of `result`, and the histogram of all weights."""
    before, after = layers_of(original), layers_of(result)
    pairs = list(pair(before, after))
    largest = {id(layer) for layer in sorted(before, key=lambda layer: -layer.size)[:SHOWN]}
    figures = tuple(
        LayerFigure(
            name=layer.name,
            operator=layer.operator,
            parameters=layer.count,
            original_bytes=layer.size,
            compressed_parameters=other.count if other else None,
            compressed_bytes=other.size if other else None,
            histogram=histogram([layer], [other] if other else []) if id(layer) in largest else None,
        )
        for layer, other in pairs
    )
    return figures, histogram(before, [other for _, other in pairs if other])


def layers_of(path: Path, *, values: bool = True) -> list[Layer]:
    """Return the operations of a graph that have weights, in its order; `values`: with those of the weights."""
    graph = Graph(load(path))
    found: dict[int, Layer] = {}
    owners = {name: _owner(graph, name) for name in graph.tensors}
    owners |= {scale: node for node in graph.model.graph.node if (scale := _scale_of_rows(graph, node))}
    order = {id(node): place for place, node in enumerate(graph.model.graph.node)}
    for name, tensor in graph.tensors.items():
        node = owners[name]
        if node is None or node.op_type not in FAMILIES:
            continue
        layer = found.setdefault(id(node), Layer(str(node.name), node.op_type))
        elements = math.prod(tensor.dims)
        size = _bytes(tensor, elements)
        if len(tensor.dims) >= LEAST_AXES and size > layer.largest:
            layer.name, layer.largest, layer.shape = _plain(name, node), size, _shape(tensor, node)
            layer.main = values_of(graph, name, node) if values else None
        packed = node.op_type in PACKING and name == node.input[PACKING[node.op_type]]
        layer.count += math.prod(_shape(tensor, node)) if packed else elements
        layer.size += size
    layers = [found[key] for key in sorted(found, key=lambda key: order[key]) if found[key].largest]
    for number, layer in enumerate(layers, 1):
        layer.name = layer.name or f"{layer.operator} {number}"
    return layers


def pair(before: list[Layer], after: list[Layer]) -> Iterator[tuple[Layer, Layer | None]]:
    """Yield each layer of `before` with the one of `after` that took its place, None where it is gone.

    Where all shapes of `after` are those of `before`, those of a kind that kept their names, and of the others the
    first with the first and so on; of alike blocks the last are gone then, whichever were cut. Else by order, family
    and size; several that took the place of one count as one.
    """
    kinds = Counter(layer.kind for layer in after)
    if not kinds - Counter(layer.kind for layer in before):
        named = {(layer.kind, layer.name): layer for layer in before}
        same = {(layer.kind, layer.name): layer for layer in after if (layer.kind, layer.name) in named}
        others = [layer for layer in after if (layer.kind, layer.name) not in same]
        waiting = {kind: iter([layer for layer in others if layer.kind == kind]) for kind in kinds}
        for layer in before:
            found = same.pop((layer.kind, layer.name), None)
            yield layer, found or next(waiting.get(layer.kind, iter(())), None)
        return
    places = aligned([(one.family, one.count) for one in before], [(one.family, one.count) for one in after])
    for layer, positions in zip(before, places, strict=True):
        others = [after[position] for position in positions]
        yield layer, _together(others) if others else None


def _together(layers: list[Layer]) -> Layer:
    """Return several operations as one."""
    values = [layer.main for layer in layers if layer.main is not None]
    return replace(
        layers[0],
        count=sum(layer.count for layer in layers),
        size=sum(layer.size for layer in layers),
        largest=max(layer.largest for layer in layers),
        main=numpy.concatenate(values) if len(values) == len(layers) else None,
    )


def histogram(before: list[Layer], after: list[Layer]) -> Histogram | None:
    """Return how the weights of both are spread; None if the original's cannot be told."""
    values = [layer.main for layer in before if layer.main is not None]
    if not values:
        return None
    whole = numpy.concatenate(values)
    reach = float(numpy.quantile(abs(whole), 0.999)) or 1.0
    others = [layer.main for layer in after if layer.main is not None]
    told = len(others) == len(after) and others
    return Histogram(
        low=-reach,
        high=reach,
        original=_parts(whole, reach),
        compressed=_parts(numpy.concatenate(others), reach) if told else (),
    )


def _parts(values: Array, reach: float) -> tuple[float, ...]:
    counts, _ = numpy.histogram(values.clip(-reach, reach), BINS, (-reach, reach))
    return tuple(round(float(part), 6) for part in counts / max(len(values), 1))


def _scale_of_rows(graph: Graph, node: Any) -> str:
    """Return the initializer that scales the integer rows which `node` gathers, empty if there is none."""
    weight = graph.tensors.get(node.input[0]) if node.op_type == "Gather" else None
    return row_scale(graph, node) if weight is not None and weight.data_type in INTEGERS else ""


def _owner(graph: Graph, name: str) -> Any:
    """Return the operation that computes with the initializer `name`, None if there is none."""
    for node in graph.consumers.get(name, ()):
        if node.op_type not in UNPACKING and not _scales(graph, node):
            return node
        for output in node.output:
            if (further := _owner(graph, output)) is not None:
                return further
    return None


def _scales(graph: Graph, node: Any) -> bool:
    """Whether a node multiplies a stored weight with its scale: nothing that it takes comes from an input."""
    return node.op_type == "Mul" and all(graph.is_constant(name) for name in node.input)


def _shape(tensor: Any, node: Any) -> tuple[int, ...]:
    """Return the lengths of a weight's axes, as they are without packing, the shortest first."""
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    lengths = list(tensor.dims)
    if node.op_type == "MatMulNBits":
        lengths = [attributes["K"], attributes["N"]]
    elif node.op_type == "GatherBlockQuantized" and tensor.data_type == TensorProto.UINT8:
        lengths[-1] *= 8 // attributes.get("bits", 4)
    return tuple(sorted(lengths))


def _bytes(tensor: Any, elements: int) -> int:
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data)
    lengths = [int(entry.value) for entry in tensor.external_data if entry.key == "length"]
    return lengths[0] if lengths else elements * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _plain(name: str, node: Any) -> str:
    """Return what a person calls the layer: the weight's name without its end, or the node's; empty: by its number."""
    short = name.removesuffix("_quantized").removesuffix("_Transposed").removesuffix(".weight").removeprefix("module.")
    if "." in short and not short.startswith(("onnx::", "_")):
        return short
    called = str(node.name).removesuffix("_quant")  # onnxruntime's quantizer adds these ends
    if HEXADECIMAL.fullmatch(short):  # as `graph.shorten` calls them
        return called
    return called or short
