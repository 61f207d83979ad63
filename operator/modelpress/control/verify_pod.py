"""A pod of its own in which a revision is asked for the test data, and what that needs beside it.

It is there as long as it is asked, and goes also while the next attempt is waited for: it holds no room that others may
need.
"""

from __future__ import annotations

from datetime import timedelta

from modelpress.api import names
from modelpress.api.durations import seconds
from modelpress.api.reasons import Reason
from modelpress.api.resources import ModelRevision
from modelpress.api.results import ExitCode, Failure
from modelpress.api.verification import VerificationRecord
from modelpress.control import asks, candidates, clock, jobs, marks, pods
from modelpress.control.asks import Place
from modelpress.control.draft import Draft
from modelpress.control.ownership import owner_uids
from modelpress.control.plan import Manifest
from modelpress.control.proof import Question
from modelpress.control.readiness import Health, health, pods_of
from modelpress.control.standing import Course, Standing
from modelpress.control.upkeep import token_of
from modelpress.render import serving as render

KINDS = ("Deployment", "Service", "NetworkPolicy", "ConfigMap")
"""Kinds of which a revision that is verified has one each. They are taken away in this order."""


def ask(draft: Draft, revision: ModelRevision, asked: Question, record: VerificationRecord) -> Standing | Failure:
    """Have a pod of the revision asked by a Job; return how far that is, or what speaks against the revision."""
    name = revision.metadata.name
    place = Place(names.verification_name(name))
    asks.stop_all(draft, but=name)
    take_away(draft, but=name)
    found, job = health(draft.observed, name, names.ROLE_VERIFY), asks.under_way(draft, revision, record, asked, place)
    failure = found.verdict or (_died(draft, found, job) if job is not None else _late(draft, found, asked))
    if failure is not None:
        return failure
    if job is None and (standing := asks.held(draft, name)) is not None:
        return standing
    *others, deployment = render.verification_set(draft.model, revision)
    for manifest in others:
        draft.apply(manifest)
    token = token_of(draft, found.deployment)
    draft.apply(marks.marked(deployment, {marks.RETRY_TOKEN: token}), at_creation={"spec": {"replicas": 1}})
    if job is not None:
        return asks.watch(draft, job)
    return asks.ask(draft, revision, record, asked, place) if found.settled else _starting(name, found)


def take_away(draft: Draft, but: str | None = None) -> None:
    """Take away the pods that verify any revision but `but`, and what they need."""
    for kind in KINDS:
        for item in draft.observed.of_kind(kind):
            ours = draft.model.metadata.uid in owner_uids(item) and marks.label(item, names.REVISION_LABEL) != but
            if ours and marks.label(item, names.ROLE_LABEL) == names.ROLE_VERIFY:
                draft.delete(item)


def _starting(name: str, found: Health) -> Standing:
    if found.trouble is not None:
        told = f"The pod that verifies {name} does not start: {found.trouble.message}"
        return Standing(Course.WAITING, found.trouble.reason, told)
    told = f"Starting a pod of {name} that gets no requests, to ask it for the test data."
    return Standing(Course.MOVING, Reason.VERIFYING, told)


def _died(draft: Draft, found: Health, job: Manifest) -> Failure | None:
    """Return that a container of the pod ended while it was asked, if one did."""
    if found.deployment is None:
        return None
    since = str(job["metadata"].get("creationTimestamp") or "")
    for pod in pods_of(draft.observed, found.deployment):
        for ending in pods.last_endings(pod):
            recent = ending.finished_at and since and clock.parse(ending.finished_at) >= clock.parse(since)
            if recent and ending.exit_code not in (ExitCode.DONE, ExitCode.ENVIRONMENT):
                told = f"{jobs.crash(ending).message} That was while it was asked for the test data"
                return Failure(reason=Reason.CANDIDATE_UNHEALTHY, message=told)
    return None


def _late(draft: Draft, found: Health, asked: Question) -> Failure | None:
    """Return that the pod did not come up in time, where another version serves; else have it looked at then."""
    if asked.stable is None or found.deployment is None or found.settled:
        return None
    limit = draft.rollout.progress_deadline
    due = clock.parse(found.deployment["metadata"]["creationTimestamp"]) + timedelta(seconds=seconds(limit))
    if draft.now < due:
        draft.look_again(due)
        return None
    return candidates.too_late("The pod that verifies it did not answer", limit, found.trouble)
