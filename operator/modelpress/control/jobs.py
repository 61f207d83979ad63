"""How a Job ended, and how a running one is doing. Pure.

A Job of ours is one pod, tried once. Its containers say in their termination messages what came of it: the first that
failed decides, and the last one carries the result. Job and pod reach us by separate watches, so for a while one may
be over without the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode, Failure
from modelpress.control import clock, pods
from modelpress.control.plan import Manifest, Observed
from modelpress.control.standing import Trouble

JOB_LABEL = "batch.kubernetes.io/job-name"
CONTROLLER_LABEL = "batch.kubernetes.io/controller-uid"

POD_PATIENCE = timedelta(seconds=30)
"""How long after its Job's end a pod's own words are waited for."""


@dataclass(frozen=True, slots=True)
class Running:
    """Not over. `trouble`: what keeps it, if anything. `started`: whether any container ever ran."""

    trouble: Trouble | None
    started: bool


@dataclass(frozen=True, slots=True)
class Unclear:
    """Over, but what its pod said has not been seen yet; look again at `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Over, with the result's text."""

    message: str
    finished_at: str


@dataclass(frozen=True, slots=True)
class Judged:
    """Over: the input is at fault."""

    failure: Failure
    finished_at: str


@dataclass(frozen=True, slots=True)
class Setback:
    """Over: the surroundings are at fault."""

    failure: Failure
    finished_at: str


@dataclass(frozen=True, slots=True)
class Crashed:
    """Over: nobody can tell whose fault it was."""

    failure: Failure
    finished_at: str


Outcome = Running | Unclear | Succeeded | Judged | Setback | Crashed
Ended = Succeeded | Judged | Setback | Crashed


def outcome(observed: Observed, job: Manifest, now: datetime) -> Outcome:
    """Return what came of `job` so far."""
    pod = pod_of(observed, job)
    failed, complete = _condition(job, "Failed"), _condition(job, "Complete")
    over = failed or complete
    if not over:
        return Running(_trouble(job, pod, now), pod is not None and pods.has_run(pod))
    finished = str(over.get("lastTransitionTime") or (job.get("status") or {}).get("completionTime") or "")
    told = _told_by(pod, finished) if pod is not None else None
    if told is not None and not (complete and not isinstance(told, Succeeded)):
        return told
    if failed and failed.get("reason") == "DeadlineExceeded":
        return Judged(Failure(reason=Reason.COMPRESSION_TIMEOUT, message="The pod ran longer than it may."), finished)
    patience = clock.parse(finished) + POD_PATIENCE
    if now < patience:
        return Unclear(patience)
    lost = f"The pod of {job['metadata']['name']} is gone, and with it what it said."
    return Setback(Failure(reason=Reason.NODE_LOST, message=lost), finished)


def pod_of(observed: Observed, job: Manifest) -> Manifest | None:
    """Return the pod of `job`, the newest if there were several."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    found = [pod for pod in observed.of_kind("Pod") if _is_of(pod, name, uid)]
    return max(
        found, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]), default=None
    )


def _is_of(pod: Manifest, name: str, uid: str) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return labels.get(JOB_LABEL) == name and labels.get(CONTROLLER_LABEL, uid) == uid


def _condition(job: Manifest, kind: str) -> dict[str, Any]:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item.get("type") == kind and item.get("status") == "True"), {})


def _trouble(job: Manifest, pod: Manifest | None, now: datetime) -> Trouble | None:
    if pod is not None:
        return pods.trouble(pod)
    created = clock.parse(job["metadata"]["creationTimestamp"]) if job["metadata"].get("creationTimestamp") else now
    if now - created < POD_PATIENCE:
        return None
    name = job["metadata"]["name"]
    return Trouble(
        Reason.WAITING,
        f"The cluster makes no pod for the Job {name}; `kubectl describe job {name}` tells why "
        f"(a quota, or a service account that is missing).",
    )


def _told_by(pod: Manifest, finished: str) -> Ended | None:
    """Return what the pod's containers and the cluster said of its end; None as long as that is not all there."""
    evicted = pods.eviction(pod)
    over = pods.endings(pod)
    bad = next((ending for ending in over if ending.exit_code != ExitCode.DONE), None)
    if bad is not None and bad.exit_code in (ExitCode.JUDGED, ExitCode.ENVIRONMENT) and bad.failure is not None:
        kind = Judged if bad.exit_code == ExitCode.JUDGED else Setback
        return kind(bad.failure, finished)
    if evicted is not None:
        failure = Failure(reason=Reason(evicted.reason), message=evicted.message)
        return Setback(failure, finished) if evicted.reason == Reason.NODE_LOST else Crashed(failure, finished)
    if bad is not None:
        return Crashed(crash(bad), finished)
    if over and len(over) == len(pods.container_statuses(pod)):
        return Succeeded(over[-1].message, finished)
    return None


def crash(ending: pods.Ending) -> Failure:
    """Return what to say of a container that ended in a way that is not ours."""
    if ending.reason == "OOMKilled":
        return Failure(
            reason=Reason.OUT_OF_MEMORY,
            message=f"Container {ending.container} was killed because it used more memory than its limit or its node "
            f"has; allow it more.",
        )
    told = f": {pods.sentence(ending.message)}" if ending.message and ending.failure is None else ""
    return Failure(
        reason=Reason.CRASHED, message=f"Container {ending.container} ended with exit code {ending.exit_code}{told}."
    )
