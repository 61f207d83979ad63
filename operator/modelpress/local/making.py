"""A compression from source to artifact, in the order of a cluster: resolve, fetch, compress, judge, publish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from modelpress import __version__
from modelpress.api import gates
from modelpress.api.asked import compress_task, judge_task
from modelpress.api.defaults import with_defaults
from modelpress.api.durations import seconds
from modelpress.api.evaluation import MeasuredOn
from modelpress.api.gates import Verdict
from modelpress.api.keys import artifact_key
from modelpress.api.names import keyed_name
from modelpress.api.reasons import OF_THE_RECIPE
from modelpress.api.resources import GateOutcome
from modelpress.api.results import Failure, Progress, PublishResult, ResolveResult
from modelpress.api.roles import LEARNING_ROLES, readings
from modelpress.api.tasks import (
    FetchTask,
    Location,
    PinnedLocation,
    PublishTask,
    ResolveTask,
)
from modelpress.api.teachers import comes_from, teacher_role
from modelpress.store.manifest import REPORT_FILE
from modelpress.store.report import Report

from . import judging, steps, wording
from .asking import Asked
from .steps import StepError, Tell
from .workspace import Workspace

RUNG = "rung"
"""What is told as a stage when the next rung of a ladder is tried."""


@dataclass(frozen=True)
class Made:
    """What came out."""

    report: Report
    """What the judge measured."""
    gates: list[GateOutcome]
    """The spec's gates, judged by it."""
    verdict: Verdict
    """What they amount to."""
    warnings: tuple[str, ...]
    """Sentences that a person should read."""
    out: Path | None
    """Where the artifact is, or the new report; None: it was not kept."""
    rung: int | None = None
    """Of a ladder, the rung that this came of, from 1."""
    refused: tuple[str, ...] = ()
    """Of a ladder, what is said of each rung that was tried before, and of this one if no rung passed."""


def make(asked: Asked, place: Workspace, tell: Tell) -> Made:
    """Do everything and let the artifact appear. Raises StepError; then nothing appears."""
    found = bring_in(asked, place, tell)
    made = (
        _make(asked, found, place, tell) if asked.spec.compression.ladder is None else _climb(asked, found, place, tell)
    )
    place.appear()
    return made


def _climb(asked: Asked, found: ResolveResult, place: Workspace, tell: Tell) -> Made:
    """Try the rungs in order, as a cluster does; if none passes, the last that was measured is there to be looked at.

    Raises StepError for what every rung would meet, and if none could be measured.
    """
    rungs, refused = asked.rungs(), list[str]()
    measured: Made | None = None
    for number, rung in enumerate(rungs, start=1):
        place.clear_results()
        tell(Progress(stage=RUNG, position=number, of=len(rungs)))
        try:
            made = replace(_make(rung, found, place, tell), rung=number)
        except StepError as error:
            if error.failure.reason not in OF_THE_RECIPE:
                raise
            refused.append(f"Rung {number} was refused: {wording.sentence(error.failure)}")
            if number == len(rungs) and measured is None:
                told = f"No rung of the ladder could be made. {' '.join(refused)}"
                raise StepError(Failure(reason=error.failure.reason, message=told), error.code) from error
            continue
        if made.verdict.accepted:
            return replace(made, refused=tuple(refused))
        refused.append(f"Rung {number} was refused: {made.verdict.message}")
        measured = made
        place.refuse()
    assert measured is not None, "a ladder of which no rung was measured has raised"
    place.take_back()
    return replace(measured, refused=tuple(refused))


def _make(asked: Asked, found: ResolveResult, place: Workspace, tell: Tell) -> Made:
    """Make and measure the artifact of one recipe, of what was brought in. Raises StepError."""
    compression = asked.spec.compression
    settings = with_defaults(compression)
    timeout, trusted = seconds(settings.job.timeout), bool(asked.spec.source.trust_code)
    steps.compress(compress_task(asked.spec, timeout), place, tell)
    task = judge_task(asked.name, asked.spec)
    judging.judge(task, place, tell, trusted=trusted, timeout=timeout)
    published = steps.answer(PublishResult, steps.run_step("publish", _publish_task(asked, found, place), place, tell))
    report = Report.model_validate_json((place.artifact / REPORT_FILE).read_bytes())
    demanded = gates.measured_on(MeasuredOn.COMPRESSION, task.evaluation.gates)
    outcomes = gates.judge(report.figures, demanded)
    return Made(report, outcomes, gates.overall(outcomes, demanded), published.warnings, place.out)


def bring_in(asked: Asked, place: Workspace, tell: Tell) -> ResolveResult:
    """Look up what the URIs hold and bring it into the workspace; return the digests. Raises StepError."""
    source, datasets, teachers = asked.spec.source, asked.datasets(), asked.spec.compression.taught_by()
    task = ResolveTask(
        source=Location(uri=source.uri),
        datasets={role: Location(uri=dataset.uri) for role, dataset in datasets.items()},
        teachers={name: Location(uri=teacher.uri) for name, teacher in teachers.items()},
    )
    found = steps.answer(ResolveResult, steps.run_step("resolve", task, place, tell))
    pinned = {
        role: PinnedLocation(uri=dataset.uri, digest=dataset.digest or found.datasets[role])
        for role, dataset in datasets.items()
    }
    fetch = FetchTask(
        source=PinnedLocation(uri=source.uri, digest=source.digest or found.source),
        datasets=pinned,
        teachers={
            name: PinnedLocation(uri=teacher.uri, digest=teacher.digest or found.datasets[teacher_role(name)])
            for name, teacher in teachers.items()
        },
        readings=readings(asked.spec, datasets),
        searches=True if asked.spec.compression.auto is not None else None,
    )
    steps.run_step("fetch", fetch, place, tell)
    return found


def _publish_task(asked: Asked, found: ResolveResult, place: Workspace) -> PublishTask:
    key = artifact_key(asked.spec, found.source, found.datasets)
    learned = {*LEARNING_ROLES, *map(teacher_role, asked.spec.compression.taught_by())}
    lineage = {
        "artifactKey": key,
        "source": found.source,
        **comes_from({role: digest for role, digest in found.datasets.items() if role in learned}),
        "modelpress": __version__,
    }
    place.artifact.mkdir()
    destination = Location(uri=f"file://{place.artifact}")
    return PublishTask(destination=destination, artifact=keyed_name(asked.name, key), lineage=lineage)
