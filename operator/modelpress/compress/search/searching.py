"""A search from the loaded model to the chosen result: look, try what the strategy names, measure, choose.

Runs tenants' code. Nothing it says is judged by: the chosen result is measured again on the test data, elsewhere.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from modelpress.api.defaults import with_defaults
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation, of_the_source
from modelpress.api.results import Progress
from modelpress.api.tasks import EARLIER_SEARCH, CompressTask
from modelpress.store.search import Search, Sensitivity

from ..checkpoints import Checkpoints
from ..data import Data
from ..ending import TRIAL
from ..facts import StageFacts
from ..judge.environment import describe_environment
from ..layout import BASELINES, COMPRESSED, STAGES, TRIALS, Layout
from ..models import GraphModel, ModuleModel
from ..recipe_run import RecipeRun, Report
from ..scoring import functions
from . import again
from .budget import Budget
from .data import search_data
from .front import Point
from .looking import Look
from .measuring import Measured, Measuring
from .records import Record, Records
from .space import Candidate, space
from .strategy import strategy
from .telling import Entry, chosen, reason, trials
from .trying import Trying

LOOK = "look"
"""What is told as a stage while sensitivities are measured."""
UNTOUCHED = "as it came"


@dataclass(frozen=True)
class Outcome:
    """What a search found."""

    model: GraphModel
    facts: list[StageFacts]
    """What the stages of the chosen recipe did."""
    search: Search


class Searching:
    """One search."""

    def __init__(
        self,
        task: CompressTask,
        layout: Layout,
        model: ModuleModel | GraphModel,
        original: Path,
        data: Data,
        report: Report,
    ) -> None:
        assert task.auto is not None, "a search is asked for"
        self.auto = with_defaults(task.auto)
        self.task = task.model_copy(update={"auto": None, "evaluation": None, "targets": None})
        self.layout = layout
        self.model = model
        self.original = original
        self.report = report
        self.budget = Budget(self.auto.max_trials, seconds(self.auto.max_time))
        evaluation = task.evaluation or Evaluation()
        targets = task.targets or {}
        wanted = {metric.target for metric in evaluation.metrics or () if metric.target} | {*targets.values()}
        self.data = search_data(data, wanted)
        cache = layout.cache or layout.scratch / "search"
        judged, columns = self.data.judged, self.data.columns
        trusted = bool(task.source.trust_code)
        theirs = functions(of_the_source(evaluation.metrics), layout.source, trusted=trusted)
        self.measuring = Measuring(
            layout.out, judged, columns, evaluation, task.seed, cache / BASELINES, targets, theirs
        )
        self.work = RecipeRun(self.task, layout, self.data, report)
        checkpoints = Checkpoints(cache / STAGES, self.task, layout, self.data.withheld)
        content = {
            **checkpoints.content,
            "judged": self.data.words,
            "metrics": [metric.to_wire() for metric in self.measuring.metrics],
            "batch": self.measuring.batch,
            "machine": describe_environment(self.measuring.threads),
            "onnxruntime": importlib.metadata.version("onnxruntime"),
        }
        self.records = Records(cache / TRIALS, content)
        self.exports = layout.scratch / "exports"
        self.trying = Trying(
            task=self.task,
            layout=layout,
            model=model,
            original=original,
            data=self.data,
            checkpoints=checkpoints,
            exports=self.exports,
            measuring=self.measuring,
            records=self.records,
            tell=partial(self._tell, TRIAL),
            late=lambda: self.spent > self.budget.seconds,
        )
        self.tried: list[tuple[Candidate, Record]] = []
        self.training_seconds = 0.0
        """How long a trial with training will take, as far as it can be told before any."""
        self.began = time.monotonic()
        self.earlier = 0.0
        """Seconds of trials that were taken over from an earlier run."""

    @property
    def spent(self) -> float:
        """Seconds of the search so far, those of an earlier run counted in."""
        return time.monotonic() - self.began + self.earlier

    def run(self) -> Outcome:
        """Choose among what an earlier search tried, or search. Raises Judged if nothing can be measured."""
        earlier = again.read(self.layout.data / EARLIER_SEARCH, describe_environment(self.measuring.threads))
        found = self._chosen_again(earlier) if earlier is not None else None
        return found or self._search()

    def _chosen_again(self, earlier: Search) -> Outcome | None:
        """Return what is best by the gates of today among the trials of an earlier search; None if nothing is."""
        entries = again.entries(earlier, self.measuring)
        found = again.choose(entries, self.auto.objective, self._entry_made) if entries is not None else None
        if entries is None or found is None:
            return None
        place, made = found
        note = f"Chosen among the {len(entries) - 1} trials of a search with other gates; carried out again: {made}."
        return self._outcome(entries, place, [*earlier.notes, note], earlier.sensitivities)

    def _entry_made(self, entry: Entry) -> Entry | None:
        """Carry out a recipe of an earlier search again; None if time was up meanwhile."""
        record = self.records.find(entry.stages) or self.trying.attempt(entry)
        return replace(entry, record=record, point=self._point(record)) if record is not None else None

    def _search(self) -> Outcome:
        look = Look(
            self.model,
            self.original,
            self.work,
            self.budget,
            self.auto.objective,
            lambda part, text: self._tell(LOOK, part, text),
            self.records.epochs(self.budget),
        )
        traits = look.traits()
        if traits.epochs:
            self.records.keep_epochs(self.budget, traits.epochs)
        self.training_seconds = traits.epochs * look.epoch_seconds
        room = space(traits, self.auto.objective)
        came = self.measuring.as_it_came()
        untouched = self.measuring.untouched(came)
        first = Entry(UNTOUCHED, (), Record(seconds=0.0, figures=came.figures), untouched)
        steps = strategy(room, self.auto.objective, untouched, self.budget.trials)
        candidate = next(steps, None)
        while candidate is not None:
            record = self._try(candidate)
            if record is None:
                look.notes.append(f"Time was up after {len(self.tried)} of {self.budget.trials} trials.")
                break
            self.tried.append((candidate, record))
            try:
                candidate = steps.send(self._point(record))
            except StopIteration:
                break
        shutil.rmtree(self.exports, ignore_errors=True)
        entries = [first]
        entries += [Entry(one.name, one.stages, record, self._point(record)) for one, record in self.tried]
        notes = [*self.measuring.notes, *look.notes]
        return self._outcome(entries, chosen(entries, self.auto.objective), notes, traits.sensitivities)

    def _try(self, candidate: Candidate) -> Record | None:
        """Return what a recipe comes to; None if there is no time or no trial left for it."""
        known = self.records.find(candidate.stages)
        like = [record.seconds for other, record in self.tried if other.trains == candidate.trains]
        foreseen = self.training_seconds if candidate.trains else 0.0
        expected = known.seconds if known is not None else max(like, default=foreseen)
        if not self.budget.allows(len(self.tried), self.spent, expected):
            return None
        if known is not None:
            self.earlier += known.seconds
            return known
        return self.trying.attempt(candidate)

    def _tell(self, stage: str, fraction: float, detail: str) -> None:
        number, of = (len(self.tried) + 1, self.budget.trials) if stage == TRIAL else (0, 0)
        self.report(Progress(stage=stage, position=number, of=of, fraction=fraction, detail=detail))

    def _point(self, record: Record) -> Point | None:
        if record.figures is None:
            return None
        return self.measuring.point(Measured(record.figures, record.speedup, record.speedup_low, record.speedup_high))

    def _outcome(
        self, entries: list[Entry], place: int, notes: list[str], sensitivities: tuple[Sensitivity, ...]
    ) -> Outcome:
        """Write everything down; the entry at `place` was chosen."""
        found = Search(
            objective=self.auto.objective,
            max_trials=self.budget.trials,
            max_seconds=self.budget.seconds,
            seconds=round(self.spent, 3),
            loss=self.measuring.metrics[0].name,
            data=self.data.words,
            samples=self.measuring.samples.count,
            trials=trials(entries),
            chosen=place,
            why=reason(entries, place, self.auto.objective),
            notes=tuple(notes),
            sensitivities=sensitivities,
        )
        best = entries[place]
        path = self.records.place(best.stages) / COMPRESSED if best.stages else self.original
        return Outcome(GraphModel(path, self.model.signature), list(best.record.facts), found)
