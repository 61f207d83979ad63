"""A node with room for exactly one server still gets its next version, under load, without losing a request.

The room is a resource of the node's own, of which it has one and every server takes one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubectl
import pytest
from tests.e2e import rollouts
from tests.e2e.rollouts import FIRST, NAME, SECOND, SHORT, current, keepers, wanted
from tests.support.workplace import Workplace

SEAT = "modelpress.example/seat"
SEATED: Mapping[str, Any] = {"limits": {SEAT: 1}}
IN_PLACE = {"strategy": "InPlace"}

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def seat(installed: Path) -> Iterator[None]:
    """Have a node offer one seat."""
    node = kubectl.get("default", "nodes")["items"][0]["metadata"]["name"]
    _offer(node, '{"op": "add", "path": "/status/capacity/modelpress.example~1seat", "value": "1"}')
    yield
    _offer(node, '{"op": "remove", "path": "/status/capacity/modelpress.example~1seat"}')


def _offer(node: str, change: str) -> None:
    kubectl.run("kubectl", "patch", "node", node, "--subresource=status", "--type=json", f"--patch=[{change}]")


@pytest.fixture(scope="module")
def served(workplace: Workplace, seat: None, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The first version, Ready, on the only seat."""
    rollouts.upload(workplace, tmp_path_factory.mktemp(NAME))
    workplace.apply(wanted(workplace, FIRST, IN_PLACE, resources=SEATED))
    workplace.await_ready(NAME, seconds=600)
    return workplace


async def changes(served: Workplace, old: str, new: str, rollout: Mapping[str, Any]) -> None:
    """Go from one version to another under load; fail if a request is lost, or another pod answers than before."""
    before, began = await asyncio.to_thread(current, served), time.monotonic()
    own = await asyncio.to_thread(_pods, served)
    async with keepers(served) as load:
        await load.until_sent(100)
        await asyncio.to_thread(served.apply, wanted(served, new, rollout, resources=SEATED))
        await asyncio.to_thread(served.await_ready, NAME)
        took, left = time.monotonic() - began, [tally.answers[old] for tally in (load.http, load.grpc)]
        await load.until_sent(100)
    for tally, count in zip((load.http, load.grpc), left, strict=True):
        assert tally.clean, str(tally)
        assert tally.answers[new] >= 100, str(tally)
        assert tally.answers[old] <= count + 8, f"one for each connection may have been on its way: {tally}"
    assert await asyncio.to_thread(current, served) != before
    assert await asyncio.to_thread(_pods, served) == own, "no pod was started"
    print(f"{load.http.sent + load.grpc.sent} requests, none lost; the new version answered after {took:.0f} s")


def _pods(served: Workplace) -> set[str]:
    found = kubectl.get(served.namespace, "pods", "--selector", "modelpress.io/role=serve")["items"]
    return {item["metadata"]["uid"] for item in found}


async def test_a_full_node_gets_the_next_version_in_place_and_loses_no_request(served: Workplace) -> None:
    await changes(served, FIRST, SECOND, IN_PLACE)


async def test_a_pod_that_is_deleted_comes_back_with_the_version_that_was_loaded_in_place(served: Workplace) -> None:
    before = await asyncio.to_thread(current, served)
    (pod,) = kubectl.get(served.namespace, "pods", "--selector", "modelpress.io/role=serve")["items"]
    where = f"--namespace={served.namespace}"
    await asyncio.to_thread(kubectl.run, "kubectl", "delete", "pod", pod["metadata"]["name"], where, "--wait=true")
    await asyncio.to_thread(served.await_ready, NAME)
    async with keepers(served) as load:
        await load.until_sent(50)
    assert await asyncio.to_thread(current, served) == before
    assert set(load.http.answers) == set(load.grpc.answers) == {SECOND}, f"{load.http} {load.grpc}"


async def test_auto_finds_no_room_says_so_and_loads_in_place(served: Workplace) -> None:
    await changes(served, SECOND, SHORT, {"strategy": "Auto", "steps": [{"weight": 50, "pause": "5s"}]})
    told = [message for reason, message in served.events(NAME) if reason == "StrategyChosen"]
    assert any("Auto chose InPlace: No node takes the pod" in message for message in told), told


async def test_without_it_the_next_version_finds_no_room(served: Workplace) -> None:
    """The control of the tests above: the node is full."""
    stable = await asyncio.to_thread(current, served)
    rollout = {"strategy": "BlueGreen", "progressDeadline": "15s"}
    await asyncio.to_thread(served.apply, wanted(served, SECOND, rollout, resources=SEATED))
    condition = await asyncio.to_thread(served.await_condition, NAME, "Stalled", "True", "InsufficientCapacity")
    assert SEAT in condition["message"]
    assert await asyncio.to_thread(current, served) == stable
