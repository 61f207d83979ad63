"""The order of a plan's writes, and what stops which of them. The door is a recording one."""

from __future__ import annotations

from typing import Any, cast

import pytest

from modelpress.api.base import API_VERSION
from modelpress.control.applying import Applier
from modelpress.control.carry_out import CarryOut
from modelpress.control.door import Door, NotWrittenError, OutdatedError
from modelpress.control.events import EventPoster
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Apply, Delete, EventNote, Observed, Plan, Problem, Reference, Scale, StatusWrite
from modelpress.control.sender import Answer, UnavailableError

KEY = Key("team", "digits")
MODEL = {
    "apiVersion": API_VERSION,
    "kind": "CompressedModel",
    "metadata": {"name": "digits", "namespace": "team", "uid": "m", "resourceVersion": "5", "generation": 1},
    "spec": {},
    "status": {"ready": True, "ratio": 1},
}
PODS = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "pods", "namespace": "team", "uid": "d", "resourceVersion": "6"},
    "spec": {},
}


class Recorder:
    """Stands in for door, applier and poster."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.calls: list[str] = []
        self.failure = failure

    async def apply(self, wish: Apply) -> Any:
        self.calls.append("apply")
        if self.failure is not None:
            raise self.failure
        return wish.manifest

    async def scale(self, _scale: Scale, _live: Any) -> int:
        self.calls.append("scale")
        return 7

    async def delete(self, _delete: Delete) -> int:
        self.calls.append("delete")
        return 8

    async def write(self, verb: str, path: str, **_: Any) -> Answer:
        self.calls.append(f"{verb} {path.rpartition('/')[2]}")
        return Answer(200, MODEL | {"metadata": MODEL["metadata"] | {"resourceVersion": "9"}})

    async def post(self, *_: Any) -> None:
        self.calls.append("events")


def carrier(recorder: Recorder) -> CarryOut:
    objects = Objects()
    objects.put(MODEL)
    objects.put(PODS)
    return CarryOut(cast(Door, recorder), cast(Applier, recorder), cast(EventPoster, recorder), objects)


def plan(**status: Any) -> Plan:
    pods = Reference.of(PODS)
    return Plan(
        apply=(Apply(PODS),),
        scale=(Scale(pods, 3),),
        delete=(Delete(pods, "d"),),
        status=(StatusWrite(Reference.of(MODEL), "m", "5", status or {"ready": False}),),
        events=(EventNote("Normal", "Ready", "Fine."),),
    )


async def test_writes_come_in_order_and_the_status_last() -> None:
    recorder = Recorder()
    outcome = await carrier(recorder).carry_out(KEY, plan(), Observed(MODEL))
    assert recorder.calls == ["apply", "scale", "delete", "events", "PUT status"]
    assert outcome.problems == {}
    assert outcome.seen[Reference.of(MODEL)] == 9


async def test_a_status_that_means_the_same_is_not_written() -> None:
    recorder = Recorder()
    await carrier(recorder).carry_out(KEY, plan(ready=True, ratio=1.0), Observed(MODEL))
    assert "PUT status" not in recorder.calls


async def test_after_a_problem_nothing_is_scaled_or_deleted_but_the_status_is_written() -> None:
    problem = Problem("NameConflict", "It is theirs.")
    recorder = Recorder(NotWrittenError(problem, 60.0))
    outcome = await carrier(recorder).carry_out(KEY, plan(), Observed(MODEL))
    assert recorder.calls == ["apply", "events", "PUT status"]
    assert outcome.problems == {Reference.of(PODS): problem}
    assert outcome.again_in == 60.0


async def test_old_knowledge_is_no_problem_but_asks_for_another_look() -> None:
    outcome = await carrier(Recorder(OutdatedError("old"))).carry_out(KEY, plan(), Observed(MODEL))
    assert outcome.problems == {}
    assert outcome.again_in is not None


async def test_a_mistake_of_the_operators_own_is_a_problem_and_not_the_end() -> None:
    outcome = await carrier(Recorder(KeyError("spec"))).carry_out(KEY, plan(), Observed(MODEL))
    assert [problem.reason for problem in outcome.problems.values()] == ["OperatorError"]


async def test_a_server_that_is_away_ends_the_round() -> None:
    with pytest.raises(UnavailableError):
        await carrier(Recorder(UnavailableError("away"))).carry_out(KEY, plan(), Observed(MODEL))


async def test_of_a_model_being_deleted_only_the_status_is_written() -> None:
    recorder = Recorder()
    dying = MODEL | {"metadata": MODEL["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}
    await carrier(recorder).carry_out(KEY, plan(), Observed(dying))
    assert recorder.calls == ["events", "PUT status"]
