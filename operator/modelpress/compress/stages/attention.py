"""Attention in an exported graph, found by its softmax; `attention_nodes` writes it anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from onnx import TensorProto

from .layouts import INNER, OUTER, Layout
from .masks import Mask
from .operands import ORDERING, ROWS, Operand, OtherFormError
from .scores import Scores

KINDS = (TensorProto.FLOAT, TensorProto.FLOAT16)
"""Element types that the operator knows."""
PRODUCTS = ("MatMul", "Einsum")


@dataclass(frozen=True)
class Attention:
    """One attention: the nodes that it consists of, and what they take."""

    nodes: tuple[Any, ...]
    """In the order of the graph; the last makes the answer."""
    rows: tuple[str, ...]
    """Queries, keys and values before they are split into heads, [batch, sequence, heads x width]."""
    sequence_first: bool
    """Whether rows are [sequence, batch, heads x width] instead."""
    answer_sequence_first: bool
    """Whether those of the answer are in that order."""
    answer_axes: int
    """Three, as rows have, or two: all rows one after the other."""
    masks: tuple[Mask, ...]
    heads: int
    scale: float
    width: int | None
    """Numbers of an answer, heads x width of values; None: not known."""
    kind: int
    """Element type, as ONNX numbers them."""

    @property
    def answer(self) -> str:
        """What the last node makes."""
        return str(self.nodes[-1].output[0])


def find(model: Any) -> tuple[list[Attention], Counter[str]]:
    """Return every attention that one operator could compute, and of the others why not, each as often as it is so.

    Shapes must be known.
    """
    reader = _Reader(model)
    found: list[Attention] = []
    others: Counter[str] = Counter()
    for node in model.graph.node:
        if node.op_type == "Softmax" and reader.weighs(node):
            try:
                found.append(reader.attention(node))
            except OtherFormError as other:
                others[str(other)] += 1
    return found, others


class _Reader(Scores):
    """Finds what attention consists of, from its softmax on."""

    def weighs(self, softmax: Any) -> bool:
        """Whether a softmax is over the last axis, and something is multiplied with what it makes."""
        axis = next((item.i for item in softmax.attribute if item.name == "axis"), -1)
        axes = len(self.lengths(softmax.output[0]))
        takers = self.takers.get(self.weights(softmax), [])
        return axis in (-1, axes - 1) and any(taker is not None and taker.op_type in PRODUCTS for taker in takers)

    def attention(self, softmax: Any) -> Attention:
        """Return the attention that a softmax belongs to. Raises OtherFormError."""
        weights = self.weights(softmax)
        product = self.taker(weights, "MatMul")
        if self.taker(weights, "Einsum") is not None:
            raise OtherFormError("its products are written as einsum, and only those of matmul are known")
        if product is None or product.input[0] != weights:
            raise OtherFormError("its weights are taken elsewhere too")
        multiplied, scale, masks = self.scores(softmax.input[0])
        if multiplied is None:
            raise OtherFormError("its scores are more than products of queries and keys that are scaled and masked")
        queries, keys, values = self.operands(multiplied.input[0], multiplied.input[1], product.input[1])
        last, answer = self._joined(product, queries, values)
        starts = [*(item.first or multiplied.output[0] for item in (queries, keys)), values.first or product.output[0]]
        outside = {mask.value for mask in masks}.union(item.rows for item in (queries, keys, values))
        if last is not product:
            outside.update(last.input[1:])
        nodes = self.between(starts, last, outside)
        made = {node.output[0] for node in nodes}
        if not made.issuperset(node.output[0] for node in (multiplied, softmax, product)):
            raise OtherFormError("its scores or its answers are taken elsewhere too")
        kind = self.kinds.get(values.rows, TensorProto.UNDEFINED)
        if kind not in KINDS:
            raise OtherFormError(f"its numbers are {TensorProto.DataType.Name(kind)}, which the operator does not know")
        return Attention(
            nodes,
            (queries.rows, keys.rows, values.rows),
            sequence_first=queries.batch == INNER,
            answer_sequence_first=answer.parts[0] != queries.batch,
            answer_axes=len(answer.axes),
            masks=masks,
            heads=queries.heads,
            scale=scale * queries.scale * keys.scale,
            width=values.width,
            kind=kind,
        )

    def _joined(self, product: Any, queries: Operand, values: Operand) -> tuple[Any, Layout]:
        """Return the node behind which heads lie side by side again, and the layout there. Raises OtherFormError."""
        lengths = {**values.layout.lengths, **{part: queries.layout.lengths[part] for part in (OUTER, INNER)}}
        layout: Layout | None = Layout((*queries.layout.axes[:-1], values.layout.axes[-1]), lengths)
        node = product
        while layout is not None and not _side_by_side(layout):
            takers = self.takers.get(node.output[0], [])
            if len(takers) != 1 or takers[0] is None or takers[0].op_type not in ORDERING:
                raise OtherFormError("its answers are taken elsewhere before heads lie side by side")
            node = takers[0]
            layout = self.behind(layout, node)
        if layout is None:
            raise OtherFormError("its answers are put in an order in which rows cannot be told apart")
        return node, layout


def _side_by_side(layout: Layout) -> bool:
    """Whether heads and their width are the last axis, and batch and sequence those before it, or one."""
    return (
        {OUTER, INNER} == set(layout.parts[:2])
        and len(layout.parts[2:]) == len(layout.axes[-1])
        and len(layout.axes) in (2, ROWS)
    )
