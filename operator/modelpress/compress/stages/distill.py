"""Stage distill: the module learns to answer as the untouched source does. Runs tenants' code (forward).

Logits: Hinton et al. 2015, arXiv:1503.02531, section 2. Features: Romero et al. 2015, arXiv:1412.6550, section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from modelpress.api.compression import Loss
from modelpress.api.defaults import EffectiveDistill, with_defaults
from modelpress.api.reasons import Reason
from modelpress.api.stages import Distill, Match, SourceModule

from ..datasets import Samples, rows_of
from ..errors import Judged
from ..models import ModuleModel
from ..scores import IMAGE_AXES, class_axis
from ..signature import describe
from . import beside
from .context import Context
from .features import Features
from .losses import output_of
from .objectives import criterion
from .training import Criterion, Outputs, batched, device, train

REMEMBERED = 2**26
"""Most numbers of the teacher's answers to one dataset that are remembered: 256 MiB."""


def run(model: ModuleModel, settings: Distill, context: Context) -> ModuleModel:
    """Train in place, or a student of its own, and return what was trained.

    Raises Judged: RecipeInvalid, TrainingDiverged, DatasetDoesNotFit, EntrypointFailed.
    """
    if context.teacher is None:
        raise Judged(Reason.RECIPE_INVALID, "distill works on a torch module, whose source is the teacher.")
    full = with_defaults(settings)
    student = _built(settings.student, beside.STUDENT, context.teacher, context) or model
    teacher = _built(settings.teacher, beside.TEACHER, context.teacher, context) or context.teacher
    targets = None
    if full.alpha < 1:
        if context.objective is None:
            raise Judged(Reason.RECIPE_INVALID, "distill with alpha below 1 needs compression.objective.")
        targets = criterion(context.objective, student.signature, context.source)
    teacher.module.eval().requires_grad_(False).to(device())
    features = Features(student.module, teacher.module, full.features) if full.features else None
    loss = context.objective.loss if context.objective is not None else None
    output = output_of(context.objective, student.signature)
    try:
        train(student, full, TeacherLoss(teacher, full, output, loss, targets, features), context, "distill")
    finally:
        teacher.module.cpu()
        if features is not None:
            features.close()
    return student


def _built(asked: SourceModule | None, field: str, source: ModuleModel, context: Context) -> ModuleModel | None:
    """Return the module that a field of the stage asks for, None if it asks for none. Raises Judged."""
    if asked is None:
        return None
    if context.spec is None:
        raise Judged(Reason.RECIPE_INVALID, f"{field} is built by an entrypoint: it needs a source.")
    found = beside.build(asked, field, context.spec, context.source, source.signature, context.seed)
    beside.check(source, found, field, context.calibration(), context.seed, context.source)
    return found


class TeacherLoss:
    """The difference between student and teacher, and the objective on the targets: a training.Criterion."""

    name = "The distance from the teacher"

    def __init__(
        self,
        teacher: ModuleModel,
        settings: EffectiveDistill,
        output: tuple[str, int],
        objective: Loss | None,
        targets: Criterion | None,
        features: Features | None,
    ) -> None:
        self.teacher = teacher
        self.settings = settings
        self.output, self.index = output
        self.objective = objective
        self.targets = targets
        self.features = features
        self.repeating = settings.augment is None and features is None
        self.known: dict[int, dict[int, torch.Tensor]] = {}
        """The teacher's answer to each sample that it was asked for, by dataset."""
        self.where = device()

    def check(self, inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, role: str) -> None:
        """Raise Judged unless the output can be compared as asked."""
        shape = outputs[self.index].shape
        if self.settings.match is Match.LOGITS and (len(shape) < 2 or shape[self._axis(shape, samples)] < 2):
            raise Judged(
                Reason.RECIPE_INVALID,
                f"distill with match Logits compares scores of classes, but output {self.output} has the shape "
                f"{describe(shape)}: use match MSE or Cosine.",
            )
        if self.targets is not None:
            self.targets.check(inputs, outputs, samples, role)
        if self.features is not None:
            self.teacher.call(inputs)
            self.features.prepare()

    def parameters(self) -> list[nn.Parameter]:
        """Return what brings the student's features to the teacher's width."""
        return self.features.parameters() if self.features is not None else []

    def loss(
        self, inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, chosen: np.ndarray
    ) -> torch.Tensor:
        """Return the mean loss of the chosen samples; the teacher sees what the student saw, augmented or not."""
        wanted = self._wanted(inputs, samples, chosen)
        got, alpha = outputs[self.index], self.settings.alpha
        if self.settings.match is Match.LOGITS:
            total = alpha * divergence(got, wanted, self.settings.temperature, self._axis(got.shape, samples))
        else:
            total = alpha * MATCHES[self.settings.match](got, wanted)
        if self.targets is not None:
            total = total + (1 - alpha) * self.targets.loss(inputs, outputs, samples, chosen)
        if self.features is not None:
            total = total + self.settings.feature_weight * self.features.loss()
        return total

    def _axis(self, scores: torch.Size, samples: Samples) -> int:
        """Return which axis of scores counts classes: with targets the one that CrossEntropy takes.

        Without, as torch and transformers have it, the second of images and the last of anything else.
        """
        targets = samples.targets.get(self.output) if self.objective is Loss.CROSS_ENTROPY else None
        found = class_axis(scores, rows_of(targets, [0]).shape) if targets is not None else None
        if found is not None:
            return found
        images = len(scores) >= IMAGE_AXES and self.objective is not Loss.CAUSAL_LM
        return 1 if images else len(scores) - 1

    def _wanted(self, inputs: dict[str, torch.Tensor], samples: Samples, chosen: np.ndarray) -> torch.Tensor:
        """Return the teacher's answers, remembered from the epoch before where the inputs are the same again."""
        known, rows = self.known.setdefault(id(samples), {}), chosen.tolist()
        if all(row in known for row in rows):
            return torch.stack([known[row] for row in rows]).to(self.where)
        with torch.no_grad():
            answers = batched(self.teacher, self.teacher.call(inputs))[self.index].float()
        if self.repeating and samples.count * answers[0].numel() <= REMEMBERED:
            known.update(zip(rows, answers.cpu(), strict=True))  # samples may differ in size
        return answers


def divergence(got: torch.Tensor, wanted: torch.Tensor, temperature: float, axis: int) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence of the softened scores of classes, which `axis` counts.

    It is multiplied by the square of the temperature, so that gradients keep their size.
    """
    student = functional.log_softmax(got / temperature, axis)
    teacher = functional.log_softmax(wanted / temperature, axis)
    each = functional.kl_div(student, teacher, reduction="none", log_target=True).sum(axis)
    return each.mean() * temperature**2


def _mse(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(got, wanted)


def _cosine(got: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    return (1 - functional.cosine_similarity(got, wanted, dim=-1)).mean()


MATCHES: Mapping[Match, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = MappingProxyType(
    {Match.MSE: _mse, Match.COSINE: _cosine}
)
"""(student's output, teacher's output) → mean loss."""
