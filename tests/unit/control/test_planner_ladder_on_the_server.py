"""Ladders whose rungs are judged by their servers' answers: a refused one is followed by the next, as offline."""

from __future__ import annotations

from typing import Any

from tests.support.models import a_spec, an_answer, condition, summary
from tests.support.world import ROLE, Ends, World, healthy, obliging
from tests.unit.control.rollouts import reached_by_traffic, set_rollout

RUNGS = [{"stages": [{"quantize": {"preset": preset}}]} for preset in ("W4A16", "W8A16")] + [{"stages": [{"fuse": {}}]}]
GATE = {"metric": "top1", "goal": "MaxDegradation", "value": 0.05, "measuredOn": "ServingRuntime"}
GOOD, BAD, WORSE = 0.98, 0.90, 0.70


def rung_of(world: World, item: dict[str, Any]) -> int:
    """Return which of RUNGS an object belongs to, from 0."""
    name = item["metadata"]["labels"]["modelpress.io/artifact"]
    spec = next(item["spec"] for item in world.of("ModelArtifact") if item["metadata"]["name"] == name)
    return [rung["stages"] for rung in RUNGS].index(spec["compression"]["stages"])


def answering(world: World, *top1: float) -> Any:
    """Have servers answer as right as `top1` has it for their rungs."""

    def script(job: dict[str, Any]) -> Any:
        if job["metadata"]["labels"][ROLE] != "ask":
            return obliging(job)
        return Ends(message=an_answer(job, top1[rung_of(world, job)]))

    return script


def a_world(*top1: float, **rollout: Any) -> World:
    """Return a world with a ladder that is judged on the server alone."""
    spec = a_spec(compression={"ladder": RUNGS}, rollout={"strategy": "BlueGreen", **rollout})
    spec["evaluation"]["gates"] = [GATE]
    world = World(spec)
    world.jobs = answering(world, *top1)
    return world


def made(world: World) -> list[str]:
    return [name for name in world.created if name.startswith("Job") and "resolve" not in name]


def served_rung(world: World) -> int:
    found = world.status["currentRevision"]
    return next(rung_of(world, item) for item in world.of("ModelRevision") if item["metadata"]["name"] == found)


def revision_of(world: World, rung: int) -> dict[str, Any]:
    return next(item for item in world.of("ModelRevision") if rung_of(world, item) == rung)


def test_a_rung_whose_server_does_not_keep_a_gate_is_followed_by_the_next() -> None:
    world = a_world(BAD, GOOD, GOOD)
    while world.round():
        said = summary(world.status) if "status" in world.model else {"Stalled": "False"}
        assert said["Stalled"].startswith("False"), "the next rung is due: nobody has to do anything"
    world.pass_time(60)
    assert (summary(world.status)["Ready"], served_rung(world)) == ("True/Serving", 1)
    assert world.status["compression"]["rung"] == 2
    assert "rejected" not in world.status
    refused = revision_of(world, 0)
    assert refused["status"]["rejected"]["reason"] == "GateFailed"
    assert refused["status"]["verification"]["figures"]["metrics"][0]["compressed"] == BAD
    assert not [name for name in world.created if name == f"Deployment team-a/{refused['metadata']['name']}"]
    told = "was refused: Asked before it got any request: top1 fell from 0.980 to 0.900"
    assert told in condition(world.status, "Accepted")["message"]
    (event,) = [message for _, reason, message in world.events if reason == "GateFailed"]
    assert told in event
    assert event.endswith("Rung 2 of 3 is next.")
    assert len(made(world)) == 4, "two are compressed, two are asked"
    assert [item for item in world.names("Deployment") if item.endswith("-verify")] == []


def test_what_served_before_serves_until_a_rung_has_passed_on_its_server() -> None:
    world = World(a_spec(compression={"stages": RUNGS[2]["stages"], "seed": 9}))
    world.settle()
    first = world.status["currentRevision"]
    world.jobs = answering(world, BAD, GOOD, GOOD)
    world.edit(lambda spec: spec.__setitem__("compression", {"ladder": RUNGS}))
    world.edit(lambda spec: spec["evaluation"]["gates"].append(GATE))
    seen = {first}
    while world.round():
        seen |= reached_by_traffic(world)
    world.pass_time(60)
    assert served_rung(world) == 1
    assert seen | reached_by_traffic(world) == {first, world.status["currentRevision"]}


def test_when_no_server_keeps_the_gates_every_rung_is_named_and_the_last_ones_answers_are_shown() -> None:
    world = a_world(WORSE, BAD, BAD)
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert summary(world.status)["Verified"] == "False/GateFailed"
    told = condition(world.status, "Ready")["message"]
    for part in ("Rung 1 (", "by 0.280", "Rung 2 (", "by 0.080", "Rung 3 (", "Nothing of it is served"):
        assert part in told
    assert world.status["rejected"]["message"] == told
    assert world.status["verification"]["revision"] == revision_of(world, 2)["metadata"]["name"]
    assert (len(made(world)), world.of("Pod", "serve")) == (6, [])
    assert (world.plan().events, world.plan().requeue_after) == ((), None)
    for plan in world.history:
        written = [write.reference for write in plan.status]
        assert len(written) == len(set(written))


def test_changed_gates_judge_the_rungs_answers_again_from_the_first_and_ask_nobody() -> None:
    world = a_world(WORSE, BAD, GOOD)
    world.pass_time(60)
    asked = made(world)
    for value, rung in ((0.2, 1), (0.4, 0), (0.05, 2)):
        world.edit(lambda spec, value=value: spec["evaluation"]["gates"][0].__setitem__("value", value))
        world.pass_time(60)
        assert (summary(world.status)["Ready"], served_rung(world)) == ("True/Serving", rung)
    assert made(world) == asked


def test_another_word_to_retry_asks_the_refused_rung_again() -> None:
    world = a_world(BAD, GOOD, GOOD)
    world.pass_time(60)
    world.jobs = answering(world, GOOD, GOOD, GOOD)
    set_rollout(world, retryToken="again")
    world.pass_time(60)
    assert (summary(world.status)["Ready"], served_rung(world)) == ("True/Serving", 0)


def test_a_gate_that_comes_later_sends_the_ladder_on_while_the_refused_rung_serves() -> None:
    world = a_world(BAD, GOOD, GOOD)
    world.edit(lambda spec: spec["evaluation"].__setitem__("gates", []))
    world.pass_time(60)
    assert served_rung(world) == 0
    first = world.status["currentRevision"]
    world.edit(lambda spec: spec["evaluation"].__setitem__("gates", [GATE]))
    while world.round():
        assert first in reached_by_traffic(world) or world.names("Deployment", "serve") != [first]
    world.pass_time(60)
    assert (reached_by_traffic(world), served_rung(world)) == ({world.status["currentRevision"]}, 1)
    assert revision_of(world, 0)["status"]["verification"]["figures"]


def test_a_pod_that_is_at_fault_itself_stops_the_ladder() -> None:
    world = a_world(GOOD, GOOD, GOOD)
    world.jobs = lambda job: Ends(139) if job["metadata"]["labels"][ROLE] == "ask" else obliging(job)
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/Crashed"
    assert len(world.of("ModelArtifact")) == 1


def test_history_keeps_what_refused_rungs_answered() -> None:
    world = a_world(BAD, GOOD, GOOD, revisionHistoryLimit=0)
    world.pass_time(60)
    refused = revision_of(world, 0)["metadata"]["name"]
    assert set(world.names("ModelRevision")) == {refused, world.status["currentRevision"]}


def test_an_operator_that_stops_anywhere_comes_to_the_same_rung() -> None:
    expected = a_world(BAD, GOOD, GOOD)
    expected.pass_time(60)
    for stopped in range(14):
        world = a_world(BAD, GOOD, GOOD)
        world.pods = healthy
        for _ in range(stopped):
            world.round()
        plan = world.plan()
        for cut in (type(plan)(apply=plan.apply[:1]), type(plan)(status=plan.status[:1])):
            world.carry_out(cut)
            world.run_controllers()
            world.restart_operator()
        world.pass_time(60)
        assert world.status["currentRevision"] == expected.status["currentRevision"], stopped
        assert len(made(world)) == len(made(expected)), stopped
