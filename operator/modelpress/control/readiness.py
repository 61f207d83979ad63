"""How a revision's pods are doing: counted by its Deployment, explained by themselves. Pure.

A pod is ready only when its agent has got the judge's reference answers from Triton; so ready means verified.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelpress.api import names
from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode, Failure
from modelpress.control import jobs, marks, pods
from modelpress.control.plan import Manifest, Observed
from modelpress.control.sets import set_of
from modelpress.control.standing import Trouble

PATIENCE_WITH_CRASHES = 5
"""Restarts of a container after which it counts as crashing for good."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a revision's pods.

    `settled`: the Deployment's controller has seen its spec, and all pods that it wants are there, new and ready.
    `verdict`: a judgement of a pod that has not answered yet. `trouble`: what keeps pods that are not ready.
    """

    deployment: Manifest | None = None
    wanted: int = 0
    replicas: int = 0
    ready: int = 0
    settled: bool = False
    verdict: Failure | None = None
    trouble: Trouble | None = None


def health(observed: Observed, revision: str, role: str = names.ROLE_SERVE) -> Health:
    """Return how the pods of `revision` are doing: those that serve, or the one that is verified."""
    name = names.verification_name(revision) if role == names.ROLE_VERIFY else set_of(observed, revision)
    deployment = observed.find("Deployment", name)
    if deployment is None or "deletionTimestamp" in deployment["metadata"]:
        return Health(deployment)
    status = deployment.get("status") or {}
    wanted = int(deployment["spec"].get("replicas", 1))
    replicas, ready = int(status.get("replicas") or 0), int(status.get("readyReplicas") or 0)
    seen = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    updated, available = int(status.get("updatedReplicas") or 0), int(status.get("availableReplicas") or 0)
    unready = [pod for pod in pods_of(observed, deployment) if not pods.is_ready(pod)]
    return Health(
        deployment=deployment,
        wanted=wanted,
        replicas=replicas,
        ready=ready,
        settled=seen and replicas == updated == ready == available == wanted,
        verdict=next((verdict for pod in unready if (verdict := _verdict(pod)) is not None), None),
        trouble=_deployment_trouble(deployment) or next((found for pod in unready if (found := _trouble(pod))), None),
    )


def pods_of(observed: Observed, deployment: Manifest) -> list[Manifest]:
    """Return the pods that this very Deployment made, as far as one can tell, in the order of their names.

    Not those of an earlier one of its name.
    """
    since = str(deployment["metadata"].get("creationTimestamp", ""))
    return [
        pod
        for pod in observed.of_kind("Pod")
        if all(
            marks.label(pod, kind) == marks.label(deployment, kind) for kind in (names.REVISION_LABEL, names.ROLE_LABEL)
        )
        and "deletionTimestamp" not in pod["metadata"]
        and str(pod["metadata"].get("creationTimestamp", "")) >= since
    ]


def _verdict(pod: Manifest) -> Failure | None:
    """Return a judgement: the agent's own, or that a container has crashed too often."""
    for ending in pods.last_endings(pod):
        if ending.exit_code == ExitCode.JUDGED and ending.failure is not None:
            return ending.failure
    restarts = {status["name"]: int(status.get("restartCount") or 0) for status in pods.container_statuses(pod)}
    for ending in pods.last_endings(pod):
        if (
            ending.exit_code in (ExitCode.DONE, ExitCode.ENVIRONMENT)
            or restarts[ending.container] < PATIENCE_WITH_CRASHES
        ):
            continue
        told = jobs.crash(ending)
        return Failure(
            reason=told.reason, message=f"{told.message} It was started {restarts[ending.container] + 1} times."
        )
    return None


def _trouble(pod: Manifest) -> Trouble | None:
    """Return what keeps a pod that is not ready."""
    for ending in pods.last_endings(pod):
        if ending.exit_code in (ExitCode.ENVIRONMENT, ExitCode.JUDGED) and ending.failure is not None:
            return Trouble(ending.failure.reason, ending.failure.message)
        if ending.exit_code != ExitCode.DONE:
            told = jobs.crash(ending)
            return Trouble(told.reason, told.message)
    return pods.trouble(pod)


def _deployment_trouble(deployment: Manifest) -> Trouble | None:
    """Return why the cluster makes no pods, if it says so: a quota, or a service account that is missing."""
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            told = pods.sentence(str(condition.get("message") or ""))
            return Trouble(
                Reason.REPLICAS_NOT_READY, f"The cluster makes no pods for {deployment['metadata']['name']}: {told}"
            )
    return None
