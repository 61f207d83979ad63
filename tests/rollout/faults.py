"""What sends a candidate back; each case returns the reasons of which one is told: that which is seen first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kubectl
from tests.e2e.rollouts import SHORT, SHORT_LACKS, a_pod
from tests.rollout.bad_versions import ERRATIC, OTHERWISE_NAMED
from tests.rollout.stage import FINAL, IN_PLACE, RECREATE, STRATEGIES, Stage
from tests.support import node

Fault = Callable[[Stage], Awaitable[tuple[str, ...]]]


async def aborted(stage: Stage) -> tuple[str, ...]:
    await stage.half_way()
    stage.happens()
    await stage.apply(stage.second, {"action": {"revision": stage.candidate, "do": "Abort"}})
    return ("Aborted",)


async def no_room(stage: Stage) -> tuple[str, ...]:
    stage.happens()
    await stage.apply(stage.second, {"progressDeadline": "10s"}, resources={"requests": {"cpu": "64"}})
    return ("InsufficientCapacity",)


async def other_answers_than_its_judge_got(stage: Stage) -> tuple[str, ...]:
    await stage.begins(ERRATIC)
    stage.happens()
    return ("AnswersDiffer",)


async def fast_and_wrong(stage: Stage) -> tuple[str, ...]:
    """It reproduces what its judge got, and answers the test data otherwise than what serves."""
    stage.happens()
    await stage.apply(stage.second, {"analysis": {"disagreement": {"max": 0.02}}})
    return ("Disagreement",)


async def triton_crashes(stage: Stage) -> tuple[str, ...]:
    """In place, that of a pod that holds both versions: its agent or its node tells first."""
    await stage.half_way()
    stage.happens()
    if stage.strategy == IN_PLACE:
        pod = await asyncio.to_thread(kubectl.get, stage.workplace.namespace, "pod", stage.a_pod)
    else:
        pod = await asyncio.to_thread(a_pod, stage.workplace, stage.candidate)
    await asyncio.to_thread(node.kill, pod, node.TRITON)
    return ("CandidateUnhealthy", "InPlaceIncompatible") if stage.strategy == IN_PLACE else ("CandidateUnhealthy",)


async def fails_once_it_is_asked_for_more(stage: Stage) -> tuple[str, ...]:
    """SHORT answers all of the test data, and lacks what clients begin to ask for."""
    await stage.half_way(SHORT, {"analysis": {"minRequests": 20}})
    stage.happens(SHORT_LACKS, fails=SHORT)
    return ("AnalysisFailed",)


async def fails_from_its_first_request(stage: Stage) -> tuple[str, ...]:
    stage.happens(SHORT_LACKS, fails=SHORT)
    await stage.apply(SHORT, {"analysis": {"minRequests": 20}})
    await stage.fails()
    stage.happens()
    return ("AnalysisFailed",)


async def right_and_slow(stage: Stage) -> tuple[str, ...]:
    """Each request waits for others to join it for longer than the old version takes in all."""
    return await _makes_wait(stage, {"maxLatencyIncrease": 0.5}, batch=64)


async def requests_queue(stage: Stage) -> tuple[str, ...]:
    return await _makes_wait(stage, {"maxQueueTime": "150ms"}, batch=128)


async def _makes_wait(stage: Stage, limit: Mapping[str, Any], batch: int) -> tuple[str, ...]:
    limits = {"minRequests": 20, **limit, "onInconclusive": "Pause"}
    batching = {"maxBatchSize": batch, "maxQueueDelay": "400ms"}
    await stage.apply(stage.second, {"steps": [FINAL], "analysis": limits}, batching=batching)
    await stage.answers(stage.second)
    stage.happens()
    return ("AnalysisFailed",)


async def served_otherwise(stage: Stage) -> tuple[str, ...]:
    """Pods that are there stay as they are."""
    stage.happens()
    await stage.apply(stage.second, batching={"maxBatchSize": 16})
    return ("InPlaceIncompatible",)


async def other_tensors(stage: Stage) -> tuple[str, ...]:
    """The versions of a model in one Triton share one configuration."""
    await stage.begins(OTHERWISE_NAMED)
    stage.happens()
    return ("InPlaceIncompatible",)


FAULTS: tuple[tuple[str, Fault], ...] = (
    *((IN_PLACE, fault) for fault in (triton_crashes, served_otherwise, other_tensors)),
    *((strategy, fault) for fault in (aborted, other_answers_than_its_judge_got) for strategy in STRATEGIES),
    *((strategy, no_room) for strategy in ("Canary", "BlueGreen", RECREATE)),
    ("Canary", right_and_slow),
    ("Canary", requests_queue),
    ("Canary", fast_and_wrong),
)
"""Only a canary has requests while it is a candidate, and is judged by them; in place no room is needed."""
IN_SECONDS: tuple[Fault, ...] = (triton_crashes, fails_once_it_is_asked_for_more, fails_from_its_first_request)
"""Faults of a canary after which seconds are counted: all else takes as many requests as tell."""
HURTS = IN_SECONDS
"""Faults by which requests fail."""
ASKED = (*IN_SECONDS, aborted, right_and_slow, requests_queue)
"""Faults of a canary that has had requests."""
