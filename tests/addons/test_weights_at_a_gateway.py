"""Canaries by weights at a real Gateway: what is asked for is what clients meet, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import kubectl
import pytest
from tests.addons.conftest import DOMAIN
from tests.e2e import rollouts
from tests.e2e.rollouts import (
    EVERY_VERSION_KNOWS,
    FIRST,
    NAME,
    SECOND,
    SHORT,
    SHORT_LACKS,
    await_gone,
    await_rollout,
    current,
    pods,
    question,
    rejected,
    wanted,
    waves,
)
from tests.support.audit import OPERATOR, writes
from tests.support.load import Load
from tests.support.waves import LastGrowth
from tests.support.workplace import Workplace

WEIGHTS = (5, 60)
STEPS = [{"weight": weight, "pause": "40s"} for weight in WEIGHTS]
CANARY = {
    "strategy": "Canary",
    "routing": "Gateway",
    "steps": STEPS,
    "analysis": {"minRequests": 20, "onInconclusive": "Pause"},
}
POINTS = 5.0
"""Percentage points by which the share of 1,200 requests may miss a weight: 3.5 standard deviations at 60 %."""
BACK_SECONDS = 10
"""One reading of counters, 5 s, and 5 s."""

pytestmark = [pytest.mark.addons, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The first version from two pods, Ready, which it is only when the Gateway has taken its routes."""
    rollouts.upload(workplace, tmp_path_factory.mktemp(NAME))
    workplace.apply(wanted(workplace, FIRST, replicas=2))
    workplace.await_ready(NAME, seconds=600)
    return workplace


def hostnames(workplace: Workplace) -> tuple[str, str]:
    return f"{NAME}.{workplace.namespace}.{DOMAIN}", f"grpc.{NAME}.{workplace.namespace}.{DOMAIN}"


def through(gateway: str, workplace: Workplace, row: int = EVERY_VERSION_KNOWS, interval: float = 0.1) -> Load:
    """Return clients of both protocols that keep their connections to the Gateway."""
    hosts = hostnames(workplace)
    return Load(question(row), http=gateway, grpc=gateway, connections=8, interval=interval, hostnames=hosts)


def shares(workplace: Workplace, kind: str = "httproute") -> dict[str, int]:
    """Return the Services that the route leads to, by name, each with its weight."""
    (rule,) = kubectl.get(workplace.namespace, kind, NAME)["spec"]["rules"]
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}


async def test_the_gateway_leads_to_the_model_by_both_protocols_under_the_names_in_the_status(
    served: Workplace, gateway: str
) -> None:
    endpoint = (await asyncio.to_thread(served.model, NAME))["status"]["endpoint"]
    assert (endpoint["hostname"], endpoint["grpcHostname"]) == hostnames(served)
    async with through(gateway, served) as load:
        await load.until_sent(50)
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)


def test_routes_that_the_server_has_filled_in_are_not_written_again(served: Workplace, cluster: Any) -> None:
    since = time.time()
    before = {kind: kubectl.get(served.namespace, kind, NAME)["metadata"] for kind in ("httproute", "grpcroute")}
    kubectl.run("kubectl", "annotate", "service", NAME, "--namespace", served.namespace, "touched=yes", "--overwrite")
    time.sleep(5)  # what must not happen cannot be awaited
    for kind, metadata in before.items():
        assert kubectl.get(served.namespace, kind, NAME)["metadata"]["generation"] == metadata["generation"]
    found = writes(cluster.parent / "audit.log", {served.namespace}, since)
    assert [write for write in found if write.user == OPERATOR and write.resource.endswith("routes")] == []


@pytest.mark.parametrize(("before", "after"), [(FIRST, SECOND), (SECOND, FIRST)])
async def test_weights_are_met_pods_follow_the_need_and_no_request_is_lost(
    served: Workplace, gateway: str, before: str, after: str
) -> None:
    old = await asyncio.to_thread(current, served)
    async with through(gateway, served) as load, waves(served) as inside:
        await load.until_sent(20)
        await asyncio.to_thread(served.apply, wanted(served, after, CANARY, replicas=2))
        for number, (weight, count) in enumerate(zip(WEIGHTS, (1, 2), strict=True), 1):
            await asyncio.to_thread(_await_step, served, number)
            new = (await asyncio.to_thread(served.model, NAME))["status"]["candidateRevision"]
            asked, met = _answers(load), await asyncio.to_thread(shares, served)
            assert met == {old: 100 - weight, new: weight}
            await load.until_sent(600)
            share = _share(_answers(load) - asked, after)
            print(f"step {number}: {weight} % asked for, {share:.1f} % met, {count} pods beside 2")
            assert abs(share - weight) <= POINTS
            assert len(await asyncio.to_thread(pods, served, new)) == count
            assert not inside.answers[after], "the Service in the cluster stays with the old version"
        await asyncio.to_thread(served.await_ready, NAME)
        await asyncio.to_thread(await_gone, served, old)
        await inside.until(lambda answers: answers[after] > 10)
        asked = _answers(load)
        await load.until_sent(50)
    assert set((_answers(load) - asked).keys()) == {after}
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
    assert not inside.failures, inside.failures[:3]
    print(f"{load.http.sent + load.grpc.sent} requests through the Gateway, none lost")


def _await_step(workplace: Workplace, number: int) -> None:
    """Return when the step has begun: its pods answer, and the Gateway has accepted its weight."""
    await_rollout(workplace, lambda found: found.get("step") == number and "reachedAt" in found, f"step {number}")


def _answers(load: Load) -> Counter[str]:
    return load.http.answers + load.grpc.answers


def _share(answers: Counter[str], version: str) -> float:
    return 100 * answers[version] / max(1, answers.total())


async def test_a_candidate_that_fails_gets_weight_0_at_once(served: Workplace, gateway: str) -> None:
    stable, serves = await asyncio.to_thread(current, served), FIRST
    lasting = {**CANARY, "steps": [{"weight": 50, "pause": "10m"}]}
    async with through(gateway, served) as load:
        await asyncio.to_thread(served.apply, wanted(served, SHORT, lasting, replicas=2))
        await asyncio.to_thread(_await_step, served, 1)
        candidate = (await asyncio.to_thread(served.model, NAME))["status"]["candidateRevision"]
        injected = time.monotonic()
        asking = through(gateway, served, SHORT_LACKS)
        async with asking, LastGrowth(lambda: len(asking.http.failures) + len(asking.grpc.failures)) as failed:
            await asyncio.to_thread(served.await_condition, NAME, "Stalled", "True", "AnalysisFailed")
            assert await asyncio.to_thread(shares, served) == {stable: 100}
            assert await asyncio.to_thread(shares, served, "grpcroute") == {stable: 100}
            await asyncio.to_thread(await_gone, served, candidate)
            await asking.until_sent(50)
    assert failed.at is not None
    print(f"the bad candidate answered for {failed.at - injected:.1f} s")
    assert failed.at - injected <= BACK_SECONDS
    assert (await asyncio.to_thread(rejected, served, candidate))["reason"] == "AnalysisFailed"
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
    assert _answers(load)[serves]
