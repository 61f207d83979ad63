"""The way of one spec from its source to the revision that is to serve it, as far as it can be gone now."""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api.resources import ModelArtifactStatus, ModelRevision, Rejection, SourceStatus
from modelpress.control import gating
from modelpress.control.artifacts import artifact_key, artifact_name, wanted_artifact
from modelpress.control.attempts import make, stop_others
from modelpress.control.draft import Draft
from modelpress.control.resolving import resolve
from modelpress.control.revisions import wanted_revision
from modelpress.control.standing import Course, Finding, Standing
from modelpress.control.traffic import serving_now


@dataclass(frozen=True, slots=True)
class Way:
    """How far the spec has come. `standing` None: all the way to `revision`.

    `source`, `artifact` and `made` are what the way led over: the digests, the ModelArtifact's name and what is known
    of it. `doubt`: why the source cannot be looked at again just now, though what it held is known.
    """

    standing: Standing | None
    accepted: Finding
    source: SourceStatus | None = None
    artifact: str | None = None
    made: ModelArtifactStatus | None = None
    revision: ModelRevision | None = None
    rejected: Rejection | None = None
    doubt: Standing | None = None


def follow(draft: Draft) -> Way:
    """Go as far as possible, having done what is needed to go further."""
    resolution = resolve(draft)
    source = resolution.source
    if source is None:
        assert resolution.standing is not None, "a source is known, or it is known why not"
        return Way(resolution.standing, not_judged(resolution.standing), rejected=resolution.rejected)
    doubt = resolution.standing
    key = artifact_key(draft, source)
    name = artifact_name(draft, key)
    stop_others(draft, name)
    artifact = wanted_artifact(draft, source, key, name)
    if isinstance(artifact, Standing):
        return Way(artifact, not_judged(artifact), source, name, doubt=doubt)
    made = make(draft, source, artifact)
    if made.standing is not None:
        accepted = not_judged(made.standing)
        return Way(made.standing, accepted, source, name, made.status, rejected=made.status.rejected, doubt=doubt)
    assert made.status.figures is not None, "an artifact that lacks nothing has figures"
    _, verdict = gating.judge(draft.model.spec, made.status.figures)
    accepted = gating.finding(verdict)
    if not verdict.accepted:
        refused = gating.refusal(verdict)
        rejected = gating.rejection(draft.model.spec, source, name, refused)
        return Way(refused, accepted, source, name, made.status, rejected=rejected, doubt=doubt)
    revision = wanted_revision(draft, made.artifact, serving_now(draft.observed))
    if isinstance(revision, Standing):
        return Way(revision, accepted, source, name, made.status, doubt=doubt)
    return Way(None, accepted, source, name, made.status, revision, doubt=doubt)


def not_judged(standing: Standing) -> Finding:
    """Return what condition Accepted says while there are no figures, or where there will be none."""
    refused = standing.course is Course.STUCK
    return Finding("False" if refused else "Unknown", standing.reason, standing.message)
