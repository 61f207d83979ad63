"""Metrics of all samples together, which no mean over samples gives: AUROC, R², perplexity.

torchmetrics gives the same values (`tests/unit/compress/judge/test_metrics.py`), and is too slow for hundreds of
resamples.
"""

from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray

Array = NDArray[Any]


def auroc(scores: Array, labels: Array) -> float:
    """Return the area under the ROC curve, one class against the rest, averaged over classes that have both sides.

    `scores` (samples, classes), `labels` (samples,). Of two classes the second is asked for. By ranks (Hanley and
    McNeil 1982); ties count half. NaN if no class has both sides.
    """
    if scores.shape[1] == 2:
        return _area(scores[:, 1] - scores[:, 0], labels == 1)
    areas = [_area(scores[:, kind], labels == kind) for kind in range(scores.shape[1])]
    told = [area for area in areas if not numpy.isnan(area)]
    return float(numpy.mean(told)) if told else float("nan")


def against_rest(scores: Array) -> Array:
    """Return by how much each class's score is above those of all others together, float64: the log odds of softmax.

    `scores` (samples, classes, positions), before softmax: what is added to all classes of a sample changes no answer,
    so scores of different samples cannot be compared as they are.
    """
    scores = scores.astype(numpy.float64)
    best = scores.argmax(axis=1)[:, None]
    others = scores.copy()
    numpy.put_along_axis(others, best, -numpy.inf, axis=1)
    highest = others.max(axis=1, keepdims=True)
    rest = highest + numpy.log(numpy.exp(others - highest).sum(axis=1, keepdims=True))
    top = numpy.take_along_axis(scores, best, axis=1)
    shares = numpy.minimum(scores - numpy.logaddexp(top, rest), numpy.log(0.5))  # none but the best has more than half
    odds: Array = shares - numpy.log1p(-numpy.exp(shares))
    numpy.put_along_axis(odds, best, top - rest, axis=1)
    return odds


def are_probabilities(scores: Array) -> bool:
    """Return whether all scores are in 0…1, as torchmetrics tells probabilities from what softmax makes such."""
    return bool(scores.size == 0 or (scores.min() >= 0 and scores.max() <= 1))


def r2(answers: Array, truth: Array) -> float:
    """Return the coefficient of determination, averaged over the outputs' elements; both are (samples, elements).

    NaN if the truth of none of them differs.
    """
    rest = ((truth - answers) ** 2).sum(axis=0)
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    if not (spread > 0).any():
        return float("nan")
    parts = numpy.where(spread > 0, 1 - rest / numpy.where(spread > 0, spread, 1), numpy.where(rest > 0, 0.0, 1.0))
    return float(parts.mean())


def surprise(scores: Array, labels: Array, counted: Array) -> Array:
    """Return for each sample the sum of -log p of its labels and how many they are, (samples, 2), float64.

    `scores` (samples, positions, classes), before softmax; `labels` and which of them are `counted` (samples,
    positions).
    """
    scores = scores.astype(numpy.float64)
    highest = scores.max(axis=-1, keepdims=True)
    logarithms = scores - highest - numpy.log(numpy.exp(scores - highest).sum(axis=-1, keepdims=True))
    chosen = numpy.take_along_axis(logarithms, labels[..., None], axis=-1)[..., 0]
    return numpy.stack([-(chosen * counted).sum(axis=-1), counted.sum(axis=-1)], axis=-1)


def perplexity(surprises: Array) -> float:
    """Return exp of the mean surprise of a label, over all labels of all samples."""
    total, count = surprises.sum(axis=0)
    return float(numpy.exp(total / max(count, 1)))


def share(parts: Array) -> float:
    """Return the sum of the first column over that of the second: of all labels, those that are right."""
    total, count = parts.sum(axis=0)
    return float(total / count) if count else float("nan")


def _area(scores: Array, positive: Array) -> float:
    of, rest = int(positive.sum()), int((~positive).sum())
    if not of or not rest:
        return float("nan")
    _, place, counts = numpy.unique(scores, return_inverse=True, return_counts=True)
    ranks = (numpy.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - of * (of + 1) / 2) / (of * rest))
