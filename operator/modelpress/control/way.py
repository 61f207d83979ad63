"""The way of one spec from its source to the revision that is to serve it, as far as it can be gone now.

It leads over the rungs of a ladder, each an artifact of its own, up to the first whose result may be served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelpress.api.resources import ModelArtifactStatus, ModelRevision, Rejection, SourceStatus
from modelpress.control import gating, ladder
from modelpress.control.artifacts import wanted_artifact
from modelpress.control.attempts import make, stop_others
from modelpress.control.draft import Draft
from modelpress.control.ladder import Refusal, Rung
from modelpress.control.resolving import resolve
from modelpress.control.revisions import wanted_revision
from modelpress.control.rung_answers import Answers, refusing
from modelpress.control.standing import Course, Finding, Standing
from modelpress.control.traffic import serving_now


@dataclass(frozen=True, slots=True)
class Way:
    """How far the spec has come. `standing` None: all the way to `revision`, which is to serve.

    `source`, `artifact` and `made` are what the way led over: the digests, the ModelArtifact's name and what is known
    of it. `doubt`: why the source cannot be looked at again just now, though what it held is known. `artifacts`: the
    names of all that the spec may ask for, one for each rung. `rung`: of a ladder, the one that `made` is of, from 1.
    `revisions`: of rungs that were refused by their servers' answers, which they remember.
    """

    standing: Standing | None
    accepted: Finding
    source: SourceStatus | None = None
    artifact: str | None = None
    made: ModelArtifactStatus | None = None
    revision: ModelRevision | None = None
    rejected: Rejection | None = None
    doubt: Standing | None = None
    artifacts: tuple[str, ...] = ()
    rung: int | None = None
    revisions: tuple[str, ...] = ()


def follow(draft: Draft) -> Way:
    """Go as far as possible, having done what is needed to go further."""
    resolution = resolve(draft)
    source = resolution.source
    if source is None:
        assert resolution.standing is not None, "a source is known, or it is known why not"
        return Way(resolution.standing, not_judged(resolution.standing), rejected=resolution.rejected)
    rungs = ladder.rungs(draft, source)
    way = _try(rungs[0], source) if draft.model.spec.compression.ladder is None else _climb(draft, rungs, source)
    assert way.artifact is not None, "the way leads over an artifact, be it one to come"
    stop_others(draft, way.artifact)
    return replace(way, doubt=resolution.standing, artifacts=tuple(rung.name for rung in rungs))


def _climb(draft: Draft, rungs: list[Rung], source: SourceStatus) -> Way:
    """Go over the rungs in order, as far as the first that is not refused."""
    refused: list[Refusal] = []
    answers: list[Answers] = []
    measured: Way | None = None
    for rung in rungs:
        known = next((item for item in refused if item.artifact == rung.name), None)
        if known is not None:
            refused.append(replace(known, number=rung.number))
            continue
        way = replace(_try(rung, source), rung=rung.number)
        if way.made is not None and way.made.figures is not None:
            measured = way
        found = ladder.refusal(rung, way.standing, way.accepted)
        told = refusing(draft, way.revision) if way.revision is not None else None
        if told is not None:
            answers.append(told)
            found = ladder.refused(rung, told.failure.reason, told.failure.message)
            way = replace(way, rejected=told.rejected)
        if found is None:
            way = _on(rung, refused, way)
            break
        refused.append(found)
    else:
        way = _exhausted(refused, way)
    ladder.announce(draft, rungs, refused)
    for told in answers:
        if told.revision is not way.revision:
            told.write_down(draft)
    return replace(_with_figures(way, measured), revisions=tuple(told.revision.metadata.name for told in answers))


def _exhausted(refused: list[Refusal], last: Way) -> Way:
    """Return the way of a ladder that has no rung left, `last` being that of the last one.

    It ends at a revision all the same if there is one: its pods' answers are to be seen.
    """
    standing = ladder.exhausted(refused)
    rejected = last.rejected and last.rejected.model_copy(
        update={"reason": standing.reason, "message": standing.message}
    )
    accepted = not_judged(standing) if last.revision is None else last.accepted
    return replace(last, standing=standing, accepted=accepted, rejected=rejected)


def _on(rung: Rung, refused: list[Refusal], way: Way) -> Way:
    """Return `way`, which leads over `rung`, with words on those that were refused."""
    if way.standing is None:
        return replace(way, accepted=ladder.passed(rung, refused, way.accepted))
    standing = ladder.under_way(rung, refused, way.standing)
    judged = way.accepted.status == "True"
    accepted = ladder.passed(rung, refused, way.accepted) if judged else not_judged(standing)
    return replace(way, standing=standing, accepted=accepted)


def _with_figures(way: Way, measured: Way | None) -> Way:
    """Return `way` with the figures of the last rung that has any: those of a rung just begun are yet to come."""
    return way if measured is None else replace(way, made=measured.made, rung=measured.rung)


def _try(rung: Rung, source: SourceStatus) -> Way:
    """Go as far as possible with one recipe."""
    draft, name = rung.draft, rung.name
    artifact = wanted_artifact(draft, source, rung.key, name)
    if isinstance(artifact, Standing):
        return Way(artifact, not_judged(artifact), source, name)
    made = make(draft, source, artifact)
    if made.standing is not None:
        accepted = not_judged(made.standing)
        return Way(made.standing, accepted, source, name, made.status, rejected=made.status.rejected)
    assert made.status.figures is not None, "an artifact that lacks nothing has figures"
    _, verdict = gating.judge(draft.model.spec, made.status.figures)
    accepted = gating.finding(verdict)
    if not verdict.accepted:
        refused = gating.refusal(verdict)
        rejected = gating.rejection(draft.model.spec, source, name, refused)
        return Way(refused, accepted, source, name, made.status, rejected=rejected)
    revision = wanted_revision(draft, made.artifact, serving_now(draft.observed))
    if isinstance(revision, Standing):
        return Way(revision, accepted, source, name, made.status)
    return Way(None, accepted, source, name, made.status, revision)


def not_judged(standing: Standing) -> Finding:
    """Return what condition Accepted says while there are no figures, or where there will be none."""
    refused = standing.course is Course.STUCK
    return Finding("False" if refused else "Unknown", standing.reason, standing.message)
