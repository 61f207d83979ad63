"""How often result and original answer alike, whatever metrics ask: shown beside them.

Alike are answers that name the same class or the same whole number, or point the same way. Amounts are left aside:
among many numbers one is always off by more than any limit, and how far they are off is for metrics to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy

from modelpress.api.evaluation import MetricType

from . import agreement
from .answers import Array, Arrays
from .classes import is_single, middle
from .gathering import OF_CLASSES
from .metrics import Scorer
from .models import Model

SINGLE = "single"
"""Kind of outputs with one score for each label: only all of them together tell what divides the two classes."""


def kinds_of(model: Model, scorers: Iterable[Scorer]) -> dict[str, str]:
    """Return by output when two answers are alike: as metrics ask of it, or by its axes. Amounts are not among them."""
    metrics: dict[str, set[MetricType]] = {}
    for scorer in scorers:
        if scorer.metric.type is not MetricType.AGREEMENT:
            metrics.setdefault(scorer.output, set()).add(scorer.metric.type)
    found = {}
    for tensor in model.outputs:
        asked, scores = metrics.get(tensor.name, set()), tensor.dtype.startswith("float")
        classes = agreement.classes_of(tensor.shape if model.batched else (1, *tensor.shape))
        if scores and asked & OF_CLASSES:
            found[tensor.name] = SINGLE if classes == 1 else "argmax"
        elif MetricType.COSINE in asked:
            found[tensor.name] = "cosine"
        elif asked <= OF_CLASSES and not scores:
            found[tensor.name] = "exact"
        elif not asked and len(tensor.shape) == 2 and classes not in {-1, 1}:
            found[tensor.name] = "argmax"
    return found


@dataclass
class Agreeing:
    """Counts, told batch after batch."""

    kinds: Mapping[str, str]
    """By output: SINGLE, or one of `agreement.KINDS`."""
    _alike: dict[str, list[Array]] = field(default_factory=dict)
    """By output: for each sample the share of its answers that are alike."""
    _single: dict[str, list[tuple[Array, Array]]] = field(default_factory=dict)

    def add(self, original: Arrays, result: Arrays, truths: Arrays) -> None:
        """Count a batch: answers of both models, (samples, …), and the truth of outputs that have one."""
        for name, kind in self.kinds.items():
            before, after, truth = original[name], result[name], truths.get(name)
            single = kind == SINGLE or (kind == "argmax" and truth is not None and is_single(before, truth))
            if single and before.shape == after.shape:
                self._single.setdefault(name, []).append((before, after))
            else:
                labels = None if truth is None else truth.shape
                self._count(name, agreement.alike(before, after, {"kind": kind}, labels=labels))

    def figure(self) -> float | None:
        """Return the mean of those shares, of the worst output where there are several; None if all are amounts."""
        for name, pairs in self._single.items():
            half = middle(before for before, _ in pairs)
            for before, after in pairs:
                self._count(name, ((before > half) == (after > half)).reshape(len(before), -1))
        self._single.clear()
        if not self._alike:
            return None
        return float(numpy.min([numpy.concatenate(parts) for parts in self._alike.values()], axis=0).mean())

    def _count(self, name: str, alike: Array) -> None:
        self._alike.setdefault(name, []).append(alike.mean(axis=1))
