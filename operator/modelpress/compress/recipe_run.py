"""One recipe, carried out on a model: its stages, the export between them, and what was kept of an earlier run."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from modelpress.api.results import Progress
from modelpress.api.stages import Distill
from modelpress.api.tasks import CompressTask

from . import graph
from .checkpoints import Checkpoints
from .export import export
from .facts import Size, StageFacts
from .layout import Layout
from .models import GraphModel, Medium, ModuleModel, size_of_module
from .recipe import QUANTIZE, Step
from .signature import example
from .stages import STAGES
from .stages.channels import count_macs
from .stages.context import Context, Reader

Report = Callable[[Progress], None]

NAME = "model.onnx"


def seed_everything(seed: int) -> None:
    """Have everything random begin anew."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _learns_from_source(step: Step) -> bool:
    """Return whether a stage needs the source as it was: to learn from it, or to see that another module fits it."""
    if not isinstance(step.settings, Distill):
        return False
    teacher = step.settings.teacher
    return teacher is None or teacher.name is None or step.settings.student is not None


class RecipeRun:
    """The stages of a task. What each did is in `facts` afterwards."""

    def __init__(
        self,
        task: CompressTask,
        layout: Layout,
        samples: Reader,
        report: Report,
        checkpoints: Checkpoints | None = None,
        exports: Path | None = None,
    ) -> None:
        """`checkpoints`: what to go on from, and where to leave it. `exports`: a folder of graphs that were exported
        from what stood at a checkpoint, for other recipes of the same search.
        """
        self.task = task
        self.layout = layout
        self.samples = samples
        self.report = report
        self.checkpoints = checkpoints
        self.exports = exports
        self.facts: list[StageFacts] = []
        self.teacher: ModuleModel | None = None
        self.position = 0

    def context(self, number: int) -> Context:
        """Return the surroundings of a stage, by its number in the recipe from 1; 0: of what is no stage."""
        scratch = self.layout.scratch / f"stage-{number}"
        scratch.mkdir(parents=True, exist_ok=True)
        return Context(
            samples=self.samples,
            seed=self.task.seed,
            scratch=scratch,
            source=self.layout.source,
            spec=self.task.source,
            objective=self.task.objective,
            quantization=next((item.quantize for item in self.task.stages if item.quantize is not None), None),
            teacher=self.teacher,
            teachers={name: (source, self.layout.teacher(name)) for name, source in self.task.teachers.items()},
        )

    def run(self, model: ModuleModel | GraphModel, steps: list[Step], original: Path) -> GraphModel:
        """Do the steps; the export stands where the medium changes, or at the end. Raises Judged.

        `original`: the export of the untouched model. A module is changed in place, unless a checkpoint stands for it.
        """
        if isinstance(model, ModuleModel) and any(_learns_from_source(step) for step in steps):
            self.teacher = self.teacher or ModuleModel(copy.deepcopy(model.module), model.signature)
        if isinstance(model, ModuleModel) and self.checkpoints is not None:
            model, self.facts = self.checkpoints.restore(model, steps, self.context(0).calibration())
        for step in steps[len(self.facts) :]:
            if step.medium is Medium.GRAPH and isinstance(model, ModuleModel):
                model = self._exported(model, original)
            model = self._stage(model, step)
            if isinstance(model, ModuleModel):
                self._keep(model)
        return self._exported(model, original) if isinstance(model, ModuleModel) else model

    def tell(self, stage: str, fraction: float, detail: str = "") -> None:
        """Say how far a stage is."""
        of = len(self.task.stages)
        self.report(Progress(stage=stage, position=self.position, of=of, fraction=fraction, detail=detail))

    def _keep(self, model: ModuleModel) -> None:
        """Keep what stands now for later runs; that the folder is full or read-only fails nothing."""
        if self.checkpoints is None:
            return
        try:
            self.checkpoints.save(model, self.facts, self.context(0).calibration())
        except OSError as error:
            last = self.facts[-1]
            text = f"What stands after it could not be kept for later runs: {error.strerror}."
            self.facts[-1] = last.model_copy(update={"warnings": (*last.warnings, text)})

    def _exported(self, model: ModuleModel, original: Path) -> GraphModel:
        """Export what the stages made of the module; an untouched one was exported already."""
        if not self.facts:
            return GraphModel(original, model.signature)
        kept = None
        if self.exports is not None and self.checkpoints is not None:
            kept = self.exports / self.checkpoints.key(len(self.facts))
            if kept.is_dir():
                return GraphModel(kept / NAME, model.signature)
        self.tell("export", 0.0, "compressed")
        path = self.layout.scratch / "exported" / NAME
        found = export(model, path, self.layout.source, self.context(0).calibration(), self.task.seed)
        if kept is None:
            return found
        kept.parent.mkdir(parents=True, exist_ok=True)
        path.parent.replace(kept)
        return GraphModel(kept / NAME, model.signature)

    def _stage(self, model: ModuleModel | GraphModel, step: Step) -> ModuleModel | GraphModel:
        self.position = step.position
        context = self.context(step.position)
        context.report = lambda fraction, detail: self.tell(step.kind, fraction, detail)
        self.tell(step.kind, 0.0)
        before, started = self._size(model), time.monotonic()
        result: ModuleModel | GraphModel = STAGES[step.kind][step.medium](model, step.settings, context)
        after = self._size(result)
        if step.kind == QUANTIZE:  # scales are no parameters, and a byte may hold two
            after = after.model_copy(update={"parameters": before.parameters})
        self.facts.append(
            StageFacts(
                position=step.position,
                kind=step.kind,
                works_on=step.medium,
                before=before,
                after=after,
                seconds=round(time.monotonic() - started, 3),
                notes=tuple(context.notes),
                warnings=tuple(context.warnings),
                layers=tuple(context.layers),
                configuration=context.configuration or None,
            )
        )
        return result

    def _size(self, model: ModuleModel | GraphModel) -> Size:
        if isinstance(model, GraphModel):
            return graph.size_of_graph(model.path)
        inputs = example(model.signature, 2, self.task.seed, self.context(0).calibration())
        macs = count_macs(model, model.module, {name: torch.from_numpy(value) for name, value in inputs.items()})
        return size_of_module(model, macs)
