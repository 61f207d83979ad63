"""A node is drained while a version takes over, and while one serves: no request is lost, and pods move.

All serving pods are on the second node when it is drained; until then the first takes Jobs alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import kubectl
import pytest
from tests.e2e import rollouts
from tests.e2e.rollouts import AT_ONCE, FIRST, NAME, wanted
from tests.rollout import table
from tests.rollout.stage import IN_PLACE, REPLICAS, Stage
from tests.rollout.table import CaseRow
from tests.support import reading
from tests.support.alongside import Alongside
from tests.support.workplace import Workplace, wait_for

from localcluster import nodes
from modelpress.api.names import MODEL_LABEL, REVISION_LABEL, ROLE_LABEL, ROLE_SERVE

pytestmark = [pytest.mark.nodes, pytest.mark.timeout(900)]
STAYS, DRAINED = nodes.FIRST.name, nodes.SECOND.name
JOBS_ONLY = "modelpress.io/jobs-only"
REFUSED = "violate the pod's disruption budget"
"""What kubectl says of an eviction that has to wait until another pod is back."""
SERVERS = f"{MODEL_LABEL}={NAME},{ROLE_LABEL}={ROLE_SERVE}"


class OnBothNodes(Workplace):
    """A namespace whose servers may be on either node, and whose Jobs on the first, also while it is closed."""

    def apply(self, manifest: Mapping[str, Any]) -> None:
        spec = manifest["spec"]
        job = {**spec["compression"]["job"], "tolerations": [_tolerated(JOBS_ONLY)]}
        serving = {**spec["serving"], "tolerations": [_tolerated(nodes.SERVING_ONLY["key"])]}
        compression = {**spec["compression"], "job": job}
        super().apply({**manifest, "spec": {**spec, "compression": compression, "serving": serving}})


def _tolerated(key: str) -> dict[str, str]:
    return {"key": key, "operator": "Exists"}


class Fewest(Alongside):
    """The least number of pods that answered at a time, from `async with` to its end; of one revision, or of all."""

    def __init__(self, workplace: Workplace, revision: str | None) -> None:
        super().__init__()
        self._workplace, self._revision = workplace, revision
        self.found = len(answering(workplace, revision))

    async def _work(self) -> None:
        while not self._stop.is_set():
            self.found = min(self.found, len(await asyncio.to_thread(answering, self._workplace, self._revision)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 0.2)


def answering(workplace: Workplace, revision: str | None = None) -> list[str]:
    """Return the nodes of the pods that are ready and there to stay, one for each pod."""
    selector = f"{SERVERS},{REVISION_LABEL}={revision}" if revision else SERVERS
    return [pod["spec"]["nodeName"] for pod in reading.pods(workplace.namespace, selector) if _answers(pod)]


def _answers(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def nodes_of(workplace: Workplace) -> set[str]:
    """Return the nodes that have serving pods, those on their way out included."""
    return {pod["spec"].get("nodeName", "none yet") for pod in reading.pods(workplace.namespace, SERVERS)}


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The first version, Ready; all others are in the store."""
    rollouts.upload(workplace, tmp_path_factory.mktemp(NAME))
    found = OnBothNodes(workplace.namespace, workplace.store)
    found.apply(wanted(found, FIRST, AT_ONCE))
    found.await_ready(NAME, seconds=600)
    return found


@pytest.fixture
def on_the_second(served: Workplace) -> Iterator[Workplace]:
    """The namespace while its servers can only be on the second node, until `open_the_first`."""
    kubectl.run("kubectl", "uncordon", DRAINED)
    kubectl.run("kubectl", "taint", "node", STAYS, f"{JOBS_ONLY}=:NoSchedule", "--overwrite")
    kubectl.run("kubectl", "delete", "pods", f"--namespace={served.namespace}", f"--selector={SERVERS}")
    try:
        yield served
    finally:
        open_the_first()
        kubectl.run("kubectl", "uncordon", DRAINED)


def open_the_first() -> None:
    """Let servers come to the first node, if they may not yet."""
    taints = kubectl.get("default", "node", STAYS)["spec"].get("taints", [])
    if any(taint["key"] == JOBS_ONLY for taint in taints):
        kubectl.run("kubectl", "taint", "node", STAYS, f"{JOBS_ONLY}-")


async def drain(stage: Stage, revision: str | None, *options: str) -> tuple[int, str]:
    """Drain the second node, which has all servers.

    Return the least number of those of `revision` that answered meanwhile, and what kubectl said.
    """
    assert await asyncio.to_thread(nodes_of, stage.workplace) == {DRAINED}
    await asyncio.to_thread(open_the_first)
    stage.happens()
    async with Fewest(stage.workplace, revision) as fewest:
        told = await asyncio.to_thread(_drain, *options)
    return fewest.found, told


def _drain(*more: str) -> str:
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s", *more)
    return kubectl.run("sh", "-c", f"kubectl drain {DRAINED} {' '.join(options)} 2>&1")


def report(stage: Stage, case: str, version: str) -> None:
    last = stage.last_answer_but_of(version)
    table.add(CaseRow(stage.strategy, case, "", stage.requests, len(stage.failures), stage.seconds, last))


@pytest.mark.parametrize("strategy", [IN_PLACE, "Canary", "BlueGreen"])
async def test_a_version_takes_over_from_a_node_that_is_drained_half_way(
    on_the_second: Workplace, strategy: str
) -> None:
    stage = Stage(on_the_second, strategy, f"{strategy}-drained")
    async with stage:
        await stage.half_way()
        fewest, told = await drain(stage, stage.own if strategy != "BlueGreen" else None)
        await stage.ends_at(stage.second)
        where = await asyncio.to_thread(nodes_of, stage.workplace)
    report(stage, "second node drained", stage.second)
    assert where == {STAYS}
    assert REFUSED in told, told
    assert fewest >= REPLICAS - 1
    assert not stage.failures, stage.failures[:3]


async def test_a_model_that_serves_moves_to_the_other_node_one_pod_at_a_time_and_comes_back(
    on_the_second: Workplace,
) -> None:
    stage = Stage(on_the_second, "Canary", "ready-drained")
    async with stage:
        fewest, told = await drain(stage, stage.own)
        await asyncio.to_thread(_await_answering, stage.workplace, [STAYS] * REPLICAS)
        await asyncio.to_thread(kubectl.run, "kubectl", "uncordon", DRAINED)
        await stage.apply(stage.first, replicas=REPLICAS + 1)
        await asyncio.to_thread(_await_answering, stage.workplace, [STAYS] * REPLICAS + [DRAINED])
        await stage.ends_at(stage.first)
    report(stage, "second node drained, nothing changes", stage.first)
    assert REFUSED in told, told
    assert fewest == REPLICAS - 1
    assert not stage.failures, stage.failures[:3]


async def test_a_drain_that_does_not_ask_the_budget_loses_requests(on_the_second: Workplace) -> None:
    """The control: the same load, and both pods leave at once. Must fail, or the load proves nothing."""
    stage = Stage(on_the_second, "Canary", "drained-at-once")
    async with stage:
        fewest, told = await drain(stage, stage.own, "--disable-eviction")
        await stage.ends_at(stage.first)
    report(stage, "control: second node drained past the budget, nothing changes", stage.first)
    assert REFUSED not in told, told
    assert fewest == 0
    assert stage.failures


def _await_answering(workplace: Workplace, where: list[str]) -> None:
    wait_for(
        lambda: sorted(answering(workplace)) == sorted(where),
        f"pods on {where}",
        explain=lambda: workplace.explain(NAME),
    )
