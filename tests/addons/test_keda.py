"""Pods follow what waits in Triton, counted by KEDA, which asks Prometheus; and they go to zero and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import kubectl
import pytest
from tests.e2e.elastic import (
    CALM,
    NAME,
    assert_clean,
    await_pods,
    deployment,
    explain,
    scaled_by,
    serve,
    under_load,
    upload,
    wanted,
)
from tests.support.audit import HPA_CONTROLLER, OPERATOR, Write, writes
from tests.support.workplace import Workplace, wait_for

KEDA_OPERATOR = "system:serviceaccount:keda:keda-operator"
WIDTH, BATCH = 2048, 32
"""A request of 32 rows takes a hundredth of a second or so, and is a batch by itself: who asks at once waits."""
MOST = 4
WAITING = {"minReplicas": 1, "maxReplicas": MOST, "target": {"pendingRequests": 2}}
FEW, TWICE = 2, 4
"""Connections of each protocol whose clients ask again at once: so many of the requests but one wait at any time."""
AT_ONCE = 0.0
NOTICED_SECONDS, START_SECONDS = 30, 45
"""What docs/operations.md promises: a scrape and a question of KEDA, 15 s each, then the start of a pod."""

pytestmark = [pytest.mark.addons, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """The model, scaled by what waits, with one pod, Ready."""
    upload(workplace, tmp_path_factory.mktemp(NAME), WIDTH)
    workplace.apply(wanted(workplace, BATCH, WIDTH, autoscaling=WAITING))
    workplace.await_ready(NAME, seconds=600)
    yield workplace
    workplace.delete(NAME)


def written(workplace: Workplace, installed: Path, since: float) -> list[Write]:
    """Return who wrote what in the namespace."""
    return writes(installed.parent / "audit.log", {workplace.namespace}, since)


def pods(workplace: Workplace) -> int:
    return int(deployment(workplace)["spec"]["replicas"])


def await_more_than(workplace: Workplace, count: int) -> int:
    """Return how many pods serve as soon as there are more than `count`, and all answer."""

    def look() -> int | None:
        found, status = pods(workplace), workplace.model(NAME)["status"]
        return found if found > count and status.get("readyReplicas") == found else None

    return wait_for(look, f"more than {count} pods", 300, lambda: explain(workplace) + scaled_object(workplace))


def scaled_object(workplace: Workplace) -> str:
    return kubectl.run("kubectl", "describe", "scaledobjects", "--namespace", workplace.namespace)


def test_keda_takes_the_one_scaled_object_and_the_status_says_so(served: Workplace) -> None:
    def look() -> bool:
        (found,) = kubectl.get(served.namespace, "scaledobjects")["items"]
        said = {item["type"]: item["status"] for item in found.get("status", {}).get("conditions", [])}
        return said.get("Ready") == "True"

    wait_for(look, "a ScaledObject that is Ready", 120, lambda: scaled_object(served))
    wait_for(
        lambda: served.model(NAME)["status"].get("autoscaling") == {"engine": "KEDA", "message": ""},
        "a status that says so",
        60,
        lambda: explain(served),
    )


async def test_pods_follow_a_load_that_doubles_and_falls_no_request_is_lost_and_nobody_fights(
    served: Workplace, installed: Path
) -> None:
    since, counts = time.time(), [await asyncio.to_thread(pods, served)]
    assert counts == [1]
    for connections in (FEW, TWICE):
        busy, found = await under_load(
            served, lambda: await_more_than(served, counts[-1]), AT_ONCE, connections=connections
        )
        print(f"{connections} connections of each protocol, {found} pods after {time.time() - since:.0f} s")
        assert_clean(busy)
        counts.append(found)
    falling = time.time()
    calm, _ = await under_load(served, lambda: await_pods(served, 1, seconds=1000), CALM)
    print(f"from {counts[-1]} pods to 1 in {time.time() - falling:.0f} s")
    assert_clean(calm)
    assert counts[0] < counts[1] < counts[2] <= MOST
    assert_one_counts(written(served, installed, since))


def assert_one_counts(found: list[Write]) -> None:
    """Nobody but the autoscaler set the number of pods, and the operator wrote no Deployment."""
    assert scaled_by(found, HPA_CONTROLLER)
    scalers = {write.user for write in found if write.resource == "deployments/scale"}
    assert scalers <= {HPA_CONTROLLER, KEDA_OPERATOR}
    of_operator = [write for write in found if write.user == OPERATOR]
    assert [write for write in of_operator if write.resource.startswith("deployments")] == []


def waking(namespace: str) -> dict[str, Any]:
    """Let the model sleep, and be woken by requests that the Gateway's Envoy meets: answered, or without a pod."""
    chosen = f'{{envoy_cluster_name=~"{namespace}_{NAME}-.*"}}'
    met = ("envoy_cluster_upstream_rq_total", "envoy_cluster_upstream_cx_none_healthy")
    query = " + ".join(f"sum(rate({name}{chosen}[1m]))" for name in met)
    return {**WAITING, "minReplicas": 0, "activation": {"prometheus": {"query": query}}}


async def test_from_zero_the_first_request_is_answered_in_the_time_that_is_promised(
    served: Workplace, installed: Path, gateway: str
) -> None:
    """The client asks again until it is answered, as a Gateway has nobody to give its request to and says so."""
    await asyncio.to_thread(serve, served, autoscaling=waking(served.namespace))
    asleep = lambda: pods(served) == 0 and served.model(NAME)["status"]["replicas"] == 0  # noqa: E731
    await asyncio.to_thread(wait_for, asleep, "no pod", 420, lambda: explain(served) + scaled_object(served))
    condition = await asyncio.to_thread(served.await_condition, NAME, "Available", "False", "ScaledToZero")
    print(condition["message"])
    since, begun = time.time(), time.monotonic()
    hostname = (await asyncio.to_thread(served.model, NAME))["status"]["endpoint"]["hostname"]
    refused, noticed = await ask_until_answered(gateway, hostname, served)
    took = time.monotonic() - begun
    print(f"answered after {took:.1f} s, {refused} times refused; a pod was asked for after {noticed:.1f} s")
    assert refused
    assert noticed <= NOTICED_SECONDS
    assert took - noticed <= START_SECONDS
    await asyncio.to_thread(served.await_condition, NAME, "Available", "True", "Serving")
    scalers = {write.user for write in written(served, installed, since) if write.resource == "deployments/scale"}
    assert scalers == {KEDA_OPERATOR}


async def ask_until_answered(gateway: str, hostname: str, workplace: Workplace) -> tuple[int, float]:
    """Ask once a second until the model says that it is ready; return how often nobody answered, and after how many
    seconds a pod was asked for."""
    refused, begun, noticed = 0, time.monotonic(), None
    limit = aiohttp.ClientTimeout(total=5)
    async with asyncio.timeout(180), aiohttp.ClientSession(timeout=limit) as session:
        while True:
            async with session.get(f"http://{gateway}/v2/models/{NAME}/ready", headers={"Host": hostname}) as answer:
                if answer.status == 200:
                    assert noticed is not None
                    return refused, noticed
                assert answer.status == 503, await answer.text()
            refused += 1
            if noticed is None and await asyncio.to_thread(pods, workplace):
                noticed = time.monotonic() - begun
            await asyncio.sleep(1)
