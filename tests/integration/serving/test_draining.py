"""A pod that ends loses no request of 50 keep-alive HTTP and 50 gRPC connections that never send anything twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.load import Load, Question
from tests.support.service import Service
from tests.support.servingpod import Pod

from .conftest import MakePod
from .small_models import INPUTS, NAME, answers, publish

CONNECTIONS, INTERVAL = 50, 1.0
OLD, NEW = "old", "new"


@asynccontextmanager
async def under_load(old: Pod) -> AsyncIterator[tuple[Load, Service, Service]]:
    """Two Services in front of the old pod alone, with load on both from before to after what is done meanwhile."""
    question = Question(NAME, INPUTS, {OLD: answers(1.0), NEW: answers(2.0)})
    async with Service([old.ports.http]) as http, Service([old.ports.grpc]) as grpc:
        load = Load(question, http=http.address, grpc=grpc.address, connections=CONNECTIONS, interval=INTERVAL)
        async with load:
            await load.until_sent(2 * CONNECTIONS)
            yield load, http, grpc
            await load.until_sent(2 * CONNECTIONS)


@pytest.fixture(scope="module")
def both(make_pod: MakePod, artifact_store: Path) -> list[Pod]:
    """An old and a new pod."""
    found = [make_pod(publish(artifact_store, factor=factor)) for factor in (1.0, 2.0)]
    for pod in found:
        pod.start(delay=2.0)
    return found


@pytest.fixture
def pods(both: list[Pod]) -> list[Pod]:
    """The old and the new pod, both ready; what an earlier test ended is started again."""
    for pod in both:
        pod.forget_end()
        ended = [name for name in ("agent", "proxy", "triton") if pod.ended(name) is not None]
        if ended:
            pod.start(*ended, delay=2.0)
    for pod in both:
        pod.await_ready()
    return both


async def drained(pod: Pod) -> None:
    """Return when the pod says that nothing is lost if it ends."""
    async with asyncio.timeout(120):
        while not pod.drained:  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.05)


async def test_a_pod_whose_end_is_called_off_serves_again(pods: list[Pod]) -> None:
    old, _ = pods
    old.announce_end()
    await drained(old)
    assert not old.probe("ready")
    old.forget_end()
    await asyncio.to_thread(old.await_ready)


async def test_a_drained_pod_loses_no_request_and_its_clients_move_to_the_other(pods: list[Pod]) -> None:
    old, new = pods
    async with under_load(old) as (load, http, grpc):
        old.announce_end()
        # endpoints are told a moment later, as in a cluster
        await asyncio.sleep(0.5)
        http.endpoints[:], grpc.endpoints[:] = [new.ports.http], [new.ports.grpc]
        await drained(old)
        await asyncio.to_thread(old.stop)
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
        assert tally.answers[OLD] >= CONNECTIONS, str(tally)
        assert tally.answers[NEW] >= CONNECTIONS, str(tally)
    assert "Exit timeout expired" not in old.log("triton")


async def test_without_the_drain_requests_are_lost(pods: list[Pod]) -> None:
    """The control of the test above: the same end, but without a warning."""
    old, new = pods
    async with under_load(old) as (load, http, grpc):
        http.endpoints[:], grpc.endpoints[:] = [new.ports.http], [new.ports.grpc]
        await asyncio.to_thread(old.stop)
    assert load.http.failures, str(load.http)
    assert load.grpc.failures, str(load.grpc)
