"""One recipe of a search: carried out, measured, written down. Runs tenants' code."""

from __future__ import annotations

import copy
import errno
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelpress.api.results import Progress
from modelpress.api.tasks import CompressTask

from .. import recipe
from ..checkpoints import Checkpoints
from ..ending import TRIAL, failure_of
from ..errors import Judged
from ..facts import StageFacts
from ..formats import FORMATS
from ..graph import files_of
from ..layout import COMPRESSED, Layout
from ..models import GraphModel, Medium, ModuleModel
from ..recipe_run import RecipeRun, seed_everything
from ..stages import WORKS_ON
from ..stages.context import Reader
from .measuring import Measuring
from .records import Record, Records
from .telling import Named


class OutOfTimeError(KeyboardInterrupt):
    """The time of the search was over while a trial was under way.

    An interrupt, which passes where errors of tenants' code are turned into sentences.
    """


@dataclass(frozen=True)
class Trying:
    """Carries recipes out on copies of one model."""

    task: CompressTask
    layout: Layout
    model: ModuleModel | GraphModel
    original: Path
    """Its export."""
    data: Reader
    checkpoints: Checkpoints
    """What recipes have in common."""
    exports: Path
    measuring: Measuring
    records: Records
    tell: Callable[[float, str], None]
    late: Callable[[], bool]
    """Whether the time of the search is over."""

    def attempt(self, candidate: Named) -> Record | None:
        """Carry out a recipe and return what it comes to, None if time was up meanwhile."""
        self.tell(0.0, candidate.name)
        folder, started = self.records.begin(candidate.stages), time.monotonic()
        try:
            facts = self._carry_out(candidate, folder)
            measured = self.measuring.measure(folder)
        except OutOfTimeError:
            self.records.forget(candidate.stages)
            return None
        except Exception as error:  # whatever one recipe meets, others may do without
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
            if not isinstance(error, Judged):
                traceback.print_exc()
            failure = failure_of(error, candidate.name)
            record = Record(seconds=time.monotonic() - started, failure=failure.message)
        else:
            record = Record(
                seconds=time.monotonic() - started,
                figures=measured.figures,
                speedup=measured.speedup,
                speedup_low=measured.speedup_low,
                speedup_high=measured.speedup_high,
                facts=tuple(facts),
            )
        self.records.keep(candidate.stages, record)
        return record

    def _carry_out(self, candidate: Named, folder: Path) -> list[StageFacts]:
        """Make the recipe's result below `folder`; return what its stages did. Raises Judged, OutOfTimeError."""
        seed_everything(self.task.seed)
        task = self.task.model_copy(update={"stages": candidate.stages})
        medium = FORMATS[task.source.format][0]
        steps = recipe.plan(task.source, medium, task.stages, WORKS_ON, task.objective, task.datasets)
        scratch = self.layout.scratch / TRIAL
        work = RecipeRun(
            task,
            replace(self.layout, scratch=scratch),
            self.data,
            partial(self._told, candidate),
            self.checkpoints.of(task.stages),
            self.exports,
        )
        model = self.model
        if isinstance(model, ModuleModel) and any(step.medium is Medium.MODULE for step in steps):
            model = ModuleModel(copy.deepcopy(model.module), model.signature)
        try:
            result = work.run(model, steps, self.original)
            target = folder / COMPRESSED
            target.parent.mkdir(parents=True)
            for file in files_of(result.path):
                shutil.copyfile(file, target.parent / (target.name if file == result.path else file.name))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return work.facts

    def _told(self, candidate: Named, progress: Progress) -> None:
        """Tell a stage's progress as that of its trial. Raises OutOfTimeError."""
        if self.late():
            raise OutOfTimeError
        done = (max(progress.position, 1) - 1 + progress.fraction) / max(progress.of, 1)
        self.tell(min(done, 1.0), f"{candidate.name}: {progress.stage} {progress.detail}".rstrip())
