"""Fifty HTTP and fifty gRPC connections, retries off: no request fails and none is answered wrongly.

Not while the version changes, and not while a pod is deleted. A control without the drain fails, so the test can.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import Mapping
from typing import Any

import kubectl
import numpy as np
import pytest
from tests.e2e.bad_inputs import BadInput, manifest, write_good
from tests.support.load import Load, Question
from tests.support.workplace import Array, Workplace, sparing

from modelpress.api.names import MODEL_LABEL, REVISION_LABEL

NAME, UNDRAINED = "steady", "undrained"
QUEUED = "200ms"
"""So long does every request wait in its server for others to join it: whenever a pod ends, some are on their way."""
ROW = {"row": np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)}
CHANGES = 2
"""Changes of version under load; `make test-long` runs five."""


def wanted(workplace: Workplace, batch: int) -> dict[str, Any]:
    """Two replicas of a small model; another `batch` is another revision that gives the same answers."""
    found = manifest(BadInput(NAME, "", ""), workplace.namespace)
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


def load_on(workplace: Workplace, answer: Mapping[str, Array], service: str = NAME) -> Load:
    """Fifty connections of each protocol to `service`, together 100 requests a second."""
    return Load(
        Question(NAME, ROW, {"any": answer}),
        http=workplace.service_address(service, 8000),
        grpc=workplace.service_address(service, 8001),
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
        await asyncio.to_thread(_delete_a_pod, served, NAME)
        await load.until_sent(500)
    assert load.http.clean, f"HTTP: {load.http}"
    assert load.grpc.clean, f"gRPC: {load.grpc}"


async def test_without_the_drain_requests_are_lost(served: Workplace) -> None:
    """The control: the same pods, the same load and the same deletion, but no drain. Must fail, or the load proves
    nothing."""
    await asyncio.to_thread(_serve_undrained, served)
    answer = await asyncio.to_thread(served.ask, NAME, ROW, ["scores"])
    load = load_on(served, answer, service=UNDRAINED)
    async with load:
        await load.until_sent(500)
        await asyncio.to_thread(_delete_a_pod, served, UNDRAINED)
        await load.until_sent(500)
    assert load.http.failures, f"HTTP: {load.http}"
    assert load.grpc.failures, f"gRPC: {load.grpc}"


def _serve_undrained(workplace: Workplace) -> None:
    """Run the pods of the revision that serves once more beside the operator's, without preStop hook and grace."""
    revision = kubectl.get(workplace.namespace, "modelrevision", workplace.model(NAME)["status"]["currentRevision"])
    template = copy.deepcopy(revision["spec"]["podTemplate"])
    label = {MODEL_LABEL: UNDRAINED}
    template["metadata"]["labels"] = label
    template["spec"]["terminationGracePeriodSeconds"] = 1
    for container in template["spec"]["containers"]:
        container.pop("lifecycle", None)
    ports = [{"name": name, "port": port, "targetPort": name} for name, port in (("http", 8000), ("grpc", 8001))]
    workplace.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": UNDRAINED},
            "spec": {"replicas": 2, "selector": {"matchLabels": label}, "template": template},
        }
    )
    workplace.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": UNDRAINED},
            "spec": {"selector": label, "ports": ports},
        }
    )
    _await_rolled_out(workplace, UNDRAINED)


def _delete_a_pod(workplace: Workplace, model: str) -> None:
    """Delete a pod that serves `model`; return when it is gone and another one answers in its place."""
    pods = kubectl.get(workplace.namespace, "pods", "--selector", f"{MODEL_LABEL}={model}")["items"]
    pod = next(pod for pod in pods if not pod["metadata"].get("deletionTimestamp") and _serves(pod))
    kubectl.run("kubectl", "delete", "pod", pod["metadata"]["name"], "--namespace", workplace.namespace, "--wait=true")
    _await_rolled_out(workplace, pod["metadata"]["labels"].get(REVISION_LABEL, model))


def _serves(pod: dict[str, Any]) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in pod["status"].get("conditions", []))


def _await_rolled_out(workplace: Workplace, deployment: str) -> None:
    kubectl.run(
        "kubectl", "rollout", "status", "--namespace", workplace.namespace, "--timeout=180s", f"deployment/{deployment}"
    )
