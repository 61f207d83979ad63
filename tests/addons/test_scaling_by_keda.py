"""Pods follow what waits in Triton, counted by KEDA, which asks Prometheus; and they go to zero and come back."""

from __future__ import annotations

import asyncio
import re
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
    ROW,
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
from tests.support import reading
from tests.support.audit import HPA_CONTROLLER, OPERATOR, Write, writes
from tests.support.load import Load, Question
from tests.support.workplace import Workplace, wait_for

from modelpress.api.names import MODEL_LABEL, ROLE_LABEL, ROLE_SERVE

KEDA_OPERATOR = "system:serviceaccount:keda:keda-operator"
WIDTH, BATCH = 4096, 32
"""A request of 32 rows takes some hundredths of a second, and is a batch by itself: who asks at the same time waits."""
MOST = 6
WAITING = {"minReplicas": 1, "maxReplicas": MOST, "target": {"pendingRequests": 2}}
FEW, TWICE = 6, 12
"""Connections of each protocol whose clients ask again at once, so that most of them wait at any time."""
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


def waking(query: str) -> dict[str, Any]:
    """Let the model sleep, and be woken by what `query` counts."""
    return {**WAITING, "minReplicas": 0, "activation": {"prometheus": {"query": query}}}


async def fall_asleep(workplace: Workplace, query: str) -> None:
    """Return when the model has no pod, and says so. One that is on its way out answers still."""
    await asyncio.to_thread(serve, workplace, autoscaling=waking(query))
    selector = f"{MODEL_LABEL}={NAME},{ROLE_LABEL}={ROLE_SERVE}"

    def asleep() -> bool:
        gone = pods(workplace) == 0 and workplace.model(NAME)["status"]["replicas"] == 0
        return gone and not reading.pods(workplace.namespace, selector)

    explained = lambda: explain(workplace) + scaled_object(workplace)  # noqa: E731
    await asyncio.to_thread(wait_for, asleep, "no pod", 480, explained)
    condition = await asyncio.to_thread(workplace.await_condition, NAME, "Available", "False", "ScaledToZero")
    print(condition["message"])


async def assert_woken(workplace: Workplace, installed: Path, since: float) -> None:
    """KEDA alone scaled, in time, and the first request, sent at `since`, has been answered by now, in time."""
    took = time.time() - since
    await asyncio.to_thread(workplace.await_condition, NAME, "Available", "True", "Serving")
    scaled = [write for write in written(workplace, installed, since) if write.resource == "deployments/scale"]
    after = min(write.at for write in scaled) - since
    print(f"answered after {took:.1f} s; a pod was asked for after {after:.1f} s")
    assert {write.user for write in scaled} == {KEDA_OPERATOR}
    assert after <= NOTICED_SECONDS
    assert took - after <= START_SECONDS


async def test_from_zero_the_first_requests_are_held_and_answered_in_the_time_that_is_promised(
    served: Workplace, installed: Path, images: dict[str, str], repository: Path
) -> None:
    """As examples/sleep has it. No client asks twice."""
    answer = await asyncio.to_thread(served.ask, NAME, ROW, ["scores"])
    waiting = f"{NAME}-waiting"
    await asyncio.to_thread(put_in_front, served, repository, images["operator"])
    chosen = f'{{namespace="{served.namespace}",envoy_http_conn_manager_prefix="{NAME}"}}'
    query = f"sum(rate(envoy_http_downstream_rq_total{chosen}[1m])) + sum(envoy_http_downstream_rq_active{chosen})"
    await fall_asleep(served, query)
    load = Load(
        Question(NAME, ROW, {"any": answer}),
        http=served.service_address(waiting, 8000),
        grpc=served.service_address(waiting, 8001),
        connections=1,
        interval=1.0,
        patience=120.0,
    )
    since = time.time()
    async with load:
        async with asyncio.timeout(240):
            while not load.http.seconds or not load.grpc.seconds:  # noqa: ASYNC110 - clients count plainly
                await asyncio.sleep(0.05)
        await assert_woken(served, installed, since)
    assert_clean(load)


def put_in_front(workplace: Workplace, repository: Path, image: str) -> None:
    """Have the Envoy of examples/sleep in front of the model, in an image that this machine has."""
    text = (repository / "examples" / "sleep" / "waiting.yaml").read_text()
    text = re.sub("image: envoyproxy/.*", f"image: {image}", text)
    kubectl.apply(text.replace("digits", NAME).replace("team-a", workplace.namespace), workplace.namespace)
    ready = ("rollout", "status", f"deployment/{NAME}-waiting", "--namespace", workplace.namespace, "--timeout=120s")
    kubectl.run("kubectl", *ready)


async def test_pods_follow_a_load_that_doubles_and_falls_no_request_is_lost_and_nobody_fights(
    served: Workplace, installed: Path
) -> None:
    await asyncio.to_thread(serve, served, autoscaling=WAITING)
    await asyncio.to_thread(await_pods, served, 1)
    since, counts = time.time(), [1]
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


async def test_from_zero_a_gateway_refuses_and_counts_until_a_pod_answers(
    served: Workplace, installed: Path, gateway: str
) -> None:
    chosen = f'{{envoy_cluster_name=~"{served.namespace}_{NAME}-.*"}}'
    met = ("envoy_cluster_upstream_rq_total", "envoy_cluster_upstream_cx_none_healthy")
    await fall_asleep(served, " + ".join(f"sum(rate({name}{chosen}[1m]))" for name in met))
    hostname = (await asyncio.to_thread(served.model, NAME))["status"]["endpoint"]["hostname"]
    since = time.time()
    print(f"{await ask_until_answered(gateway, hostname)} times refused")
    await assert_woken(served, installed, since)


async def ask_until_answered(gateway: str, hostname: str) -> int:
    """Ask once a second until the model says that it is ready; return how often nobody answered."""
    refused, limit = 0, aiohttp.ClientTimeout(total=5)
    async with asyncio.timeout(180), aiohttp.ClientSession(timeout=limit) as session:
        while True:
            async with session.get(f"http://{gateway}/v2/models/{NAME}/ready", headers={"Host": hostname}) as answer:
                if answer.status == 200:
                    assert refused, "the model did not sleep"
                    return refused
                assert answer.status == 503, await answer.text()
            refused += 1
            await asyncio.sleep(1)
