"""Rollouts on the real cluster that a person decides about, or that the cluster or the next change cuts short."""

from __future__ import annotations

import asyncio

import kubectl
import pytest
from tests.e2e import rollouts
from tests.e2e.rollouts import (
    FIRST,
    NAME,
    SECOND,
    await_gone,
    await_rollout,
    command,
    current,
    pods,
    question,
    rejected,
    rollout_of,
    wanted,
    waves,
)
from tests.support.workplace import Workplace, wait_for

pytestmark = pytest.mark.long

UNTIL_PROMOTED = {"strategy": "Canary", "steps": [{"weight": 50}], "scaleDownDelay": "0s"}


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The first version, Ready."""
    rollouts.upload(workplace, tmp_path_factory.mktemp(NAME))
    workplace.apply(wanted(workplace, FIRST))
    workplace.await_ready(NAME, seconds=600)
    return workplace


def answers(workplace: Workplace) -> str | None:
    """Return the version that answers one request through the Service."""
    asked = question(rollouts.EVERY_VERSION_KNOWS)
    return asked.revision(workplace.ask(NAME, asked.inputs, asked.outputs))


def await_candidate(workplace: Workplace) -> str:
    """Return the candidate once it has its share and waits for a person."""
    workplace.await_condition(NAME, "Ready", "False", "AwaitingPromotion")
    return str(workplace.model(NAME)["status"]["candidateRevision"])


def test_a_step_without_a_pause_lasts_until_a_person_promotes_and_abort_sends_back_until_retry(
    served: Workplace,
) -> None:
    first = current(served)
    served.apply(wanted(served, FIRST, UNTIL_PROMOTED, batching={"maxBatchSize": 4}))
    candidate = await_candidate(served)
    assert candidate in command(served, "abort", NAME)
    condition = served.await_condition(NAME, "Stalled", "True", "Aborted")
    assert candidate in condition["message"]
    assert rejected(served, candidate)["reason"] == "Aborted"
    await_gone(served, candidate)
    assert current(served) == first
    assert answers(served) == FIRST
    assert "rejected: Aborted" in command(served, "history", NAME)

    assert "retryToken" in command(served, "retry", NAME)
    assert await_candidate(served) == candidate
    assert "Promote" in command(served, "promote", NAME)
    served.await_ready(NAME)
    assert current(served) == candidate
    await_gone(served, first)
    assert "Serving" in command(served, "status", NAME)


def test_undo_pins_the_older_revision_whatever_the_spec_asks_for_until_the_pin_is_taken_back(
    served: Workplace,
) -> None:
    newer = current(served)
    older = command(served, "undo", NAME).split()[-1]
    assert older != newer
    assert "pinRevision" in served.await_condition(NAME, "Ready", "True")["message"]
    wait_for(lambda: current(served) == older, f"{older} to serve", explain=lambda: served.explain(NAME))
    await_gone(served, newer)  # until then a return is at once, without a step
    command(served, "undo", "--end", NAME)
    await_candidate(served)
    command(served, "promote", NAME)
    wait_for(lambda: current(served) == newer, f"{newer} to serve", explain=lambda: served.explain(NAME))


async def test_a_third_version_in_mid_rollout_is_served_and_the_second_one_goes(served: Workplace) -> None:
    stable = await asyncio.to_thread(current, served)
    async with waves(served) as load:
        await asyncio.to_thread(served.apply, wanted(served, FIRST, UNTIL_PROMOTED, batching={"maxBatchSize": 16}))
        overtaken = await asyncio.to_thread(await_candidate, served)
        third = wanted(served, FIRST, UNTIL_PROMOTED, batching={"maxBatchSize": 32})
        await asyncio.to_thread(served.apply, third)
        candidate = await asyncio.to_thread(await_candidate, served)
        assert candidate not in (stable, overtaken)
        assert not await asyncio.to_thread(pods, served, overtaken, leaving=False)
        await asyncio.to_thread(command, served, "promote", NAME)
        await asyncio.to_thread(served.await_ready, NAME)
        await asyncio.to_thread(await_gone, served, stable)
    assert await asyncio.to_thread(current, served) == candidate
    assert load.answers[FIRST] > 0
    assert not load.failures, load.failures[:3]


def test_a_candidate_that_no_node_takes_goes_back_while_the_old_one_serves(served: Workplace) -> None:
    stable = current(served)
    greedy = {"requests": {"cpu": "64"}}
    served.apply(wanted(served, FIRST, {**rollouts.AT_ONCE, "progressDeadline": "10s"}, resources=greedy))
    condition = served.await_condition(NAME, "Stalled", "True", "InsufficientCapacity")
    assert "progressDeadline, 10s" in condition["message"]
    assert "cpu" in condition["message"]
    candidate = str(served.model(NAME)["status"]["candidateRevision"])
    await_gone(served, candidate)
    assert rejected(served, candidate)["reason"] == "InsufficientCapacity"
    assert current(served) == stable
    assert answers(served) == FIRST
    served.apply(wanted(served, FIRST, UNTIL_PROMOTED, batching={"maxBatchSize": 32}))
    served.await_ready(NAME)


def test_recreate_stops_the_old_set_before_it_starts_the_new_one(served: Workplace) -> None:
    before = current(served)
    served.apply(wanted(served, SECOND, {"strategy": "Recreate"}))
    told = await_rollout(served, lambda found: f"until the pods of {before} are gone" in found.get("message", ""), "")
    assert told["strategy"] == "Recreate"
    after = told["candidate"]
    assert not pods(served, after) or not pods(served, before)
    served.await_ready(NAME)
    assert current(served) == after
    assert not pods(served, before)
    assert answers(served) == SECOND
    assert rollout_of(served) == {}
    deployments = kubectl.get(served.namespace, "deployments")["items"]
    assert [item["metadata"]["name"] for item in deployments] == [after]
