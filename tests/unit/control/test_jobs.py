"""How the end of a Job is read from the Job, its pod and what its containers said."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import NOON, a_failure, a_model, at, stamp

from modelpress.control import jobs
from modelpress.control.plan import Observed


def a_job(condition: str | None = None, **details: Any) -> dict[str, Any]:
    metadata = {"name": "job", "namespace": "team-a", "uid": "uid-job", "creationTimestamp": stamp(NOON)}
    ended = {"type": condition, "status": "True", "lastTransitionTime": stamp(NOON)} | details
    status = {"conditions": [{"type": "FailureTarget", "status": "True"}, ended]} if condition else {}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": status}


def a_pod(*, init: list[Any] = (), main: list[Any] = (), uid: str = "uid-job", **status: Any) -> dict[str, Any]:  # type: ignore[assignment]
    labels = {"batch.kubernetes.io/job-name": "job", "batch.kubernetes.io/controller-uid": uid}
    metadata = {"name": f"pod-{uid}", "namespace": "team-a", "uid": "uid-pod", "labels": labels}
    containers = {"initContainerStatuses": list(init), "containerStatuses": list(main)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": containers | status}


def ended(name: str, code: int = 0, message: str = "", reason: str = "") -> dict[str, Any]:
    return {"name": name, "state": {"terminated": {"exitCode": code, "message": message, "reason": reason}}}


def read(job: dict[str, Any], *pods: dict[str, Any], seconds: float = 1) -> jobs.Outcome:
    return jobs.outcome(Observed(a_model(), (job, *pods)), job, at(seconds))


def test_the_last_container_of_a_complete_job_carries_the_result() -> None:
    found = read(a_job("Complete"), a_pod(init=[ended("fetch", message="x")], main=[ended("publish", message="{}")]))
    assert found == jobs.Succeeded("{}", stamp(NOON))


def test_the_first_container_that_failed_decides() -> None:
    waiting = {"name": "publish", "state": {"waiting": {"reason": "PodInitializing"}}}
    pod = a_pod(init=[ended("fetch"), ended("compress", 10, a_failure("StageFailed"))], main=[waiting])
    found = read(a_job("Failed"), pod)
    assert isinstance(found, jobs.Judged)
    assert found.failure.reason == "StageFailed"


def test_an_exit_code_of_ours_without_our_words_is_a_crash() -> None:
    found = read(a_job("Failed"), a_pod(init=[ended("compress", 10, "I did it myself")], main=[]))
    assert isinstance(found, jobs.Crashed)
    assert "I did it myself" in found.failure.message


def test_a_killed_container_ran_out_of_memory() -> None:
    found = read(a_job("Failed"), a_pod(init=[ended("compress", 137, reason="OOMKilled")]))
    assert isinstance(found, jobs.Crashed)
    assert found.failure.reason == "OutOfMemory"


@pytest.mark.parametrize("pods", [(), (a_pod(main=[{"name": "publish", "state": {"running": {}}}]),)])
def test_a_pod_that_lags_behind_its_job_is_waited_for(pods: tuple[dict[str, Any], ...]) -> None:
    assert read(a_job("Complete"), *pods, seconds=29) == jobs.Unclear(at(30))
    assert isinstance(read(a_job("Complete"), *pods, seconds=31), jobs.Setback)


def test_a_pod_of_an_earlier_job_of_the_same_name_is_not_listened_to() -> None:
    earlier = a_pod(main=[ended("publish", 10, a_failure("StageFailed"))], uid="uid-earlier")
    assert read(a_job("Failed"), earlier) == jobs.Unclear(at(30))


def test_what_a_container_judged_counts_more_than_the_deadline() -> None:
    pod = a_pod(init=[ended("compress", 10, a_failure("TrainingDiverged"))])
    found = read(a_job("Failed", reason="DeadlineExceeded"), pod)
    assert isinstance(found, jobs.Judged)
    assert found.failure.reason == "TrainingDiverged"


def test_a_job_without_a_pod_is_explained_after_a_while() -> None:
    assert read(a_job()) == jobs.Running(None, started=False)
    found = read(a_job(), seconds=60)
    assert isinstance(found, jobs.Running)
    assert found.trouble is not None
    assert "kubectl describe job job" in found.trouble.message
