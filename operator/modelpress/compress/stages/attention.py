"""Attention in an exported graph, found by its softmax; `attention_nodes` writes it anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from .. import external
from .values import AXES, Values, permutation

SPLIT, TURNED, SWAPPED, STACKED = [0, 2, 1, 3], [0, 2, 3, 1], [0, 1, 3, 2], [0, 2, 1]
"""Transpositions of [batch, sequence, heads, width]: of queries and values, of keys at once, of keys in two steps; and
of keys [batch x heads, sequence, width], as the exporter turns those of torch's own attention."""
KINDS = (TensorProto.FLOAT, TensorProto.FLOAT16)
"""Element types that the operator knows."""
ROWS_TURNED, OF_ROWS_TURNED = [1, 0, 2], [2, 0, 1, 3]
"""Transpositions of nn.MultiheadAttention: of what it splits, [sequence, batch x heads, width], and of its answers."""


@dataclass(frozen=True)
class Attention:
    """One attention: the nodes that it consists of, and what they take."""

    nodes: tuple[Any, ...]
    """In the order of the graph; the last makes the answer, [batch, sequence, heads x width]."""
    rows: tuple[str, str, str]
    """Queries, keys and values before they are split into heads, [batch, sequence, heads x width]."""
    sequence_first: bool
    """Whether rows are [sequence, batch, heads x width] instead, and the answer has two axes, of rows and width."""
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


@dataclass(frozen=True)
class _Split:
    """Where rows are split into heads."""

    node: Any
    heads: int
    sequence_first: bool


def find(model: Any) -> list[Attention]:
    """Return every attention whose values nobody else takes; shapes must be known."""
    reader = _Reader(model)
    found = (reader.attention(node) for node in model.graph.node if node.op_type == "Softmax")
    return [item for item in found if item is not None]


class _Reader(Values):
    """Finds what attention consists of, from its softmax on."""

    def attention(self, softmax: Any) -> Attention | None:
        """Return the attention that a softmax over scores belongs to, None if it is of another form."""
        weights = self._weights(softmax)
        product = self.taker(weights, "MatMul")
        back = self.taker(self.behind_idle(product.output[0]), "Transpose") if product is not None else None
        joined = self.taker(back.output[0], "Reshape") if back is not None else None
        if product is None or back is None or joined is None or not _last(softmax):
            return None
        scores, mask = self._unmasked(softmax.input[0])
        mask = "" if self._masks_nothing(mask) else mask
        scores, scale = self.scaled(scores)
        multiplied = self.made(scores, "MatMul")
        if multiplied is None or product.input[0] != weights:
            return None
        queries, of_queries = self.scaled(multiplied.input[0])
        keys, of_keys = self._keys(multiplied.input[1])
        splits = (self._split(queries, SPLIT), keys, self._split(product.input[1], SPLIT))
        known = [split for split in splits if split is not None]
        if len(known) != len(splits) or len({(split.heads, split.sequence_first) for split in known}) != 1:
            return None
        first, second, third = (str(split.node.input[0]) for split in known)
        if not self._joined(back, joined, third, sequence_first=known[0].sequence_first):
            return None
        nodes = self.between([split.node.output[0] for split in known], joined)
        made = {name for node in nodes for name in node.output}
        kind = self.kinds[third]
        if not nodes or mask in made or joined.input[1] in made or kind not in KINDS:
            return None
        scale *= of_queries * of_keys
        width = self.dims[third][-1]
        return Attention(
            nodes, (first, second, third), known[0].sequence_first, mask, known[0].heads, scale, width, kind
        )

    def _weights(self, softmax: Any) -> str:
        """Return the weights; where a whole row is masked, the exporter puts zeros in the place of softmax's NaN."""
        weights = str(softmax.output[0])
        takers = self.takers.get(weights, [])
        for node in takers:
            if node is None or node.op_type != "Where" or len(takers) != 2 or node.input[2] != weights:
                continue
            nan, zero = self.made(node.input[0], "IsNaN"), self.tensors.get(node.input[1])
            if nan in takers and zero is not None and not np.any(external.array(zero)):
                return str(node.output[0])
        return weights

    def _unmasked(self, value: str) -> tuple[str, str]:
        """Return scores, and the mask that is added to them, empty if none is."""
        maker = self.made(value, "Add")
        if maker is None:
            return value, ""
        scores, mask = maker.input
        return (mask, scores) if self.made(self.scaled(mask)[0], "MatMul") is not None else (scores, mask)

    def _masks_nothing(self, mask: str) -> bool:
        """Whether zeros are added wherever a constant is true, and it is true everywhere, as vision models have it."""
        chosen = self.made(mask, "Where")
        if chosen is None:
            return False
        spread = self.made(chosen.input[0], "Expand")
        truth = self.tensors.get(spread.input[0] if spread is not None else chosen.input[0])
        zero = self.tensors.get(chosen.input[1])
        known = truth is not None and zero is not None
        return known and bool(np.all(external.array(truth))) and not np.any(external.array(zero))

    def _split(self, value: str, order: Sequence[int]) -> _Split | None:
        """Return where rows were split into heads, which were then transposed so; None if they were not."""
        node = self.made(self.transposed(value, order), "Reshape")
        heads = self._heads(node) if node is not None else 0
        if heads:
            return _Split(node, heads, sequence_first=False)
        return self._split_with_batch(value) if order == SPLIT else None

    def _split_with_batch(self, value: str) -> _Split | None:
        """Return where rows [sequence, batch, width] were split, heads beside the batch, as nn.MultiheadAttention does.

        Axes must be known to be the same, so that no other order of numbers has these shapes.
        """
        last = self.made(value, "Reshape")
        node = self.made(self.transposed(last.input[0], ROWS_TURNED), "Reshape") if last is not None else None
        if node is None:
            return None
        rows, parts, whole = (self.axes.get(name, []) for name in (node.input[0], node.output[0], value))
        if (len(rows), len(parts), len(whole)) != (AXES - 1, AXES - 1, AXES):
            return None
        _, heads, _, width = self.dims[value]
        same = bool(rows[0]) and rows[0] == parts[0] == whole[2] and parts[2] == width
        return _Split(node, heads, sequence_first=True) if same and heads * width == rows[2] != 0 else None

    def _joined(self, back: Any, joined: Any, values: str, *, sequence_first: bool) -> bool:
        """Whether heads are put side by side again, in the order of the rows."""
        if not sequence_first:
            return permutation(back) == SPLIT and self.halves(joined.output[0], back.output[0])
        dims = self.dims.get(joined.output[0], [])
        return permutation(back) == OF_ROWS_TURNED and len(dims) == 2 and dims[-1] == self.dims[values][-1]

    def _keys(self, value: str) -> tuple[_Split | None, float]:
        """Return where keys were split into heads, turned at once or in two steps, and what they were scaled by."""
        value, scale = self.scaled(value)
        stacked = self.made(value, "Reshape")
        turned = self.made(self.transposed(stacked.input[0], STACKED), "Reshape") if stacked is not None else None
        once = turned.input[0] if turned is not None else self.transposed(value, SWAPPED)
        if not once:
            return self._split(value, TURNED), scale
        once, before = self.scaled(once)
        return self._split(once, SPLIT), scale * before

    def _heads(self, split: Any) -> int:
        """Return how many heads rows of [batch, sequence, width] were split into; 0: it cannot be told."""
        if not self.halves(split.input[0], split.output[0]):
            return 0
        before, after = self.dims[split.input[0]], self.dims[split.output[0]]
        return before[-1] // after[-1] if after[-1] and before[-1] % after[-1] == 0 else 0


def _last(softmax: Any) -> bool:
    """Whether a softmax is over the last of four axes."""
    return next((item.i for item in softmax.attribute if item.name == "axis"), -1) in (-1, AXES - 1)
