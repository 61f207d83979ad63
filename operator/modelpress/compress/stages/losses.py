"""Losses of the objective, and whether targets fit them. New losses are a function here and a line in the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelpress.api.objective import Loss, Objective
from modelpress.api.reasons import Reason

from ..datasets import Samples, is_ragged, rows_of
from ..errors import Judged
from ..scores import class_axis
from ..signature import Array, Signature, describe

LossFunction = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
"""(outputs of a batch, targets of a batch, label smoothing) → mean loss."""
CLASSES = (Loss.CROSS_ENTROPY, Loss.CAUSAL_LM)
"""Losses whose targets are numbers of classes."""
IGNORED = -100
"""Target of a token or a node that is not to be learned, as transformers has it."""


def _mse(output: torch.Tensor, target: torch.Tensor, _smoothing: float) -> torch.Tensor:
    return functional.mse_loss(output, target.to(output.dtype).reshape(output.shape))


def _cosine(output: torch.Tensor, target: torch.Tensor, _smoothing: float) -> torch.Tensor:
    return (1 - functional.cosine_similarity(output, target.to(output.dtype).reshape(output.shape), dim=-1)).mean()


def _cross_entropy(output: torch.Tensor, target: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Classes are where the shape of the targets says: [batch, classes, …] or [batch, …, classes]."""
    axis = class_axis(output.shape, target.shape)
    assert axis is not None  # `check` saw to it
    return _mean_cross_entropy(output.movedim(axis, -1).flatten(0, -2), target.long().flatten(), smoothing)


def _causal_lm(output: torch.Tensor, target: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Scores of each token but the last are for the token after it."""
    return _mean_cross_entropy(output[:, :-1].flatten(0, 1), target.long()[:, 1:].flatten(), smoothing)


def _mean_cross_entropy(scores: torch.Tensor, wanted: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return the mean over those that are to be learned, 0 of none: scores (n, classes), wanted (n)."""
    if bool((wanted == IGNORED).all()):
        return scores.sum() * 0.0
    return functional.cross_entropy(scores, wanted, ignore_index=IGNORED, label_smoothing=smoothing)


LOSSES: Mapping[Loss, LossFunction] = MappingProxyType(
    {Loss.CROSS_ENTROPY: _cross_entropy, Loss.CAUSAL_LM: _causal_lm, Loss.MSE: _mse, Loss.COSINE: _cosine}
)


SEVERAL = (
    "The loss is taken of every output that the training data has targets for: name one in objective.output, or weigh "
    "them by a loss Entrypoint."
)


def settled(asked: Sequence[str], names: Sequence[str], samples: Samples, role: str) -> list[str]:
    """Return which outputs a loss is taken of: those asked for, else those with targets. Raises Judged without any."""
    found = [*asked] or [name for name in names if name in samples.targets] or [*names[:1]]
    for name in found:
        if name not in samples.targets:
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"The {role} data has no target for output {name}: name its column in compression.data.{role}.targets.",
            )
    return found


class TargetLoss:
    """The objective of the spec on the targets: a Criterion. Raises Judged with RecipeInvalid."""

    def __init__(self, objective: Objective, signature: Signature, smoothing: float = 0.0) -> None:
        self.kind = objective.loss
        self.name = str(objective.loss)
        self.smoothing = smoothing
        self.names = [spec.name for spec in signature.outputs]
        self.outputs = [objective.output] if objective.output else []
        if smoothing and self.kind not in CLASSES:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"labelSmoothing needs an objective with loss CrossEntropy or CausalLM, not {self.kind}.",
            )
        if objective.output is not None and objective.output not in self.names:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"objective.output is {objective.output}, the model has the outputs {', '.join(self.names)}.",
            )

    def check(
        self, _inputs: dict[str, torch.Tensor], outputs: tuple[torch.Tensor, ...], samples: Samples, role: str
    ) -> None:
        """Raise Judged if the samples have no fitting targets.

        The first samples to be checked, those that are trained on, settle what the loss is taken of if the objective
        names no output.
        """
        self.outputs = settled(self.outputs, self.names, samples, role)
        for name in self.outputs:
            targets = samples.targets[name]
            first = rows_of(targets, [0]) if is_ragged(targets) else targets
            try:
                check(self.kind, outputs[self.names.index(name)].shape, first, role, name)
            except Judged as refused:
                if len(self.outputs) == 1:
                    raise
                raise Judged(refused.reason, f"{refused.message} {SEVERAL}") from refused

    def taught(self) -> list[str]:
        """Return the outputs that the loss is taken of."""
        return self.outputs

    def parameters(self) -> list[nn.Parameter]:
        """Nothing is trained beside the module."""
        return []

    def loss(
        self, _inputs: dict[str, torch.Tensor], outputs: tuple[torch.Tensor, ...], samples: Samples, chosen: np.ndarray
    ) -> torch.Tensor:
        """Return the mean loss of the chosen samples, of several outputs the sum."""
        return torch.stack(
            [self._of(name, outputs[self.names.index(name)], samples, chosen) for name in self.outputs]
        ).sum()

    def _of(self, name: str, output: torch.Tensor, samples: Samples, chosen: np.ndarray) -> torch.Tensor:
        column = samples.targets[name]
        targets = rows_of(column, chosen)
        if is_ragged(column):  # only now is it known what the outputs of this sample are like
            check(self.kind, output.shape, targets, "given", name)
        target = torch.from_numpy(np.array(targets)).to(output.device)
        return LOSSES[self.kind](output, target, self.smoothing)


def check(loss: Loss, output: torch.Size, targets: Array, role: str, name: str) -> None:
    """Raise Judged unless the targets of all samples fit outputs of this shape (first axis: a batch)."""
    per_sample = int(np.prod(targets.shape[1:]))
    axis: int | None = len(output) - 1
    if loss is Loss.CROSS_ENTROPY:
        if len(output) < 2:
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"CrossEntropy needs scores [batch, classes], output {name} has {describe(output)}.",
            )
        axis = class_axis(output, targets.shape)
        wanted = tuple(output[1:-1]) if axis is None else (*output[1:axis], *output[axis + 1 :])
    elif loss is Loss.CAUSAL_LM:
        if len(output) != 3:
            raise Judged(
                Reason.DATASET_DOES_NOT_FIT,
                f"CausalLM needs scores [batch, tokens, vocabulary], output {name} has {describe(output)}.",
            )
        wanted = tuple(output[1:2])
    else:
        wanted = tuple(output[1:])
    if loss is Loss.COSINE and (len(output) < 2 or output[-1] < 2):
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"Cosine compares directions along the last axis, output {name} has {describe(output)}: use loss MSE.",
        )
    whole = np.issubdtype(targets.dtype, np.integer) or np.array_equal(targets, np.round(targets))
    if loss in CLASSES and not whole:
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"{loss} needs whole numbers as targets of {name}; the {role} data has {targets.dtype}.",
        )
    if per_sample != int(np.prod(wanted)):
        raise Judged(
            Reason.DATASET_DOES_NOT_FIT,
            f"The targets of {name} in the {role} data have shape {describe(targets.shape[1:])} a sample, {loss} "
            f"needs {describe(wanted)}.",
        )
    if loss in CLASSES and axis is not None:
        classes = output[axis]
        labels = targets.astype(np.int64)
        labels = labels[labels != IGNORED]
        wrong = labels[(labels < 0) | (labels >= classes)]
        if wrong.size:
            raise Judged(
                Reason.LABELS_OUT_OF_RANGE,
                f"The {role} data holds the label {int(wrong.flat[0])} for {name}, whose {classes} classes are 0 to "
                f"{classes - 1}: "
                "number labels from 0, or build the module with more classes.",
            )
