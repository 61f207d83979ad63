"""What torchmetrics computes, on arrays. Importing it takes seconds, so only what scores a model does."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torchmetrics.functional import cosine_similarity
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

Array = NDArray[Any]


IGNORED = -1
"""Stands for a label that is not counted: no class has this number."""


def accuracy(scores: Array, labels: Array, counted: Array, top: int) -> Array:
    """Return for each sample how many of its labels are among the `top` highest scores, and how many are counted.

    `scores` are (samples, classes, positions), `labels` and `counted` (samples, positions); the answer is (samples, 2).
    """
    right = multiclass_accuracy(
        _tensor(scores.astype(numpy.float32)),
        _tensor(numpy.where(counted, labels, IGNORED)),
        num_classes=scores.shape[1],
        average="micro",
        top_k=top,
        multidim_average="samplewise",
        ignore_index=IGNORED,
    )
    count = counted.sum(axis=1)
    return numpy.stack([numpy.rint(numpy.nan_to_num(right.numpy()) * count), count], axis=-1).astype(numpy.float64)


def f1(predicted: Array, labels: Array, classes: int, average: Any) -> float:
    """Return the F1 score of `predicted`, both (positions), averaged over classes as `average` says."""
    return float(multiclass_f1_score(_tensor(predicted), _tensor(labels), num_classes=classes, average=average))


def cosine(given: Array, wanted: Array) -> Array:
    """Return for each sample the mean cosine similarity over the last axis; both are (samples, …)."""
    width = given.shape[-1] if given.ndim > 1 else 1
    similarity = cosine_similarity(_tensor(given.reshape(-1, width)), _tensor(wanted.reshape(-1, width)), "none")
    return numpy.asarray(similarity.numpy().reshape(len(given), -1).mean(axis=1))


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(numpy.ascontiguousarray(array))
