"""A hundred HTTP and a hundred gRPC connections, retries off, 100,000 requests and more of each for each strategy.

Versions change all the time. Each answer is checked against the versions that may give it, and both must be met.
Connections are made before a candidate is ready and asked until long after the old set is gone. A control without a
drain must fail. GOAL=1000 in the environment makes a short run of it.
"""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from tests.e2e.rollouts import EVERY_VERSION_KNOWS, FIRST, NAME, SECOND, a_pod, current, question, wanted
from tests.rollout import table
from tests.rollout.stage import COMMON, REPLICAS
from tests.rollout.standing import await_alone, set_behind, version_of
from tests.rollout.table import LoadRow
from tests.support import node
from tests.support.load import Load, Tally
from tests.support.workplace import Workplace

GOAL = int(os.environ.get("GOAL", "100000"))
"""Requests of each protocol."""
CONNECTIONS, INTERVAL = 100, 0.5
"""Of each protocol; seconds from one request of a connection to its next."""
BEFORE_AND_AFTER = 10
"""Seconds of load before a change of version, and after the old set is gone."""
QUEUED = "100ms"
"""So long requests wait in their server for others: whenever a pod ends, some are on their way."""
STRATEGIES = {
    "Canary": {"strategy": "Canary", "steps": [{"weight": 20, "pause": "2s"}, {"weight": 50, "pause": "2s"}]},
    "BlueGreen": {"strategy": "BlueGreen"},
    "InPlace": {"strategy": "InPlace"},
}
"""Those that do not interrupt. InPlace is the last: pods that hold another version than their own return in place."""
CHANGES = 4
"""Changes of version at least."""
UNTIL_IT_ENDS = 3000


def model(workplace: Workplace, version: str, strategy: str) -> dict[str, object]:
    batching = {"maxBatchSize": 32, "maxQueueDelay": QUEUED}
    return wanted(workplace, version, {**STRATEGIES[strategy], **COMMON}, replicas=REPLICAS, batching=batching)


@pytest.fixture(scope="module", autouse=True)
def batching(served: Workplace) -> None:
    """Have a version serve that batches."""
    served.apply(model(served, FIRST, "BlueGreen"))
    served.await_ready(NAME, seconds=600)
    await_alone(served)


def load_on(workplace: Workplace) -> Load:
    addresses = {"http": workplace.service_address(NAME, 8000), "grpc": workplace.service_address(NAME, 8001)}
    return Load(question(EVERY_VERSION_KNOWS), connections=CONNECTIONS, interval=INTERVAL, **addresses)


def change(workplace: Workplace, strategy: str) -> None:
    """Go from the version that serves to the other one; return when nothing is left of the way."""
    before = version_of(workplace, current(workplace))
    workplace.apply(model(workplace, SECOND if before == FIRST else FIRST, strategy))
    workplace.await_ready(NAME)
    await_alone(workplace)
    assert version_of(workplace, current(workplace)) != before


@pytest.mark.timeout(UNTIL_IT_ENDS + 600)
@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_no_request_is_lost_however_often_versions_change(served: Workplace, strategy: str) -> None:
    load, changes, begun = await asyncio.to_thread(load_on, served), 0, time.monotonic()
    async with asyncio.timeout(UNTIL_IT_ENDS), load:
        while changes < CHANGES or min(load.http.sent, load.grpc.sent) < GOAL:
            await asyncio.sleep(BEFORE_AND_AFTER)
            await asyncio.to_thread(change, served, strategy)
            await asyncio.sleep(BEFORE_AND_AFTER)
            changes += 1
    minutes = (time.monotonic() - begun) / 60
    for protocol, tally in (("HTTP", load.http), ("gRPC", load.grpc)):
        table.add(row(strategy, protocol, changes, tally, minutes))
    for tally in (load.http, load.grpc):
        assert tally.clean, str(tally)
        assert min(tally.answers[FIRST], tally.answers[SECOND]) > CONNECTIONS, str(tally)


async def test_without_the_drain_requests_are_lost(served: Workplace) -> None:
    """The control: the same load, and a pod whose processes end at once."""
    load, begun = await asyncio.to_thread(load_on, served), time.monotonic()
    async with load:
        await load.until_sent(5 * CONNECTIONS)
        pod = await asyncio.to_thread(a_pod, served, await asyncio.to_thread(set_behind, served))
        await asyncio.to_thread(node.kill, pod)
        await load.until_sent(5 * CONNECTIONS)
    minutes = (time.monotonic() - begun) / 60
    for protocol, tally in (("HTTP", load.http), ("gRPC", load.grpc)):
        table.add(row("no drain", protocol, 0, tally, minutes))
    assert load.http.failures, str(load.http)
    assert load.grpc.failures, str(load.grpc)


def row(strategy: str, protocol: str, changes: int, tally: Tally, minutes: float) -> LoadRow:
    """Return what is measured of one protocol."""
    answers = (tally.answers[FIRST], tally.answers[SECOND])
    took = [1000 * seconds for seconds in sorted(tally.seconds)]
    half, most, slowest = took[len(took) // 2], took[len(took) * 99 // 100], took[-1]
    return LoadRow(strategy, protocol, changes, tally.sent, answers, len(tally.troubles), minutes, half, most, slowest)
