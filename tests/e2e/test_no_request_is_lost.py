"""Fifty HTTP and fifty gRPC connections, retries off: no request fails and none is answered wrongly.

Not while the version changes, and not while a pod is deleted. A control without the drain fails, so the test can.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import kubectl
import numpy as np
import pytest
import tenacity
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support import node
from tests.support.load import Load, Question
from tests.support.workplace import Array, Workplace, sparing

from modelpress.api.names import MODEL_LABEL, REVISION_LABEL

NAME = "steady"
QUEUED = "200ms"
"""So long does every request wait in its server for others to join it: whenever a pod ends, some are on their way."""
ROW = {"row": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)}
KILLS = 5
"""Pods that are killed at most, one after the other, until requests are lost."""
CHANGES = 2
"""Changes of version under load; `make test-long` runs five."""


ROLLOUTS: dict[int, dict[str, Any]] = {
    32: {"strategy": "Canary", "steps": [{"weight": 50, "pause": "5s"}]},
    64: {"strategy": "BlueGreen"},
}
"""How each batch size takes over."""


def wanted(workplace: Workplace, batch: int) -> dict[str, Any]:
    """Two replicas of a small model; another `batch` is another revision that gives the same answers."""
    found = manifest(BadInput(NAME, "", ""), workplace.namespace)
    found["spec"]["rollout"] = ROLLOUTS[batch]
    found["spec"]["serving"] = {"replicas": 2, "batching": {"maxBatchSize": batch, "maxQueueDelay": QUEUED}}
    return sparing(found)


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The model with two replicas, Ready."""
    folder = tmp_path_factory.mktemp(NAME)
    write_good(folder)
    workplace.put(folder, NAME)
    workplace.apply(wanted(workplace, 64))
    workplace.await_ready(NAME, seconds=600)
    return workplace


def load_on(workplace: Workplace, answer: Mapping[str, Array]) -> Load:
    """Fifty connections of each protocol, together 100 requests a second."""
    return Load(
        Question(NAME, ROW, {"any": answer}),
        http=workplace.service_address(NAME, 8000),
        grpc=workplace.service_address(NAME, 8001),
        interval=1.0,
    )


async def change_versions(workplace: Workplace, count: int) -> Load:
    """Change the version `count` times under load, with ten seconds before and after each; return the load."""
    answer = await asyncio.to_thread(workplace.ask, NAME, ROW, ["scores"])
    load = load_on(workplace, answer)
    revisions = [workplace.model(NAME)["status"]["currentRevision"]]
    async with load:
        for number in range(count):
            await load.until_sent(500)
            await asyncio.to_thread(workplace.apply, wanted(workplace, 32 if number % 2 == 0 else 64))
            status = await asyncio.to_thread(workplace.await_ready, NAME)
            revisions.append(status["currentRevision"])
            await asyncio.to_thread(_await_only, workplace, revisions[-1])
            await load.until_sent(500)
    assert all(before != after for before, after in itertools.pairwise(revisions))
    return load


def _await_only(workplace: Workplace, revision: str) -> None:
    """Wait until no pod of another revision is left."""
    kubectl.run(
        "kubectl",
        "wait",
        "--namespace",
        workplace.namespace,
        "--for=delete",
        "pods",
        f"--selector=modelpress.io/model={NAME},modelpress.io/role=serve,modelpress.io/revision!={revision}",
        "--timeout=180s",
    )


async def test_no_request_is_lost_while_versions_change(served: Workplace) -> None:
    load = await change_versions(served, CHANGES)
    assert load.http.clean, f"HTTP: {load.http}"
    assert load.grpc.clean, f"gRPC: {load.grpc}"


@pytest.mark.long
async def test_no_request_is_lost_through_five_changes_of_version(served: Workplace) -> None:
    load = await change_versions(served, 5)
    assert load.http.clean, f"HTTP: {load.http}"
    assert load.grpc.clean, f"gRPC: {load.grpc}"


async def test_no_request_is_lost_while_a_pod_is_deleted(served: Workplace) -> None:
    answer = await asyncio.to_thread(served.ask, NAME, ROW, ["scores"])
    load = load_on(served, answer)
    async with load:
        await load.until_sent(500)
        await asyncio.to_thread(_delete_a_pod, served)
        await load.until_sent(500)
    assert load.http.clean, f"HTTP: {load.http}"
    assert load.grpc.clean, f"gRPC: {load.grpc}"


async def test_without_the_drain_requests_are_lost(served: Workplace) -> None:
    """The control: the same load, and pods that end without a drain. Must fail, or the load proves nothing.

    On a crowded machine a pod may have nothing to answer just then, so several are killed.
    """
    answer = await asyncio.to_thread(served.ask, NAME, ROW, ["scores"])
    load = load_on(served, answer)
    async with load:
        await load.until_sent(500)
        for _ in range(KILLS):
            await asyncio.to_thread(_kill_a_pod, served)
            await load.until_sent(500)
            if load.http.failures and load.grpc.failures:
                break
    assert load.http.failures, f"HTTP: {load.http}"
    assert load.grpc.failures, f"gRPC: {load.grpc}"


def _kill_a_pod(workplace: Workplace) -> None:
    """End all processes of a pod at once, from the node, as a lost machine does."""
    node.kill(_a_pod(workplace))


def _delete_a_pod(workplace: Workplace) -> None:
    """Delete a pod; return when it is gone and another one answers in its place."""
    pod = _a_pod(workplace)
    name, deployment = pod["metadata"]["name"], pod["metadata"]["labels"][REVISION_LABEL]
    where = f"--namespace={workplace.namespace}"
    kubectl.run("kubectl", "delete", "pod", name, where, "--wait=true")
    kubectl.run("kubectl", "rollout", "status", where, "--timeout=180s", f"deployment/{deployment}")


@tenacity.retry(stop=tenacity.stop_after_delay(120), wait=tenacity.wait_fixed(0.2), reraise=True)
def _a_pod(workplace: Workplace) -> dict[str, Any]:
    """Return a pod that answers, once there is one."""
    selector = f"{MODEL_LABEL}={NAME},modelpress.io/role=serve"
    pods = kubectl.get(workplace.namespace, "pods", "--selector", selector)["items"]
    answering = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and _answers(pod)]
    assert answering, "no pod answers"
    return answering[0]


def _answers(pod: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", []))
