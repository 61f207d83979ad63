"""Scores of an attention: the products that they are, and what masks them before they become weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import external
from .masks import Mask, MaskKind
from .operands import Operands


class Scores(Operands):
    """Follows scores from their softmax back to products of queries and keys."""

    def weights(self, softmax: Any) -> str:
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

    def scores(self, value: str) -> tuple[Any | None, float, tuple[Mask, ...]]:
        """Return the product that scores are, None if they are something else; what scales, and what masks it."""
        scale = 1.0
        masks: list[Mask] = []
        while True:
            value, more = self.scaled(value)
            scale *= more
            if (product := self.made(value, "MatMul")) is not None:
                return product, scale, tuple(dict.fromkeys(masks))
            masked = self._masked(value)
            if masked is None:
                return None, scale, ()
            value, mask = masked
            if not self._masks_nothing(mask.value):
                masks.append(mask)

    def _masked(self, value: str) -> tuple[str, Mask] | None:
        """Return scores before they are masked, and the mask; None if there is none."""
        node = self.makers.get(value)
        if node is None or node.op_type not in ("Add", "Where"):
            return None
        *truth, first, second = node.input
        chosen = [name for name in (first, second) if self._are_scores(name)]
        if len(chosen) != 1:
            return None
        other = second if chosen[0] == first else first
        if not truth:
            return chosen[0], Mask(other, MaskKind.ADDED)
        kind = MaskKind.SEEN if chosen[0] == first else MaskKind.HIDDEN
        return (chosen[0], Mask(truth[0], kind)) if other in self.tensors else None

    def _are_scores(self, value: str) -> bool:
        """Whether a value comes from a product, by way of what scales and masks."""
        value, _ = self.scaled(value)
        node = self.makers.get(value)
        if node is None or node.op_type not in ("Add", "Where", "MatMul"):
            return False
        return node.op_type == "MatMul" or any(map(self._are_scores, node.input[-2:]))

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
