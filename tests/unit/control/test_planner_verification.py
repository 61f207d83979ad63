"""A new version is asked before it gets requests, as a user lives through it."""

from __future__ import annotations

import pytest
from tests.support.models import a_spec, condition, summary
from tests.support.world import Hangs, World, obliging
from tests.unit.control.rollouts import (
    STRATEGIES,
    change,
    of,
    reached_by_traffic,
    set_rollout,
)
from tests.unit.control.verification import (
    FAST,
    GATE,
    SETS,
    answering,
    asked,
    demanding,
    verified_by,
    worse,
)

from modelpress.control.plan import Reference


def test_a_version_is_asked_in_a_pod_of_its_own_before_any_serving_pod_of_it_exists() -> None:
    world = demanding(GATE)
    old = world.status["currentRevision"]
    world.jobs = answering(lambda job: Hangs({"containerStatuses": [{"name": "ask", "state": {"running": {}}}]}))
    new = change(world, 7)
    assert verified_by(world) == {f"{kind} {new}-verify" for kind in SETS}
    assert asked(world, new) == [f"{new}-ask-1"]
    assert (of(world, new), reached_by_traffic(world)) == (0, {old})
    assert summary(world.status) == {
        "Ready": "False/Verifying",
        "Available": "True/Serving",
        "Reconciling": "True/Verifying",
        "Stalled": "False/Verifying",
        "Accepted": "True/GatesPassed",
        "Verified": "Unknown/Verifying",
        "Progressing": "True/Verifying",
    }
    pod = next(item for item in world.of("Pod", "verify"))
    for service in world.of("Service"):
        leads_there = service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert leads_there == (service["metadata"]["name"] == f"{new}-verify")
    world.jobs = obliging
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new
    assert verified_by(world) == set()
    assert world.of("Pod", "verify") == []
    assert condition(world.status, "Verified")["reason"] == "VerificationPassed"
    shown = world.status["verification"]
    assert (shown["revision"], shown["samples"], shown["gates"][0]["outcome"]) == (new, 10_000, "Pass")
    assert shown["latency"][0]["p50"] == 5.0
    assert "VerificationPassed" in [reason for _, reason, _ in world.events]


def test_models_without_such_gates_are_not_asked() -> None:
    world = World()
    world.settle()
    change(world, 7)
    world.pass_time(60)
    assert asked(world) == []
    assert not [name for name in world.created if "verify" in name]
    assert "verification" not in world.status


def test_the_first_version_is_asked_too() -> None:
    spec = a_spec()
    spec["evaluation"]["gates"] = [GATE]
    world = World(spec)
    world.jobs = worse(top1=0.5)
    world.settle()
    assert "currentRevision" not in world.status
    assert world.of("Pod", "serve") == []
    assert summary(world.status)["Verified"] == "False/GateFailed"
    assert condition(world.status, "Accepted")["message"] == (
        "Every gate is measured on the serving runtime: see Verified."
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_version_whose_answers_do_not_keep_a_gate_never_gets_a_request(strategy: str) -> None:
    world = demanding(GATE, **STRATEGIES[strategy])
    old = world.status["currentRevision"]
    world.jobs = worse(top1=0.90)
    new = change(world, 7)
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert summary(world.status)["Verified"] == "False/GateFailed"
    rejected = world.status["rejected"]["message"]
    assert f"{new} is not served: Asked before it got any request: top1 fell from 0.980 to 0.900" in rejected
    assert world.status["verification"]["gates"][0]["outcome"] == "Fail"
    assert world.names("Deployment") == [old]
    assert not [name for name in world.created if name in (f"Deployment team-a/{new}", f"Service team-a/{new}")]
    assert asked(world, new) == [f"{new}-ask-1"], "it is not asked again by itself"


def test_changed_gates_judge_the_same_answers_again_and_ask_nobody() -> None:
    world = demanding(GATE)
    world.jobs = worse(top1=0.90)
    new = change(world, 7)
    world.edit(lambda spec: spec["evaluation"]["gates"][1].__setitem__("value", 0.2))
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new
    assert asked(world, new) == [f"{new}-ask-1"]
    told = [message for _, reason, message in world.events if reason == "VerificationPassed"]
    assert sum(message.startswith(new) for message in told) == 1, "it is told all the same"


def test_latency_of_the_server_is_judged_by_itself() -> None:
    world = demanding(FAST)
    world.jobs = worse(milliseconds=11.0)
    change(world, 7)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert "latency is 11.00 ms; at most 10.00 ms is allowed" in world.status["rejected"]["message"]


def test_too_little_test_data_amounts_to_what_the_gate_says() -> None:
    world = demanding({**GATE, "value": 0.01})
    world.jobs = worse(top1=0.97)
    new = change(world, 7)
    assert summary(world.status)["Stalled"] == "True/GateInconclusive"
    world.edit(lambda spec: spec["evaluation"]["gates"][1].__setitem__("onInconclusive", "Pass"))
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_a_version_that_is_overtaken_while_it_is_asked_leaves_nothing_behind() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs())
    second = change(world, 7)
    third = change(world, 8)
    assert verified_by(world) == {f"{kind} {third}-verify" for kind in SETS}
    assert asked(world, second) == []
    world.jobs = obliging
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == third
    assert verified_by(world) == set()


def test_going_back_to_what_serves_ends_the_questions() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs())
    change(world, 7)
    world.edit(lambda spec: spec["compression"].pop("seed"))
    world.settle()
    assert verified_by(world) == set()
    assert summary(world.status)["Ready"] == "True/Serving"


def test_an_aborted_version_is_asked_no_more() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs())
    new = change(world, 7)
    set_rollout(world, action={"revision": new, "do": "Abort"})
    world.settle()
    assert summary(world.status)["Stalled"] == "True/Aborted"
    assert verified_by(world) == set()


def test_nothing_is_asked_while_the_rollout_is_paused() -> None:
    world = demanding(GATE)
    set_rollout(world, paused=True)
    new = change(world, 7)
    assert summary(world.status)["Ready"] == "False/Paused"
    assert asked(world, new) == []
    assert verified_by(world) == set()
    set_rollout(world, paused=None)
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_a_pinned_version_is_not_kept_waiting() -> None:
    world = demanding(GATE)
    old = world.status["currentRevision"]
    change(world, 7)
    world.pass_time(60)
    world.jobs = answering(lambda job: Hangs())
    set_rollout(world, pinRevision=old)
    world.edit(lambda spec: spec["evaluation"]["metrics"].append({"name": "same", "type": "agreement"}))
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == old


def test_gates_that_come_later_are_asked_of_what_serves_and_take_nothing_down() -> None:
    world = World()
    world.settle()
    old = world.status["currentRevision"]
    world.jobs = worse(top1=0.5)
    world.edit(lambda spec: spec["evaluation"]["gates"].append(GATE))
    world.settle()
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert summary(world.status)["Available"] == "True/Serving"
    assert (reached_by_traffic(world), of(world, old)) == ({old}, 1)
    world.pass_time(3600)
    assert asked(world) == [f"{old}-ask-1"]


def test_an_operator_that_forgets_everything_while_a_version_is_asked_goes_on() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs())
    new = change(world, 7)
    revision = world.objects[Reference("modelpress.io/v1alpha1", "ModelRevision", "team-a", new)]
    revision.pop("status")
    world.jobs = obliging
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new
    assert asked(world, new) == [f"{new}-ask-1"]
