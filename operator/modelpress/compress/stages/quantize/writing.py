"""Rounded weights written into a graph: MatMulNBits, GatherBlockQuantized, and plain Gather of 8-bit rows.

The first two are operators of onnxruntime (domain com.microsoft) that its versions 1.23 and 1.24 run on a CPU. Scales
lie in the file in half precision where they fit, and are widened by a Cast that sessions fold away; where activations
are rounded to 8 bits too, scales stay float: those kernels answer wrongly if scales are no constant and nothing is
folded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from ... import graph
from ...external import Spool
from .candidates import Candidate
from .rounding import Codes, Floats, Rounded, fit_half

DOMAIN = "com.microsoft"
INTEGER = 4
"""accuracy_level of MatMulNBits that lets it round activations to 8 bits."""


@dataclass(frozen=True)
class Stored:
    """What is written instead of one candidate's weight."""

    candidate: Candidate
    rounded: Rounded
    factors: Floats | None = None
    """What activations are multiplied with before the product, [inputs]."""

    def effective(self) -> Floats:
        """Return the weights that the node will act as if it had, as rows."""
        widened = self.rounded.widened()
        return widened if self.factors is None else widened * self.factors

    @property
    def bytes(self) -> int:
        """Bytes of codes, scales and zeros in the file."""
        grid, scheme = self.rounded.grid, self.rounded.grid.scheme
        groups = grid.scales.size
        scale = 2 if scheme.half_scales and fit_half(grid.scales) else 4
        zeros = 0 if scheme.symmetric else groups * scheme.bits // 8
        width = self.candidate.shape[1] if self.candidate.embedding else grid.scales.shape[1] * scheme.group
        padded = len(grid.scales) * width  # rows of tables are not filled up
        return int(padded * scheme.bits // 8 + groups * scale + zeros)


@dataclass
class Writer:
    """Replaces nodes of one graph in place."""

    proto: Any
    spool: Spool
    """Where large tensors lie until the graph is saved."""
    integer: bool
    """Whether products may round activations to 8 bits."""
    made: dict[str, list[Any]] = field(default_factory=dict)
    """New nodes by the name of the one they replace."""
    known: set[str] = field(default_factory=set)
    """Initializers that were added, for weights that several nodes share."""
    scaled: dict[tuple[str, bytes], str] = field(default_factory=dict)
    """Activations that were scaled, by their names and the factors."""

    def write(self, items: Mapping[str, Stored]) -> None:
        """Replace the named nodes; weights that nobody takes any more go."""
        for node in self.proto.graph.node:
            if node.name in items:
                self.made[node.name] = self._nodes(node, items[node.name])
        nodes = [new for node in self.proto.graph.node for new in self.made.get(node.name, [node])]
        graph.replace_nodes(self.proto, nodes)
        if all(opset.domain != DOMAIN for opset in self.proto.opset_import):
            self.proto.opset_import.append(helper.make_opsetid(DOMAIN, 1))

    def _nodes(self, node: Any, item: Stored) -> list[Any]:
        if not item.candidate.embedding:
            return self._product(node, item)
        return self._rows(node, item) if item.rounded.grid.scheme.bits == 8 else self._blocks(node, item)

    def _product(self, node: Any, item: Stored) -> list[Any]:
        grid, scheme = item.rounded.grid, item.rounded.grid.scheme
        base = _base(item)
        codes = _padded(item.rounded.codes, scheme.group, scheme.middle if scheme.symmetric else 0)
        nodes: list[Any] = []
        source = node.input[0]
        if item.factors is not None:
            key = (source, item.factors.tobytes())
            if key not in self.scaled:
                self.scaled[key] = f"{node.name}_scaled"
                factors = self._constant(f"{base}_factors", item.factors)
                nodes.append(helper.make_node("Mul", [source, factors], [self.scaled[key]], name=self.scaled[key]))
            source = self.scaled[key]
        packed = _packed(codes, scheme.bits).reshape(*grid.scales.shape, -1)
        scales, widening = self._scales(f"{base}_scales", grid.scales, half=scheme.half_scales)
        nodes += widening
        inputs = [source, self._constant(f"{base}_codes", packed), scales]
        if not scheme.symmetric:
            even = np.pad(grid.zeros, ((0, 0), (0, grid.zeros.shape[1] % 2))) if scheme.bits == 4 else grid.zeros
            inputs.append(self._constant(f"{base}_zeros", _packed(even, scheme.bits)))
        bias = node.input[2] if len(node.input) > 2 else ""
        output = f"{node.name}_product" if bias else node.output[0]
        product = helper.make_node(
            "MatMulNBits", inputs, [output], name=node.name, domain=DOMAIN,
            K=item.candidate.shape[1], N=item.candidate.shape[0], bits=scheme.bits, block_size=scheme.group,
        )  # fmt: skip
        if self.integer:
            product.attribute.append(helper.make_attribute("accuracy_level", INTEGER))
        nodes.append(product)
        if bias:
            nodes.append(helper.make_node("Add", [output, bias], [node.output[0]], name=f"{node.name}_bias"))
        return nodes

    def _rows(self, node: Any, item: Stored) -> list[Any]:
        """Gather 8-bit rows and their scales, and multiply: operators of the standard alone."""
        grid, name = item.rounded.grid, node.name
        codes = (item.rounded.codes.astype(np.int16) - grid.scheme.middle).astype(np.int8)
        table = self._constant(f"{_base(item)}_codes", codes)
        half = grid.scheme.half_scales and fit_half(grid.scales)
        scales = self._constant(f"{_base(item)}_scales", grid.scales.astype(np.float16 if half else np.float32))
        return [
            helper.make_node("Gather", [table, node.input[1]], [f"{name}_codes"], name=name),
            helper.make_node("Cast", [f"{name}_codes"], [f"{name}_rows"], name=f"{name}_widen", to=TensorProto.FLOAT),
            helper.make_node("Gather", [scales, node.input[1]], [f"{name}_stored"], name=f"{name}_scales"),
            helper.make_node("Cast", [f"{name}_stored"], [f"{name}_scale"], name=f"{name}_cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_rows", f"{name}_scale"], [node.output[0]], name=f"{name}_scaled"),
        ]

    def _blocks(self, node: Any, item: Stored) -> list[Any]:
        grid, scheme, base = item.rounded.grid, item.rounded.grid.scheme, _base(item)
        kind = TensorProto.INT4 if scheme.symmetric else TensorProto.UINT4
        flip = scheme.middle if scheme.symmetric else 0  # two's complement of code - middle
        inputs = [
            self._tensor(_nibbles(f"{base}_codes", kind, item.rounded.codes ^ np.uint8(flip))),
            node.input[1],
            self._constant(
                f"{base}_scales",
                grid.scales.astype(np.float16 if scheme.half_scales and fit_half(grid.scales) else np.float32),
            ),
        ]
        if not scheme.symmetric:
            inputs.append(self._tensor(_nibbles(f"{base}_zeros", kind, grid.zeros)))
        rows = f"{node.name}_rows"
        gather = helper.make_node(
            "GatherBlockQuantized", inputs, [rows], name=node.name, domain=DOMAIN,
            gather_axis=0, quantize_axis=1, block_size=scheme.group,
        )  # fmt: skip
        cast = helper.make_node("Cast", [rows], [node.output[0]], name=f"{node.name}_widen", to=TensorProto.FLOAT)
        return [gather, cast]

    def _scales(self, name: str, scales: Floats, *, half: bool) -> tuple[str, list[Any]]:
        """Add scales; return the tensor that holds them in float, and the node that makes it."""
        if not (half and fit_half(scales)):
            return self._constant(name, scales.astype(np.float32)), []
        wide = f"{name}_wide"
        stored = f"{name}_half"
        if stored in self.known:
            return wide, []
        self._constant(stored, scales.astype(np.float16))
        return wide, [helper.make_node("Cast", [stored], [wide], name=wide, to=TensorProto.FLOAT)]

    def _constant(self, name: str, values: Any) -> str:
        return self._tensor(numpy_helper.from_array(np.ascontiguousarray(values), name))

    def _tensor(self, tensor: Any) -> str:
        if tensor.name not in self.known:
            self.known.add(tensor.name)
            self.proto.graph.initializer.append(self.spool.tensor(tensor))
        return str(tensor.name)


def _base(item: Stored) -> str:
    """Return what names of new tensors begin with: the same for nodes that take a weight in the same way."""
    scheme = item.rounded.grid.scheme
    own = f"_{item.candidate.name}" if item.factors is not None else ""
    way = "_table" if item.candidate.embedding else "" if item.candidate.transposed else "_rows"
    return f"{item.candidate.weight}_{scheme.bits}_{scheme.group}{way}{own}"


def _padded(codes: Codes, group: int, filler: int) -> Codes:
    lacking = -codes.shape[1] % group
    return np.pad(codes, ((0, 0), (0, lacking)), constant_values=filler) if lacking else codes


def _packed(codes: Codes, bits: int) -> Codes:
    """Return two 4-bit codes to a byte, the first in the low half; 8-bit codes as they are."""
    return codes if bits == 8 else np.asarray(codes[..., 0::2] | (codes[..., 1::2] << 4), np.uint8)


def _nibbles(name: str, kind: int, codes: Codes) -> Any:
    """Return an ONNX tensor of 4-bit elements."""
    flat = codes.reshape(-1)
    even = np.pad(flat, (0, len(flat) % 2))
    return helper.make_tensor(name, kind, list(codes.shape), _packed(even, 4).tobytes(), raw=True)
