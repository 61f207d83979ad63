"""New versions take over, or go back, on the real cluster, under load: nobody decides but the operator."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.e2e import rollouts
from tests.e2e.rollouts import (
    FIRST,
    NAME,
    SECOND,
    SHORT,
    SHORT_LACKS,
    await_gone,
    await_rollout,
    current,
    keepers,
    pods,
    question,
    rejected,
    wanted,
    waves,
)
from tests.support.waves import LastGrowth
from tests.support.workplace import Workplace

STEPS = [{"weight": 10, "pause": "6s"}, {"weight": 50, "pause": "6s"}]
ANALYSIS = {"minRequests": 20, "onInconclusive": "Pause"}
CANARY = {"strategy": "Canary", "steps": STEPS, "analysis": ANALYSIS, "scaleDownDelay": "0s"}
ANALYSIS_SECONDS, ALLOWED_SECONDS = 5, 5
"""The operator reads counters once in the one; beyond that, so long may a bad candidate answer."""


@pytest.fixture(scope="module")
def served(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The first version, Ready."""
    rollouts.upload(workplace, tmp_path_factory.mktemp(NAME))
    workplace.apply(wanted(workplace, FIRST))
    workplace.await_ready(NAME, seconds=600)
    return workplace


async def test_a_canary_under_load_takes_over_step_by_step_and_tells_its_story(served: Workplace) -> None:
    await _promotes_itself(served)
    told = [(reason, message) for reason, message in served.events(NAME) if reason != "Starting"]
    for reason, words in (
        ("RollingOut", "Step 1 of 2"),
        ("WeightCoarse", "asks for 10 % and gets 50 %"),
        ("AnalysisPassed", "Step 1 is over"),
        ("RollingOut", "Step 2 of 2"),
        ("AnalysisPassed", "Step 2 is over"),
        ("RolledOut", current(served)),
    ):
        assert any(given == reason and words in message for given, message in told), (reason, words, told)


async def _promotes_itself(served: Workplace) -> None:
    before = await asyncio.to_thread(current, served)
    seen: list[dict[str, Any]] = []
    async with keepers(served) as kept, waves(served) as load:
        await load.until(lambda answers: answers[FIRST] > 0)
        await asyncio.to_thread(served.apply, wanted(served, SECOND, CANARY))
        for step in (1, 2):
            seen.append(
                await asyncio.to_thread(
                    await_rollout, served, lambda found, step=step: found.get("step") == step, f"step {step}"
                )
            )
        await load.until(lambda answers: answers[FIRST] > 0 and answers[SECOND] > 0)
        await asyncio.to_thread(served.await_ready, NAME)
        await asyncio.to_thread(await_gone, served, before)
        await load.until(lambda answers: answers[SECOND] > 10)
        last = load.answers
    assert (load.answers - last)[FIRST] == 0
    assert not load.failures, load.failures[:3]
    assert kept.http.clean, str(kept.http)
    assert kept.grpc.clean, str(kept.grpc)
    assert [(found["weightWanted"], found["steps"]) for found in seen] == [(10, 2), (50, 2)]
    assert seen[0]["weightReached"] == 50  # by pods; 25 to 75 by what they were asked
    assert 25 <= seen[1]["weightReached"] <= 75
    print(f"{load.sent + kept.http.sent + kept.grpc.sent} requests, {dict(load.answers)}, none lost")


@pytest.mark.long  # it asserts seconds, which a machine must have to itself
async def test_a_canary_that_begins_to_fail_goes_back_by_itself_within_seconds(served: Workplace) -> None:
    """The candidate lacks rows; clients begin to ask for them when it has its share already."""
    stable = await asyncio.to_thread(current, served)
    lasting = [{"weight": 50, "pause": "10m"}]
    async with waves(served) as load:
        await asyncio.to_thread(served.apply, wanted(served, SHORT, {**CANARY, "steps": lasting}))
        await load.until(lambda answers: answers[SHORT] > 20, seconds=180)
        candidate = (await asyncio.to_thread(served.model, NAME))["status"]["candidateRevision"]
        assert not load.failures, load.failures[:3]
        load.question, injected = question(SHORT_LACKS), time.monotonic()
        async with keepers(served, SHORT_LACKS) as kept:
            lost = LastGrowth(lambda: len(kept.http.failures) + len(kept.grpc.failures))
            async with LastGrowth(lambda: len(load.failures)) as failed, lost:
                await asyncio.to_thread(served.await_condition, NAME, "Stalled", "True", "AnalysisFailed")
                await asyncio.to_thread(await_gone, served, candidate)
                await load.until(lambda answers: answers[SECOND] > 10)
    assert failed.at is not None
    assert lost.at is not None
    new, old = failed.at - injected, lost.at - injected
    print(f"the bad candidate answered new connections for {new:.1f} s, kept ones for {old:.1f} s")
    reason = await asyncio.to_thread(rejected, served, candidate)
    assert reason["reason"] == "AnalysisFailed"
    assert "of" in reason["message"] and "requests" in reason["message"], reason
    assert any(given == "AnalysisFailed" and "requests" in said for given, said in served.events(NAME))
    assert await asyncio.to_thread(current, served) == stable
    assert served.conditions(NAME)["Available"]["status"] == "True"
    assert new <= ANALYSIS_SECONDS + ALLOWED_SECONDS
    assert old <= ANALYSIS_SECONDS + ALLOWED_SECONDS


@pytest.mark.long  # as that one does
async def test_an_old_set_that_stays_takes_over_again_at_once(served: Workplace) -> None:
    lasting = {"strategy": "BlueGreen", "scaleDownDelay": "10m"}
    await asyncio.to_thread(served.apply, wanted(served, SECOND, lasting))
    await asyncio.to_thread(served.await_ready, NAME)
    second = await asyncio.to_thread(current, served)
    before = await asyncio.to_thread(pods, served, second)
    async with waves(served) as load:
        await asyncio.to_thread(served.apply, wanted(served, FIRST, lasting))
        await asyncio.to_thread(served.await_ready, NAME)
        first = await asyncio.to_thread(current, served)
        await load.until(lambda answers: answers[FIRST] > 10 and not answers[SECOND])
        returned = time.monotonic()
        await asyncio.to_thread(served.apply, wanted(served, SECOND, lasting))
        await load.until(lambda answers: answers[SECOND] > 0, seconds=10)
        took = time.monotonic() - returned
        await asyncio.to_thread(served.await_ready, NAME)
    print(f"the first answer of the set that stayed came after {took:.1f} s")
    assert not load.failures, load.failures[:3]
    assert await asyncio.to_thread(pods, served, second) == before
    assert await asyncio.to_thread(pods, served, first)
    await asyncio.to_thread(served.apply, wanted(served, SECOND))
    await asyncio.to_thread(await_gone, served, first)
