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
async def under_load(old: Pod, new: Pod) -> AsyncIterator[tuple[Load, Service, Service]]:
    """Two Services in front of the old pod alone, with load on both; the new pod is ready."""
    question = Question(NAME, INPUTS, {OLD: answers(1.0), NEW: answers(2.0)})
    async with Service([old.ports.http]) as http, Service([old.ports.grpc]) as grpc:
        load = Load(question, http=http.address, grpc=grpc.address, connections=CONNECTIONS, interval=INTERVAL)
        async with load:
            await load.until_sent(2 * CONNECTIONS)
            yield load, http, grpc
            await load.until_sent(2 * CONNECTIONS)


@pytest.fixture
def pods(make_pod: MakePod, artifact_store: Path) -> list[Pod]:
    """An old and a new pod, both ready."""
    found = [make_pod(publish(artifact_store, factor=factor)) for factor in (1.0, 2.0)]
    for pod in found:
        pod.start(delay=2.0)
    for pod in found:
        pod.await_ready()
    return found


async def test_a_drained_pod_loses_no_request_and_its_clients_move_to_the_other(pods: list[Pod]) -> None:
    old, new = pods
    async with under_load(old, new) as (load, http, grpc):
        old.announce_end()
        # endpoints are told a moment later, as in a cluster
        await asyncio.sleep(0.5)
        http.endpoints[:], grpc.endpoints[:] = [new.ports.http], [new.ports.grpc]
        async with asyncio.timeout(60):
            while not old.drained:  # noqa: ASYNC110 - a file of another process
                await asyncio.sleep(0.05)
        assert not old.probe("ready")
        await asyncio.to_thread(old.stop)
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
        assert tally.answers[OLD] >= CONNECTIONS, str(tally)
        assert tally.answers[NEW] >= CONNECTIONS, str(tally)


async def test_without_the_drain_requests_are_lost(pods: list[Pod]) -> None:
    """The control of the test above: the same end, but the sidecars are ended at once."""
    old, new = pods
    async with under_load(old, new) as (load, http, grpc):
        http.endpoints[:], grpc.endpoints[:] = [new.ports.http], [new.ports.grpc]
        await asyncio.to_thread(old.stop)
    assert load.http.failures, str(load.http)
    assert load.grpc.failures, str(load.grpc)


async def test_a_pod_whose_triton_was_restarted_after_a_drain_serves_again(pods: list[Pod]) -> None:
    old, _ = pods
    old.announce_end()
    async with asyncio.timeout(60):
        while not old.drained:  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.05)
    for name in ("stopping", "drained"):
        (old.root / "run/modelpress" / name).unlink()
    await asyncio.to_thread(old.await_ready)
