"""How far a student's answers are from its teacher's: a Criterion over all outputs. Runs tenants' code (forward)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from modelpress.api.defaults import EffectiveDistill
from modelpress.api.objective import Loss, Objective
from modelpress.api.reasons import Reason
from modelpress.api.stages import Match

from ..datasets import Samples, rows_of
from ..errors import Judged
from ..models import ModuleModel
from ..scores import IMAGE_AXES, class_axis
from ..signature import Signature, describe
from .batching import batched, batches, device
from .criterion import Criterion, Outputs
from .distances import MATCHES, WHAT, Spread, divergence
from .features import Features
from .padding import kept, words

REMEMBERED = 2**26
"""Most numbers of the teacher's answers to one dataset that are remembered: 256 MiB."""
SPREAD_SAMPLES = 256
"""Training samples, evenly chosen, whose answers say how much an output varies."""


@dataclass(frozen=True)
class Compared:
    """One output that is imitated."""

    name: str
    index: int
    """Its place among the student's outputs."""
    answer: int
    """Its place among the teacher's."""
    match: Match
    scale: float = 1.0
    """What the distance is divided by."""


class TeacherLoss:
    """The difference between student and teacher, and the objective on the targets: a Criterion.

    The first samples to be checked, those that are trained on, settle which outputs are compared, and how.
    """

    name = "The distance from the teacher"

    def __init__(
        self,
        student: Signature,
        teacher: ModuleModel,
        settings: EffectiveDistill,
        objective: Objective | None = None,
        targets: Criterion | None = None,
        features: Features | None = None,
    ) -> None:
        self.teacher = teacher
        self.settings = settings
        self.names = [spec.name for spec in student.outputs]
        self.answered = [spec.name for spec in teacher.signature.outputs]
        self.named = objective.output if objective is not None else None
        self.objective = objective.loss if objective is not None else None
        self.targets = targets
        self.features = features
        self.repeating = settings.augment is None and features is None
        self.compared: tuple[Compared, ...] = ()
        self.notes: list[str] = []
        """Outputs that nothing is learned of."""
        self.warnings: list[str] = []
        """Outputs that are compared in another way than asked for."""
        self.known: dict[int, dict[int, Outputs]] = {}
        """The teacher's answers to each sample that it was asked for, one for each compared output, by dataset."""
        self.where = device()

    def check(self, inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, role: str) -> None:
        """Raise Judged unless there are outputs that can be compared."""
        if not self.compared:
            self.compared = self._scaled(self._fitting(outputs, samples), samples)
        if self.targets is not None:
            self.targets.check(inputs, outputs, samples, role)
        if self.features is not None:
            self.teacher.call(inputs)
            self.features.prepare()

    def taught(self) -> list[str]:
        """Return the outputs that are compared."""
        return [each.name for each in self.compared]

    def parameters(self) -> list[nn.Parameter]:
        """Return what brings the student's features to the teacher's width."""
        return self.features.parameters() if self.features is not None else []

    def loss(
        self, inputs: dict[str, torch.Tensor], outputs: Outputs, samples: Samples, chosen: np.ndarray
    ) -> torch.Tensor:
        """Return the mean loss of the chosen samples; the teacher sees what the student saw, augmented or not.

        Nothing is learned of what the teacher answers to padding.
        """
        alpha = self.settings.alpha
        total = alpha * self._distance(inputs, outputs, self._wanted(inputs, samples, chosen), samples)
        if self.targets is not None:
            total = total + (1 - alpha) * self.targets.loss(inputs, outputs, samples, chosen)
        if self.features is not None:
            total = total + self.settings.feature_weight * self.features.loss(inputs)
        return total

    def _distance(
        self, inputs: Mapping[str, torch.Tensor], outputs: Outputs, wanted: Outputs, samples: Samples
    ) -> torch.Tensor:
        """Return the sum over the compared outputs."""
        total = torch.zeros((), device=outputs[0].device)
        for each, answer in zip(self.compared, wanted, strict=True):
            got = outputs[each.index]
            axis = self._axis(each.name, got.shape, samples)
            where = words(inputs, got.shape) if axis == got.ndim - 1 else None
            pair = kept(got, where), kept(answer, where)
            if each.match is Match.LOGITS:
                total = total + divergence(*pair, self.settings.temperature, axis if where is None else -1)
            else:
                total = total + MATCHES[each.match](*pair) / each.scale
        return total

    def _fitting(self, outputs: Outputs, samples: Samples) -> list[Compared]:
        """Return which outputs are compared, and how: where the match does not fit an output, by squared error.

        Raises Judged if there are none, or if the match fits none.
        """
        match, names = self.settings.match, [self.named] if self.named else self.names
        if self.named and self.named not in self.names:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"objective.output is {self.named}, the model has the outputs {', '.join(self.names)}.",
            )
        numbers = [name for name in names if self._of(name, outputs).is_floating_point()]
        if not numbers:
            raise Judged(
                Reason.RECIPE_INVALID,
                f"distill compares floating-point outputs; {_types(names, [self._of(name, outputs) for name in names])}"
                f": {'name another one in objective.output' if self.named else 'take finetune instead'}.",
            )
        shapes = {name: self._of(name, outputs).shape for name in numbers}
        fitting = {name for name, shape in shapes.items() if self._fits(name, shape, samples)}
        if not fitting:
            name = numbers[0]
            raise Judged(
                Reason.RECIPE_INVALID,
                f"distill with match {match} compares {WHAT[match]}, but output {name} has the shape "
                f"{describe(shapes[name])}: use match MSE.",
            )
        self.notes += [
            f"Nothing was learned of the teacher's {name}: {_types([name], [self._of(name, outputs)])}, which has no "
            "gradient."
            for name in names
            if name not in numbers
        ]
        self.warnings += [
            f"distill compared output {name} by its squared error: of the shape {describe(shapes[name])} it does not "
            f"fit match {match}, which compares {WHAT[match]}. Name an output in objective.output to compare that one "
            "alone, or take match MSE for all."
            for name in numbers
            if name not in fitting
        ]
        return [
            Compared(name, self.names.index(name), self.answered.index(name), match if name in fitting else Match.MSE)
            for name in numbers
        ]

    def _of(self, name: str, outputs: Outputs) -> torch.Tensor:
        return outputs[self.names.index(name)]

    def _fits(self, name: str, shape: torch.Size, samples: Samples) -> bool:
        """Return whether an output, whose first axis counts samples, can be compared as asked."""
        match self.settings.match:
            case Match.LOGITS:
                return len(shape) > 1 and shape[self._axis(name, shape, samples)] > 1
            case Match.COSINE:
                return len(shape) > 1 and shape[-1] > 1
            case Match.MSE:
                return True

    def _scaled(self, compared: list[Compared], samples: Samples) -> tuple[Compared, ...]:
        """Return them with scales: beside others, a squared error is measured by how much the teacher's answers vary.

        So the unit of an output does not decide how much it counts; divergence and cosine have none.
        """
        squared = [each for each in compared if each.match is Match.MSE]
        if len(compared) == 1 or not squared:
            return tuple(compared)
        chosen = np.unique(np.linspace(0, samples.count - 1, min(SPREAD_SAMPLES, samples.count)).astype(int))
        found = {each.name: Spread() for each in squared}
        for start in range(0, len(chosen), self.settings.batch_size):
            part = chosen[start : start + self.settings.batch_size]
            for inputs, _ in batches(self.teacher, samples, part, self.where):
                answers = self._ask(inputs)
                for each in squared:
                    found[each.name].add(answers[each.answer])
        return tuple(replace(each, scale=found[each.name].scale()) if each.name in found else each for each in compared)

    def _axis(self, name: str, scores: torch.Size, samples: Samples) -> int:
        """Return which axis of scores counts classes: with targets the one that CrossEntropy takes.

        Without, as torch and transformers have it, the second of images and the last of anything else.
        """
        targets = samples.targets.get(name) if self.objective is Loss.CROSS_ENTROPY else None
        found = class_axis(scores, rows_of(targets, [0]).shape) if targets is not None else None
        if found is not None:
            return found
        images = len(scores) >= IMAGE_AXES and self.objective is not Loss.CAUSAL_LM
        return 1 if images else len(scores) - 1

    def _ask(self, inputs: dict[str, torch.Tensor]) -> Outputs:
        with torch.no_grad():
            return batched(self.teacher, self.teacher.call(inputs))

    def _wanted(self, inputs: dict[str, torch.Tensor], samples: Samples, chosen: np.ndarray) -> Outputs:
        """Return the teacher's answers, remembered from the epoch before where the inputs are the same again."""
        known, rows = self.known.setdefault(id(samples), {}), chosen.tolist()
        if all(row in known for row in rows):
            columns = zip(*(known[row] for row in rows), strict=True)
            return tuple(torch.stack(column).to(self.where) for column in columns)
        outputs = self._ask(inputs)
        answers = tuple(outputs[each.answer].float() for each in self.compared)
        if self.repeating and samples.count * sum(each[0].numel() for each in answers) <= REMEMBERED:
            known.update(zip(rows, _rows(answers), strict=True))  # samples may differ in size
        return answers


def _rows(answers: Outputs) -> Iterator[Outputs]:
    """Yield the answers sample by sample, on the CPU."""
    yield from zip(*(each.cpu() for each in answers), strict=True)


def _types(names: Sequence[str], values: Sequence[torch.Tensor]) -> str:
    """Return what tensors hold, in words: `ids holds int64`."""
    held = (
        f"{name} holds {str(value.dtype).removeprefix('torch.')}" for name, value in zip(names, values, strict=True)
    )
    return ", ".join(held)
