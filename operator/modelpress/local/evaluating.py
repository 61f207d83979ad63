"""`modelpress evaluate`: an artifact measured anew on other data, as a cluster's evaluation Job does it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from modelpress.api import gates
from modelpress.api.compression import TIMEOUT
from modelpress.api.data import Dataset, mapped
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation, Latency, MeasuredOn, Metric, MetricType, of_the_source
from modelpress.api.results import ResolveResult
from modelpress.api.tasks import (
    REPORT_FOLDER,
    FetchTask,
    JudgeTask,
    Location,
    PinnedLocation,
    ResolveTask,
)
from modelpress.store.manifest import PAGE_FILE, REPORT_FILE
from modelpress.store.report import Report

from . import judging, steps
from .artifact import Artifact
from .asked_error import AskedError
from .asking import measured, mistakes
from .making import Made
from .places import located_uri
from .steps import Tell
from .workspace import Workspace, prepared


@dataclass(frozen=True)
class Question:
    """What is to be measured, where it differs from what was."""

    test: str | None = None
    """Path or URL of the test data."""
    train: str | None = None
    """Path or URL of the training data, to see whether test samples are in it."""
    metrics: tuple[str, ...] = ()
    """Types of metrics. Empty: as before."""
    batch_sizes: tuple[int, ...] = ()
    """Batch sizes of latency. Empty: as before."""
    threads: int | None = None
    """Threads of the runtime. None: as before."""
    source: str | None = None
    """Path or URL of the folder whose functions compute metrics of type entrypoint: they are run."""


def evaluate(artifact: Artifact, question: Question, out: Path | None, tell: Tell) -> Made:
    """Measure `artifact` again, and write the report into the folder `out`. Raises StepError, AskedError."""
    before = artifact.report()
    evaluation = asked(before, question)
    if out is not None:
        make_folder(out)
    with temporary() as place:
        _bring_in(artifact, evaluation, question, [spec.name for spec in before.inputs], place, tell)
        task = JudgeTask(name=before.name or artifact.name, evaluation=evaluation, seed=before.seed)
        judging.judge(task, place, tell, trusted=question.source is not None, timeout=seconds(TIMEOUT))
        folder = place.folder(REPORT_FOLDER)
        report = Report.model_validate_json((folder / REPORT_FILE).read_bytes())
        if out is not None:
            for name in (REPORT_FILE, PAGE_FILE):
                shutil.copyfile(folder / name, out / f".{name}")
                (out / f".{name}").rename(out / name)
    demanded = gates.measured_on(MeasuredOn.COMPRESSION, evaluation.gates)
    outcomes = gates.judge(report.figures, demanded)
    return Made(report, outcomes, gates.overall(outcomes, demanded), report.warnings, out)


def make_folder(out: Path) -> None:
    """Make the empty folder that the report goes to. Raises AskedError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise AskedError(f"--out {out} is not empty: name another folder.")
    except OSError as error:
        raise AskedError(f"--out {out} cannot be written ({error.strerror}): name a folder that can.") from error


def asked(before: Report, question: Question) -> Evaluation:
    """Return the evaluation: what the report was judged by, with what the question changes. Raises AskedError."""
    found = Evaluation.model_validate(before.evaluation)
    changes: dict[str, object] = {}
    if question.test:
        reading = found.test.model_dump(exclude={"uri", "digest", "secret_name", "format"}) if found.test else {}
        changes["test"] = Dataset.model_validate(reading | {"uri": located_uri(question.test)})
    if question.metrics:
        types = [kind for kind in MetricType if kind is not MetricType.ENTRYPOINT]
        known = ", ".join(types)
        wanted = [measured(text) for text in question.metrics]
        unknown = [one["type"] for one in wanted if one["type"] not in types]
        if unknown:
            raise AskedError(f"--metric {unknown[0]} is not known; known are {known}.")
        called = [one["name"] for one in wanted]
        twice = [name for name in called if called.count(name) > 1]
        if twice:
            raise AskedError(f"--metric {twice[0]} is named twice.")
        try:
            changes["metrics"] = tuple(Metric.model_validate(one) for one in wanted)
        except ValidationError as error:
            raise AskedError(f"--metric is not valid: {mistakes(error)}.") from error
        kept = {gate.metric for gate in found.gates or ()} - {metric.name for metric in found.metrics or ()}
        names = kept | {*called}
        changes["gates"] = tuple(gate for gate in found.gates or () if gate.metric in names)
    if question.batch_sizes or question.threads:
        latency = found.latency or Latency()
        sizes = question.batch_sizes or latency.batch_sizes
        changes["latency"] = Latency(batch_sizes=sizes, threads=question.threads or latency.threads)
    changed = found.model_copy(update=changes)
    theirs = of_the_source(changed.metrics)
    if theirs and question.source is None:
        raise AskedError(
            f"metric {theirs[0].name} is a function of the model's source ({theirs[0].entrypoint}), which no artifact "
            "holds: name its folder with --source, and it is run, or other metrics with --metric."
        )
    return changed


@contextmanager
def temporary() -> Iterator[Workspace]:
    """Yield a pod's folders that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="modelpress-") as folder:
        yield prepared(Workspace(Path(folder), Path(folder) / "out"))


def _bring_in(
    artifact: Artifact, evaluation: Evaluation, question: Question, inputs: list[str], place: Workspace, tell: Tell
) -> None:
    """Fetch the artifact's models and the data for a model with these inputs. Raises StepError."""
    wanted = {"test": evaluation.test} if evaluation.test else {}
    if question.train:
        wanted["train"] = Dataset(uri=located_uri(question.train))
    code = located_uri(question.source) if question.source and of_the_source(evaluation.metrics) else None
    source = Location(uri=code or artifact.uri)
    task = ResolveTask(source=source, datasets={role: Location(uri=one.uri) for role, one in wanted.items()})
    found = steps.answer(ResolveResult, steps.run_step("resolve", task, place, tell))
    fetch = FetchTask(
        source=PinnedLocation(uri=code, digest=found.source) if code else None,
        artifact=PinnedLocation(uri=artifact.uri, digest=artifact.digest),
        datasets={role: PinnedLocation(uri=one.uri, digest=found.datasets[role]) for role, one in wanted.items()},
        readings={role: mapped(one, inputs) for role, one in wanted.items()},
    )
    steps.run_step("fetch", fetch, place, tell)
