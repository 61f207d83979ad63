"""Attention in an exported graph: found by its softmax, and computed by one operator where nothing is masked.

The operator is onnxruntime's MultiHeadAttention, which without a mask works in tiles and never holds all scores (Dao et
al. 2022, arXiv:2205.14135). With a mask it is no faster than what was exported, so that is what an If falls back to
when a position of the request is masked: requests of one text, and of texts of one length, are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .. import external, graph

DOMAIN = "com.microsoft"
SPLIT, TURNED, SWAPPED, STACKED = [0, 2, 1, 3], [0, 2, 3, 1], [0, 1, 3, 2], [0, 2, 1]
"""Transpositions of [batch, sequence, heads, width]: of queries and values, of keys at once, of keys in two steps; and
of keys [batch x heads, sequence, width], as the exporter turns those of torch's own attention."""
AXES = 4
KINDS = (TensorProto.FLOAT, TensorProto.FLOAT16)
"""Element types that the operator knows."""
UNMASKED, ZERO = "_unmasked", "unmasked_zero"


@dataclass(frozen=True)
class Attention:
    """One attention: the nodes that it consists of, and what they take."""

    nodes: tuple[Any, ...]
    """In the order of the graph; the last makes the answer, [batch, sequence, heads x width]."""
    rows: tuple[str, str, str]
    """Queries, keys and values before they are split into heads, [batch, sequence, heads x width]."""
    mask: str
    """What is added to the scores, empty if nothing is."""
    heads: int
    scale: float
    width: int
    """Numbers of an answer, heads x width of values."""
    kind: int
    """Element type, as ONNX numbers them."""

    @property
    def answer(self) -> str:
        """What the last node makes."""
        return str(self.nodes[-1].output[0])


def find(model: Any) -> list[Attention]:
    """Return every attention whose values nobody else takes; shapes must be known."""
    reader = _Reader(model)
    found = (reader.attention(node) for node in model.graph.node if node.op_type == "Softmax")
    return [item for item in found if item is not None]


class _Reader:
    """Reads a graph against the direction of its values."""

    def __init__(self, model: Any) -> None:
        self.nodes = list(model.graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.takers = graph.consumers(model)
        self.tensors = {item.name: item for item in model.graph.initializer}
        infos = [*model.graph.value_info, *model.graph.input, *model.graph.output]
        self.dims = {item.name: [axis.dim_value for axis in item.type.tensor_type.shape.dim] for item in infos}
        self.kinds = {item.name: item.type.tensor_type.elem_type for item in infos}

    def attention(self, softmax: Any) -> Attention | None:
        """Return the attention that a softmax over scores belongs to, None if it is of another form."""
        weights = self._weights(softmax)
        product = self._taker(weights, "MatMul")
        back = self._taker(product.output[0], "Transpose") if product is not None else None
        joined = self._taker(back.output[0], "Reshape") if back is not None else None
        if product is None or back is None or joined is None or _order(back) != SPLIT or not _last(softmax):
            return None
        scores, mask = self._unmasked(softmax.input[0])
        scores, scale = self._scaled(scores)
        multiplied = self._made(scores, "MatMul")
        if multiplied is None or product.input[0] != weights:
            return None
        queries, of_queries = self._scaled(multiplied.input[0])
        keys, of_keys = self._keys(multiplied.input[1])
        splits = [self._split(queries, SPLIT), keys, self._split(product.input[1], SPLIT)]
        heads = {self._heads(split) for split in splits}
        if len(heads) != 1 or 0 in heads or not self._halves(joined.output[0], back.output[0]):
            return None
        nodes = self._between([split.output[0] for split in splits if split is not None], joined)
        first, second, third = (str(split.input[0]) for split in splits if split is not None)
        kind = self.kinds[third]
        if not nodes or mask in {name for node in nodes for name in node.output} or kind not in KINDS:
            return None
        scale *= of_queries * of_keys
        return Attention(nodes, (first, second, third), mask, heads.pop(), scale, self.dims[third][-1], kind)

    def _taker(self, value: str, operator: str) -> Any | None:
        """Return the one node that takes a value, if it is of that kind."""
        takers = self.takers.get(value, [])
        return takers[0] if len(takers) == 1 and takers[0] is not None and takers[0].op_type == operator else None

    def _weights(self, softmax: Any) -> str:
        """Return the weights; where a whole row is masked, the exporter puts zeros in the place of softmax's NaN."""
        weights = str(softmax.output[0])
        takers = self.takers.get(weights, [])
        for node in takers:
            if node is None or node.op_type != "Where" or len(takers) != 2 or node.input[2] != weights:
                continue
            nan, zero = self._made(node.input[0], "IsNaN"), self.tensors.get(node.input[1])
            if nan in takers and zero is not None and not np.any(external.array(zero)):
                return str(node.output[0])
        return weights

    def _made(self, value: str, operator: str) -> Any | None:
        """Return the node that makes a value, if it is of that kind."""
        maker = self.makers.get(value)
        return maker if maker is not None and maker.op_type == operator else None

    def _transposed(self, value: str, order: Sequence[int]) -> str:
        """Return what is transposed so, empty if it is not."""
        maker = self._made(value, "Transpose")
        return str(maker.input[0]) if maker is not None and _order(maker) == order else ""

    def _unmasked(self, value: str) -> tuple[str, str]:
        """Return scores, and the mask that is added to them, empty if none is."""
        maker = self._made(value, "Add")
        if maker is None:
            return value, ""
        scores, mask = maker.input
        return (mask, scores) if self._made(self._scaled(mask)[0], "MatMul") is not None else (scores, mask)

    def _scaled(self, value: str) -> tuple[str, float]:
        """Return what is multiplied with a number, and the number; 1 if none is."""
        maker = self.makers.get(value)
        held = self.tensors.get(maker.input[1]) if maker is not None and maker.op_type in ("Mul", "Div") else None
        if maker is None or held is None or math.prod(held.dims) != 1:
            return value, 1.0
        number = float(external.array(held).reshape(()))
        return str(maker.input[0]), number if maker.op_type == "Mul" else 1 / number

    def _split(self, value: str, order: Sequence[int]) -> Any | None:
        """Return the node that split rows into heads, which were then transposed so; None if they were not."""
        return self._made(self._transposed(value, order), "Reshape")

    def _keys(self, value: str) -> tuple[Any | None, float]:
        """Return the node that split keys into heads, turned at once or in two steps, and what they were scaled by."""
        value, scale = self._scaled(value)
        stacked = self._made(value, "Reshape")
        turned = self._made(self._transposed(stacked.input[0], STACKED), "Reshape") if stacked is not None else None
        once = turned.input[0] if turned is not None else self._transposed(value, SWAPPED)
        if not once:
            return self._split(value, TURNED), scale
        once, before = self._scaled(once)
        return self._split(once, SPLIT), scale * before

    def _heads(self, split: Any | None) -> int:
        """Return how many heads rows of [batch, sequence, width] were split into; 0: it cannot be told."""
        if split is None:
            return 0
        if not self._halves(split.input[0], split.output[0]):
            return 0
        before, after = self.dims[split.input[0]], self.dims[split.output[0]]
        return before[-1] // after[-1] if after[-1] and before[-1] % after[-1] == 0 else 0

    def _halves(self, rows: str, split: str) -> bool:
        """Whether [batch, sequence, width] stands against [batch, sequence, heads, width of each], not other axes."""
        whole, parts = self.dims.get(rows, []), self.dims.get(split, [])
        same = all(0 in pair or pair[0] == pair[1] for pair in zip(whole[:2], parts[:2], strict=False))
        return len(whole) == AXES - 1 and len(parts) == AXES and same

    def _between(self, starts: Sequence[str], end: Any) -> tuple[Any, ...]:
        """Return the nodes from those that make `starts` to the last, in order; none if others take what they make."""
        ahead: set[str] = set()
        forward = []
        for node in self.nodes:
            if node.output[0] in starts or ahead.intersection(node.input):
                ahead.update(node.output)
                forward.append(node)
        wanted = set(end.output)
        found = []
        for node in reversed(forward):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                found.append(node)
        inner = {node.output[0] for node in found}
        for node in found:
            outside = any(taker is None or taker.output[0] not in inner for taker in self.takers[node.output[0]])
            if outside and node.output[0] != end.output[0]:
                return ()
        return tuple(reversed(found))


def _order(transpose: Any) -> list[int]:
    return next((list(item.ints) for item in transpose.attribute if item.name == "perm"), [])


def _last(softmax: Any) -> bool:
    """Whether a softmax is over the last of four axes."""
    return next((item.i for item in softmax.attribute if item.name == "axis"), -1) in (-1, AXES - 1)


def conditions(found: Sequence[Attention]) -> dict[str, list[Any]]:
    """Return, for each mask, nodes of which the last says whether it masks nothing."""
    made: dict[str, list[Any]] = {}
    for mask in dict.fromkeys(item.mask for item in found if item.mask):
        name = f"{mask}{UNMASKED}"
        made[mask] = [
            helper.make_node("Abs", [mask], [f"{name}_size"], name=f"{name}_size"),
            helper.make_node("ReduceMax", [f"{name}_size"], [f"{name}_most"], name=f"{name}_most", keepdims=0),
            helper.make_node("Cast", [f"{name}_most"], [f"{name}_float"], name=f"{name}_float", to=TensorProto.FLOAT),
            helper.make_node("Equal", [f"{name}_float", ZERO], [name], name=name),
        ]
    return made


def add_conditions(model: Any, made: Mapping[str, Sequence[Any]]) -> None:
    """Put conditions behind the masks that they look at, in place."""
    nodes: list[Any] = []
    for item in (*model.graph.input, *model.graph.initializer):
        nodes.extend(made.get(item.name, ()))
    for node in model.graph.node:
        nodes.append(node)
        for name in node.output:
            nodes.extend(made.get(name, ()))
    if made:
        model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), ZERO))
    graph.replace_nodes(model, nodes)


def replace(model: Any, found: Sequence[Attention]) -> None:
    """Have each attention computed by one operator, in place; where something is masked, as before."""
    made = conditions(found)
    add_conditions(model, made)
    last = {item.answer: item for item in found}
    inner = {node.output[0] for item in found for node in item.nodes}
    nodes: list[Any] = []
    for node in model.graph.node:
        if node.output[0] in last:
            item = last[node.output[0]]
            nodes.append(_node(item, made[item.mask][-1].output[0] if item.mask else ""))
        elif node.output[0] not in inner:
            nodes.append(node)
    graph.replace_nodes(model, nodes)
    if all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _node(item: Attention, unmasked: str) -> Any:
    """Return one operator, or, by a condition, the choice between it and the nodes as they were."""
    name = item.nodes[-1].name
    whole = helper.make_node(
        "MultiHeadAttention", item.rows, [item.answer], name=f"{name}_whole", domain=DOMAIN,
        num_heads=item.heads, scale=item.scale,
    )  # fmt: skip
    if not unmasked:
        return whole
    whole.output[0] = f"{item.answer}_whole"
    masked = [onnx.NodeProto.FromString(node.SerializeToString()) for node in item.nodes]
    masked[-1].output[0] = f"{item.answer}_masked"
    shape = [None, None, item.width]  # nothing else says what the operator makes
    branches = {
        key: helper.make_graph(
            made, f"{name}_{key}", [], [helper.make_tensor_value_info(made[-1].output[0], item.kind, shape)]
        )
        for key, made in (("then_branch", [whole]), ("else_branch", masked))
    }
    return helper.make_node("If", [unmasked], [item.answer], name=f"{name}_if", **branches)
