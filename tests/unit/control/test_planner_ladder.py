"""Ladders: recipes that are tried in order, until the gates let the result of one pass."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import a_failure, a_publication, a_resolution, a_spec, condition, summary
from tests.support.world import ROLE, Ends, Hangs, Script, World

RUNGS = [{"stages": [{"quantize": {"preset": preset}}]} for preset in ("W4A16", "W8A16")] + [{"stages": [{"fuse": {}}]}]
GOOD, BAD, WORSE = (Ends(message=a_publication(top1=top1)) for top1 in (0.98, 0.90, 0.70))
IMPOSSIBLE = Ends(10, a_failure("RecipeInvalid", "W4A16 does not fit."), container="compress")
AWAY = Ends(20, a_failure("StoreUnavailable"), container="fetch")


def a_ladder(**more: Any) -> dict[str, Any]:
    return a_spec(compression={"ladder": RUNGS}, **more)


def rung_of(world: World, job: dict[str, Any]) -> int:
    """Return which of RUNGS a Job works on, from 0."""
    name = job["metadata"]["labels"]["modelpress.io/artifact"]
    spec = next(item["spec"] for item in world.of("ModelArtifact") if item["metadata"]["name"] == name)
    return [rung["stages"] for rung in RUNGS].index(spec["compression"]["stages"])


def by_rung(world: World, *outcomes: Ends | Hangs) -> Script:
    """Return a script by which resolving works and a Job ends as the rung it works on has it in `outcomes`."""

    def script(job: dict[str, Any]) -> Ends | Hangs:
        if job["metadata"]["labels"][ROLE] == "resolve":
            return Ends(message=a_resolution())
        return outcomes[rung_of(world, job)]

    return script


def a_world(*outcomes: Ends | Hangs, **spec: Any) -> World:
    world = World(a_ladder(**spec))
    world.jobs = by_rung(world, *outcomes)
    return world


def serving_on(*outcomes: Ends | Hangs) -> World:
    world = a_world(*outcomes)
    world.pass_time(60)
    assert summary(world.status)["Ready"] == "True/Serving"
    return world


def set_gate(value: float) -> Any:
    return lambda spec: spec["evaluation"]["gates"][0].__setitem__("value", value)


def set_recipe(**compression: Any) -> Any:
    return lambda spec: spec.__setitem__("compression", compression)


def made(world: World) -> list[str]:
    return [name for name in world.created if name.startswith("Job") and "resolve" not in name]


def served_stages(world: World) -> Any:
    """Return the recipe of what answers."""
    name = world.status["currentRevision"]
    artifact = next(item for item in world.of("ModelRevision") if item["metadata"]["name"] == name)["spec"]["artifact"]
    spec = next(item for item in world.of("ModelArtifact") if item["metadata"]["name"] == artifact)["spec"]
    return spec["compression"]["stages"]


def test_the_first_rung_that_passes_is_served_and_no_other_is_tried() -> None:
    world = serving_on(GOOD, BAD, BAD)
    assert served_stages(world) == RUNGS[0]["stages"]
    assert world.status["compression"]["rung"] == 1
    assert len(world.of("ModelArtifact")) == len(made(world)) == 1
    assert condition(world.status, "Accepted")["message"].startswith("Rung 1 of 3 passed: top1 stayed at 0.980")
    assert [reason for _, reason, _ in world.events] == ["Resolved", "Compressed", "GatesPassed", "RolledOut"]


def test_a_rung_whose_gates_fail_is_followed_by_the_next() -> None:
    world = serving_on(BAD, GOOD, BAD)
    assert served_stages(world) == RUNGS[1]["stages"]
    assert world.status["compression"]["rung"] == 2
    assert world.status["compression"]["accuracyText"] == "0.980 (+0.000)"
    assert "rejected" not in world.status
    told = condition(world.status, "Accepted")["message"]
    first = next(item["metadata"]["name"] for item in world.of("ModelArtifact") if item["spec"]["key"][:10] in told)
    assert f"Rung 1 ({first}) was refused: top1 fell from 0.980 to 0.900 (by 0.080" in told
    (event,) = [message for kind, reason, message in world.events if (kind, reason) == ("Warning", "GateFailed")]
    assert event.endswith("Rung 2 of 3 is next.")
    assert len(made(world)) == 2


def test_while_the_next_rung_is_tried_it_is_said_which_and_why() -> None:
    world = a_world(BAD, Hangs(), GOOD)
    world.settle()
    told = condition(world.status, "Ready")
    assert told["reason"] == "Compressing"
    assert told["message"].startswith("Rung 2 of 3: A Job compresses and measures. Rung 1 (")
    assert "top1 fell from 0.980 to 0.900" in told["message"]
    assert world.status["compression"]["rung"] == 1, "what was measured last"
    assert world.status["compression"]["gates"][0]["outcome"] == "Fail"
    (job,) = [job for job in world.of("Job", "compress") if rung_of(world, job) == 1]
    world.progress = {job["metadata"]["name"]: {"stage": "quantize", "fraction": 0.5}}
    world.settle()
    assert world.status["progress"]["job"] == job["metadata"]["name"]


@pytest.mark.parametrize("reason", ["RecipeInvalid", "StageFailed", "TrainingDiverged", "OutOfMemory"])
def test_a_recipe_that_is_impossible_is_followed_by_the_next(reason: str) -> None:
    world = serving_on(Ends(10, a_failure(reason, "It cannot be."), container="compress"), GOOD, BAD)
    assert served_stages(world) == RUNGS[1]["stages"]
    told = condition(world.status, "Accepted")["message"]
    assert told.endswith("was refused: It cannot be."), "without advice on a retry that nobody needs"


@pytest.mark.parametrize("reason", ["EntrypointFailed", "DataLeak", "LabelsOutOfRange"])
def test_what_every_rung_would_meet_is_met_once(reason: str) -> None:
    world = a_world(*[Ends(10, a_failure(reason, "It is wrong."), container="compress")] * 3)
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == f"True/{reason}"
    assert condition(world.status, "Ready")["message"].startswith("Rung 1 of 3: It is wrong.")
    assert len(made(world)) == 1


def test_when_all_fail_every_rung_is_named_with_what_it_failed_by() -> None:
    world = a_world(WORSE, BAD, IMPOSSIBLE)
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert summary(world.status)["Accepted"] == "False/GateFailed"
    told = condition(world.status, "Ready")["message"]
    for part in ("Rung 1 (", "by 0.280", "Rung 2 (", "by 0.080", "Rung 3 (", "W4A16 does not fit.", "Nothing of it is"):
        assert part in told
    assert world.status["rejected"]["message"] == told
    assert world.status["compression"]["rung"] == 2, "the last that was measured"
    assert len(made(world)) == 3
    assert [reason for kind, reason, _ in world.events if kind == "Warning"] == ["GateFailed"] * 3
    assert (world.plan().events, world.plan().requeue_after) == ((), None)


def test_when_no_rung_can_be_made_the_reason_is_that_of_the_last() -> None:
    world = a_world(IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE)
    world.settle()
    assert summary(world.status)["Stalled"] == "True/RecipeInvalid"


def test_a_looser_gate_is_passed_by_the_first_rung_in_order_without_any_job() -> None:
    world = serving_on(WORSE, BAD, GOOD)
    jobs = made(world)
    world.edit(set_gate(0.2))
    world.pass_time(60)
    assert served_stages(world) == RUNGS[1]["stages"]
    world.edit(set_gate(0.4))
    world.pass_time(60)
    assert served_stages(world) == RUNGS[0]["stages"]
    world.edit(set_gate(0.05))
    world.pass_time(60)
    assert served_stages(world) == RUNGS[2]["stages"]
    assert made(world) == jobs


def test_a_gate_loosened_while_the_next_rung_is_made_stops_that() -> None:
    world = a_world(BAD, Hangs(), GOOD)
    world.settle()
    world.edit(set_gate(0.2))
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"
    assert served_stages(world) == RUNGS[0]["stages"]
    assert [rung_of(world, job) for job in world.of("Job", "compress")] == [0]


def test_other_test_data_has_the_rungs_measured_again_in_order_and_none_compressed() -> None:
    world = serving_on(BAD, GOOD, GOOD)
    artifacts, first = world.names("ModelArtifact"), world.status["currentRevision"]

    def measured(job: dict[str, Any]) -> Ends:
        if job["metadata"]["labels"][ROLE] == "resolve":
            return Ends(message=a_resolution(test="other"))
        assert job["metadata"]["labels"][ROLE] == "evaluate"
        return (BAD, GOOD)[rung_of(world, job)]

    world.jobs = measured
    world.edit(lambda spec: spec["evaluation"].__setitem__("test", {"uri": "s3://data/other.npz"}))
    while world.round():
        assert world.status["currentRevision"] == first
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.names("ModelArtifact") == artifacts


def test_what_served_before_serves_until_a_rung_has_passed_and_answers() -> None:
    world = World(a_spec(compression={"stages": RUNGS[2]["stages"], "seed": 9}))
    world.settle()
    first = world.status["currentRevision"]
    world.jobs = by_rung(world, BAD, WORSE, WORSE)
    world.edit(set_recipe(ladder=RUNGS))
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert summary(world.status)["Available"] == "True/Serving"
    assert world.status["currentRevision"] == first
    assert world.names("Deployment") == [first]


def test_the_same_recipe_is_the_same_artifact_in_a_ladder_and_as_stages() -> None:
    world = serving_on(BAD, GOOD, GOOD)
    revision, jobs = world.status["currentRevision"], made(world)
    world.edit(set_recipe(stages=RUNGS[1]["stages"]))
    world.pass_time(60)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.status["currentRevision"] == revision
    assert "rung" not in world.status["compression"]
    assert condition(world.status, "Accepted")["message"].startswith("top1 stayed")
    world.edit(set_recipe(ladder=RUNGS))
    world.pass_time(60)
    assert (world.status["currentRevision"], world.status["compression"]["rung"]) == (revision, 2)
    assert made(world) == jobs


def test_from_one_ladder_to_another_and_back_nothing_is_made_twice() -> None:
    world = serving_on(BAD, GOOD, GOOD)
    revision, jobs = world.status["currentRevision"], made(world)
    world.edit(set_recipe(ladder=[RUNGS[2], RUNGS[1]]))
    world.pass_time(60)
    assert served_stages(world) == RUNGS[2]["stages"]
    assert len(made(world)) == len(jobs) + 1
    world.edit(set_recipe(ladder=RUNGS))
    world.pass_time(60)
    assert world.status["currentRevision"] == revision
    assert len(made(world)) == len(jobs) + 1


def test_a_ladder_changed_while_a_rung_is_made_stops_that_and_takes_what_is_there() -> None:
    world = a_world(BAD, Hangs(), GOOD)
    world.settle()
    world.edit(set_recipe(ladder=[RUNGS[0], RUNGS[2]]))
    world.pass_time(60)
    assert served_stages(world) == RUNGS[2]["stages"]
    assert world.status["compression"]["rung"] == 2
    assert sorted(rung_of(world, job) for job in world.of("Job", "compress")) == [0, 2]


def test_a_store_that_is_away_while_a_rung_is_made_is_waited_for_and_no_reason_to_go_on() -> None:
    world = a_world(BAD, AWAY, GOOD)
    world.pass_time(1500)
    assert summary(world.status)["Reconciling"] == "True/StoreUnavailable"
    assert condition(world.status, "Ready")["message"].startswith("Rung 2 of 3: ")
    assert len(world.of("ModelArtifact")) == 2
    world.jobs = by_rung(world, BAD, GOOD, GOOD)
    world.pass_time(400)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert served_stages(world) == RUNGS[1]["stages"]


def test_suspending_stops_before_the_next_rung_and_resuming_goes_on_there() -> None:
    world = a_world(Hangs(), GOOD, GOOD)
    world.settle()
    world.edit(lambda spec: spec.__setitem__("suspend", True))
    world.jobs = by_rung(world, BAD, GOOD, GOOD)
    world.settle()
    assert condition(world.status, "Ready")["reason"] == "Suspended"
    assert condition(world.status, "Ready")["message"].startswith("Rung 2 of 3: spec.suspend is set")
    assert len(world.of("ModelArtifact")) == 1
    world.edit(lambda spec: spec.pop("suspend"))
    world.pass_time(60)
    assert served_stages(world) == RUNGS[1]["stages"]


def test_the_retry_token_has_impossible_rungs_tried_and_refused_ones_measured_again() -> None:
    world = a_world(IMPOSSIBLE, BAD, BAD)
    world.settle()
    world.jobs = by_rung(world, IMPOSSIBLE, GOOD, BAD)
    world.edit(lambda spec: spec["rollout"].__setitem__("retryToken", "again"))
    world.pass_time(60)
    assert served_stages(world) == RUNGS[1]["stages"]
    assert len(made(world)) == 5, "one more attempt at rung 1, one more measurement of rung 2"


def test_history_takes_no_rung_of_the_spec_and_all_others_in_their_turn() -> None:
    world = World(a_ladder(rollout={"strategy": "BlueGreen", "revisionHistoryLimit": 1}))
    world.jobs = by_rung(world, BAD, BAD, GOOD)
    world.pass_time(60)
    world.edit(set_gate(0.2))
    world.pass_time(60)
    rungs = world.names("ModelArtifact")
    assert len(rungs) == 3, "the third, which is not even wanted now, may be again"
    world.jobs = lambda job: Ends(message=a_resolution()) if job["metadata"]["labels"][ROLE] == "resolve" else GOOD
    for seed in range(3):
        world.edit(set_recipe(stages=[{"fuse": {}}], seed=seed + 1))
        world.pass_time(60)
    assert len(set(world.names("ModelArtifact")) & set(rungs)) == 0
    assert len(world.names("ModelArtifact")) == 2


def test_rungs_that_say_the_same_are_made_once() -> None:
    world = World(a_spec(compression={"ladder": [RUNGS[0], RUNGS[0] | {}, RUNGS[2]]}))
    world.jobs = by_rung(world, BAD, BAD, GOOD)
    world.pass_time(60)
    assert world.status["compression"]["rung"] == 3
    assert len(made(world)) == 2
    for plan in world.history:
        written = [write.reference for write in plan.status]
        assert len(written) == len(set(written))


def outcomes_of(world: World) -> tuple[Any, ...]:
    status = world.status
    return (
        status["currentRevision"],
        status["compression"]["rung"],
        summary(status),
        sorted(made(world)),
        sorted(set(world.events)),
    )


def test_an_operator_that_stops_anywhere_comes_to_the_same_end() -> None:
    """A round is cut short after each number of writes; the next operator begins with what is there."""
    expected = outcomes_of(serving_on(IMPOSSIBLE, BAD, GOOD))
    for stopped in range(12):
        world = a_world(IMPOSSIBLE, BAD, GOOD)
        for _ in range(stopped):
            world.round()
        plan = world.plan()
        first = type(plan)(apply=plan.apply[:1])
        for cut in (first, type(plan)(apply=plan.apply, delete=plan.delete), type(plan)(status=plan.status[:1])):
            world.carry_out(cut)
            world.run_controllers()
            world.restart_operator()
        world.pass_time(60)
        assert outcomes_of(world)[:4] == expected[:4], stopped
