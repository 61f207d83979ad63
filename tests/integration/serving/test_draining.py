"""A pod that ends loses no request of 50 keep-alive HTTP and 50 gRPC connections that never send anything twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.load import Load, Question
from tests.support.service import Service
from tests.support.servingpod import Pod
from tests.support.waves import LastGrowth

from .conftest import MakePod
from .small_models import INPUTS, NAME, answers, publish

CONNECTIONS, INTERVAL = 50, 1.0
OLD, NEW = "old", "new"
DELAY = 3.0
"""Seconds for which new connections may come to a pod that is to end."""


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
        pod.start(delay=DELAY)
    return found


@pytest.fixture
def pods(both: list[Pod]) -> list[Pod]:
    """The old and the new pod, both ready; what an earlier test ended is started again."""
    for pod in both:
        pod.forget_end()
        ended = [name for name in ("agent", "proxy", "triton") if pod.ended(name) is not None]
        if ended:
            pod.start(*ended, delay=DELAY)
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


async def test_a_pod_without_clients_is_drained_as_soon_as_no_node_leads_to_it(pods: list[Pod]) -> None:
    """Nobody is waited for: the agent's own questions to the proxy keep no connection (aiohttp's live 15 s)."""
    old, _ = pods
    announced = time.monotonic()
    old.announce_end()
    await drained(old)
    took = time.monotonic() - announced
    assert DELAY <= took < DELAY + 5, f"{took:.1f} s"


@pytest.mark.parametrize("told_after", [0.2, DELAY - 0.5])
async def test_a_drained_pod_loses_no_request_however_late_nodes_are_told(pods: list[Pod], told_after: float) -> None:
    """Until they are told, clients that were asked to connect anew come back to the same pod."""
    old, new = pods
    async with under_load(old) as (load, http, grpc):
        old.announce_end()
        await asyncio.sleep(told_after)
        http.endpoints[:], grpc.endpoints[:] = [new.ports.http], [new.ports.grpc]
        await drained(old)
        await asyncio.to_thread(old.stop)
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
        assert tally.answers[OLD] >= CONNECTIONS, str(tally)
        assert tally.answers[NEW] >= CONNECTIONS, str(tally)
    assert "Exit timeout expired" not in old.log("triton")


async def test_kept_connections_leave_a_pod_that_no_service_leads_to_with_their_next_answer(pods: list[Pod]) -> None:
    """As those of a candidate that was sent back: they must not stay until the pod's last moment."""
    old, new = pods
    async with under_load(old) as (load, http, grpc):
        http.endpoints[:], grpc.endpoints[:] = [new.ports.http], [new.ports.grpc]
        await load.until_sent(CONNECTIONS)
        kept = load.http.answers[OLD], load.grpc.answers[OLD]
        async with LastGrowth(lambda: load.http.answers[OLD] + load.grpc.answers[OLD]) as last:
            old.announce_end()
            announced = time.monotonic()
            await drained(old)
        await asyncio.to_thread(old.stop)
    assert min(kept) >= 2 * CONNECTIONS, "until then they stayed"
    assert last.at is not None
    assert last.at - announced < DELAY, f"the last one left after {last.at - announced:.1f} s"
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)


async def test_without_the_drain_requests_are_lost(pods: list[Pod]) -> None:
    """The control of the test above: the same end, but without a warning."""
    old, new = pods
    async with under_load(old) as (load, http, grpc):
        http.endpoints[:], grpc.endpoints[:] = [new.ports.http], [new.ports.grpc]
        await asyncio.to_thread(old.stop)
    assert load.http.failures, str(load.http)
    assert load.grpc.failures, str(load.grpc)
