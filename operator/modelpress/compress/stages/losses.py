"""Losses of the objective, and whether targets fit them. New losses are a function here and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch.nn import functional

from modelpress.api.compression import Loss
from modelpress.api.reasons import Reason

from ..errors import Judged
from ..signature import Array, describe

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(outputs of a batch, targets of a batch) → mean loss."""


def _mse(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(output, target.to(output.dtype).reshape(output.shape))


def _cosine(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (1 - functional.cosine_similarity(output, target.to(output.dtype).reshape(output.shape), dim=-1)).mean()


def _cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, target.long().reshape(output.shape[:1] + output.shape[2:]))


LOSSES: Mapping[Loss, LossFunction] = MappingProxyType(
    {Loss.CROSS_ENTROPY: _cross_entropy, Loss.MSE: _mse, Loss.COSINE: _cosine}
)


def check(loss: Loss, output: torch.Size, targets: Array, role: str, name: str) -> None:
    """Raise Judged unless the targets of all samples fit outputs of this shape (first axis: a batch)."""
    per_sample = int(np.prod(targets.shape[1:]))
    if loss is Loss.CROSS_ENTROPY:
        if len(output) < 2:
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"CrossEntropy needs scores [batch, classes], output {name} has {describe(output)}.",
            )
        wanted = tuple(output[2:])
        if not np.issubdtype(targets.dtype, np.integer) and not np.array_equal(targets, np.round(targets)):
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"CrossEntropy needs whole numbers as targets of {name}; the {role} data has {targets.dtype}.",
            )
    else:
        wanted = tuple(output[1:])
    if per_sample != int(np.prod(wanted)):
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"The targets of {name} in the {role} data have shape {describe(targets.shape[1:])} a sample, {loss} "
            f"needs {describe(wanted)}.",
        )
    if loss is Loss.CROSS_ENTROPY:
        classes = output[1]
        labels = targets.astype(np.int64)
        wrong = labels[(labels < 0) | (labels >= classes)]
        if wrong.size:
            raise Judged(
                Reason.LABELS_OUT_OF_RANGE,
                f"The {role} data holds the label {int(wrong.flat[0])} for {name}, whose {classes} classes are 0 to "
                f"{classes - 1}: "
                "number labels from 0, or build the module with more classes.",
            )
