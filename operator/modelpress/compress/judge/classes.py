"""Scores against labels: which axis counts classes, whether labels are in range, what was predicted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from modelpress.api.reasons import Reason

from ..errors import Judged
from ..scores import class_axis

Array = NDArray[Any]


@dataclass(frozen=True)
class Scored:
    """Scores and labels of a few samples, in one layout."""

    scores: Array
    """(samples, classes, positions)."""
    labels: Array
    """(samples, positions), int64, 0 to classes - 1."""
    counted: Array
    """(samples, positions), False where the label is one that is not counted; it is 0 in `labels` then."""

    @property
    def predicted(self) -> Array:
        """Class with the highest score, (samples, positions)."""
        return numpy.asarray(self.scores.argmax(axis=1))


def align(scores: Array, labels: Array, output: str, ignored: int | None = None) -> Scored:
    """Bring an output and its labels, both (samples, …), into one layout.

    Classes are counted by the axis that the shape of the labels tells (`scores.class_axis`). An output with one score
    (or a label) for each label is of two classes, divided by 0 (see `middle`). The label `ignored` is not counted.
    Raises Judged: DatasetDoesNotFit, LabelsOutOfRange.
    """
    labels = whole_numbers(labels, output)
    counted = numpy.ones(labels.shape, bool) if ignored is None else labels != ignored
    labels = numpy.where(counted, labels, 0)
    if labels.ndim > 1 and labels.shape[-1] == 1 and scores.ndim == labels.ndim and scores.shape[-1] > 1:
        labels = labels[..., 0]
    if scores.ndim > labels.ndim + 1 and scores.shape[1] == 1:
        scores = scores[:, 0]
    scores = _by_class(scores, labels, output)
    classes = scores.shape[1]
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        wrong = int(labels.min() if labels.min() < 0 else labels.max())
        raise Judged(
            Reason.LABELS_OUT_OF_RANGE,
            f"the test data has label {wrong}, output {output!r} has classes 0 to {classes - 1}: correct it, or leave "
            f"it out with args {{ignore_index: {wrong}}}",
        )
    count = len(labels)
    return Scored(scores.reshape(count, classes, -1), labels.reshape(count, -1), counted.reshape(count, -1))


def is_single(scores: Array, labels: Array) -> bool:
    """Return whether an output has one score for each label, where two classes need no more.

    A mask of one channel has too, [batch, 1, height, width].
    """
    return scores.shape in (labels.shape, (*labels.shape, 1), (*labels.shape[:1], 1, *labels.shape[1:]))


def is_one_hot(labels: Array) -> bool:
    """Return whether each sample has exactly one 1 among three values or more: no numbers of classes, and no labels of
    which several may hold.
    """
    if labels.ndim != 2 or labels.shape[1] < 3 or len(labels) < 2:
        return False
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def middle(scores: Iterable[Array]) -> float:
    """Return what divides the classes of single scores, given all of the original's: 0.5 if they are probabilities."""
    return 0.5 if all(part.dtype.kind == "f" and part.min() >= 0 and part.max() <= 1 for part in scores) else 0.0


def whole_numbers(labels: Array, output: str) -> Array:
    """Return `labels` as int64. Raises Judged with DatasetDoesNotFit if they are none."""
    whole = labels.astype(numpy.int64)
    if labels.dtype.kind == "f" and (whole != labels).any():
        found = float(labels[whole != labels][0])
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"the target of output {output!r} holds {found:g}, which is no number of a class: name the column of the "
            "classes, or measure amounts by mse, mae or r2",
        )
    return whole


def _by_class(scores: Array, labels: Array, output: str) -> Array:
    """Return `scores` with the classes in the second axis."""
    if is_single(scores, labels):
        flat = scores.reshape(labels.shape)
        if flat.dtype.kind in "iub":  # the model answers with classes itself
            return _one_hot(flat.astype(numpy.int64), int(max(labels.max(initial=0), flat.max(initial=0), 1)) + 1)
        return numpy.stack([-flat, flat], axis=1)
    axis = class_axis(scores.shape, labels.shape)
    if axis is None:
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"output {output!r} has shape {list(scores.shape[1:])} for a sample and its target "
            f"{list(labels.shape[1:])}: no axis of it counts classes",
        )
    return numpy.moveaxis(scores, axis, 1)


def _one_hot(classes: Array, count: int) -> Array:
    hot = numpy.eye(count, dtype=numpy.float32)[classes]
    return numpy.moveaxis(hot, -1, 1)
