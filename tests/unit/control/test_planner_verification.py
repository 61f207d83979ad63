"""A new version is asked before it gets requests, as a user lives through it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.models import a_failure, a_spec, an_answer, condition, summary
from tests.support.world import ROLE, Ends, Hangs, World, healthy, obliging
from tests.unit.control.rollouts import (
    STRATEGIES,
    change,
    differing,
    of,
    only,
    reached_by_traffic,
    restarted,
    set_rollout,
    starting,
    unschedulable,
)

from modelpress.control.plan import Reference

GATE = {"metric": "top1", "goal": "MaxDegradation", "value": 0.05, "measuredOn": "ServingRuntime"}
FAST = {"metric": "latency", "goal": "Threshold", "value": 10, "measuredOn": "ServingRuntime"}
DISAGREEMENT = {"strategy": "Canary", "analysis": {"disagreement": {"max": 0.02}}}
SETS = ("ConfigMap", "Deployment", "NetworkPolicy", "Service")


def demanding(*gates: dict[str, Any], **rollout: Any) -> World:
    """Return a world in which the first version serves, and gates are to be kept on the serving runtime."""
    spec = a_spec(rollout=rollout or {"strategy": "BlueGreen"})
    spec["evaluation"]["gates"] = [*spec["evaluation"]["gates"], *copy.deepcopy(gates)]
    world = World(spec)
    world.settle()
    assert world.status["currentRevision"]
    return world


def answering(reply: Callable[[dict[str, Any]], Ends | Hangs]) -> Callable[[dict[str, Any]], Ends | Hangs]:
    """Have Jobs that ask end as `reply` says, and all others succeed."""
    return lambda job: reply(job) if job["metadata"]["labels"][ROLE] == "ask" else obliging(job)


def worse(**figures: Any) -> Callable[[dict[str, Any]], Ends | Hangs]:
    return answering(lambda job: Ends(message=an_answer(job, **figures)))


def verified_by(world: World) -> set[str]:
    """Return the names of the objects that verify a revision, pods and Jobs aside."""
    return {f"{kind} {name}" for kind in SETS for name in world.names(kind) if name.endswith("-verify")}


def asked(world: World, revision: str = "") -> list[str]:
    """Return the Jobs that ask a revision, or any."""
    return [name for name in world.names("Job", "ask") if name.startswith(revision)]


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


def test_another_word_to_retry_asks_again() -> None:
    world = demanding(GATE)
    world.jobs = worse(top1=0.90)
    new = change(world, 7)
    world.jobs = obliging
    set_rollout(world, retryToken="again")
    world.settle()
    world.pass_time(60)
    assert asked(world, new)[-1] == f"{new}-ask-2"
    assert world.status["currentRevision"] == new


def verify_pods(bad: Any) -> Any:
    """Have pods that are verified be `bad`, and all others healthy."""
    return lambda item, index: (bad if item["metadata"]["name"].endswith("-verify") else healthy)(item, index)


def test_a_word_to_retry_that_comes_while_a_pod_is_about_to_fail_gets_another_try() -> None:
    world = demanding(GATE)
    world.pods = verify_pods(starting)
    new = change(world, 7)
    world.pods = verify_pods(differing)
    set_rollout(world, retryToken="again")
    world.run_controllers()
    world.round()
    assert summary(world.status)["Stalled"] == "True/AnswersDiffer"
    world.pods = healthy
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_a_word_to_retry_that_comes_while_a_pod_is_asked_gets_another_try() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs())
    new = change(world, 7)
    set_rollout(world, retryToken="again")
    world.settle()
    assert asked(world, new) == [f"{new}-ask-1"], "what is under way is not begun anew"
    world.jobs = answering(lambda job: Ends(10, a_failure("EvaluationFailed")))
    world.run_controllers()
    world.jobs = obliging
    world.settle()
    world.pass_time(60)
    assert asked(world, new)[-1] == f"{new}-ask-2"
    assert world.status["currentRevision"] == new


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


def test_test_data_that_is_gone_is_waited_for_and_rejects_nobody() -> None:
    world = demanding(GATE)
    old = world.status["currentRevision"]
    world.jobs = answering(lambda job: Ends(10, a_failure("DatasetNotFound"), container="fetch"))
    new = change(world, 7)
    world.pass_time(3600)
    assert summary(world.status)["Reconciling"] == "True/DatasetNotFound"
    assert "rejected" not in world.status
    assert (world.status["currentRevision"], reached_by_traffic(world)) == (old, {old})
    assert len(asked(world, new)) <= 2, "Jobs that are noted go"
    world.jobs = obliging
    world.pass_time(400)
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_no_room_is_held_while_the_next_attempt_is_waited_for() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Ends(20, a_failure("StoreUnavailable"), container="fetch"))
    change(world, 7)
    assert summary(world.status)["Reconciling"] == "True/StoreUnavailable"
    assert verified_by(world) == set()


def test_a_job_that_goes_on_crashing_rejects_the_version_after_its_tries() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Ends(139))
    change(world, 7)
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/Crashed"
    assert "It was tried 3 times" in world.status["rejected"]["message"]


def test_a_server_that_takes_too_long_is_judged_as_that() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Ends(deadline=True))
    change(world, 7)
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/VerificationTimeout"


def test_a_pod_that_dies_under_the_questions_rejects_its_version() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs({"containerStatuses": [{"name": "ask", "state": {"running": {}}}]}))
    new = change(world, 7)
    world.pods = only(f"{new}-verify", restarted(world))
    world.settle()
    assert summary(world.status)["Stalled"] == "True/CandidateUnhealthy"
    assert "exit code 139. That was while it was asked for the test data" in world.status["rejected"]["message"]
    assert verified_by(world) == set()
    assert asked(world, new) == [], "the Job that asked it is stopped"


def test_a_pod_that_gives_other_answers_than_the_judge_is_not_even_asked() -> None:
    world = demanding(GATE)
    world.pods = verify_pods(differing)
    new = change(world, 7)
    assert summary(world.status)["Stalled"] == "True/AnswersDiffer"
    assert asked(world, new) == []


@pytest.mark.parametrize(
    ("bad", "reason"), [(unschedulable, "InsufficientCapacity"), (starting, "ProgressDeadlineExceeded")]
)
def test_a_pod_that_does_not_come_up_in_time_gives_its_room_back(bad: Any, reason: str) -> None:
    world = demanding(GATE, strategy="BlueGreen", progressDeadline="2m")
    old = world.status["currentRevision"]
    world.pods = verify_pods(bad)
    change(world, 7)
    assert verified_by(world)
    world.pass_time(121)
    assert summary(world.status)["Stalled"] == f"True/{reason}"
    assert verified_by(world) == set()
    assert reached_by_traffic(world) == {old}


def test_a_version_that_disagrees_with_the_one_that_serves_never_gets_a_request() -> None:
    world = demanding(**DISAGREEMENT)
    old = world.status["currentRevision"]
    assert asked(world) == [], "there was nobody to compare the first version with"
    world.jobs = worse(different=300)
    new = change(world, 7)
    assert summary(world.status)["Stalled"] == "True/Disagreement"
    told = f"It answers otherwise than {old} on 300 of 10,000 samples (3.00 %, 95 % bounds 2.72 %…3.30 %, by Argmax)"
    assert told in world.status["rejected"]["message"]
    assert "at most 2.00 % is allowed" in world.status["rejected"]["message"]
    assert world.names("Deployment") == [old]
    set_rollout(world, analysis={"disagreement": {"max": 0.05}})
    world.settle()
    world.pass_time(200)
    assert world.status["currentRevision"] == new
    assert asked(world) == [f"{new}-ask-1"], "a changed limit asks nobody"


@pytest.mark.parametrize("strategy", ["BlueGreen", "InPlace", "Recreate"])
def test_a_version_that_disagrees_is_sent_back_before_requests_move_to_it_at_once(strategy: str) -> None:
    world = demanding(strategy=strategy, analysis={"disagreement": {"max": 0.02}})
    old, pods = world.status["currentRevision"], [pod["metadata"]["uid"] for pod in world.of("Pod", "serve")]
    world.jobs = worse(different=300)
    new = change(world, 7)
    assert summary(world.status)["Stalled"] == "True/Disagreement"
    assert f"It answers otherwise than {old} on 300 of 10,000" in world.status["rejected"]["message"]
    assert (reached_by_traffic(world), asked(world)) == ({old}, [f"{new}-ask-1"])
    assert [pod["metadata"]["uid"] for pod in world.of("Pod", "serve")] == pods, "what serves went on serving"
    world.jobs = worse(different=100)
    set_rollout(world, retryToken="again")
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_a_version_that_agrees_takes_over_and_is_not_compared_with_itself() -> None:
    world = demanding(**DISAGREEMENT)
    world.jobs = worse(different=100)
    new = change(world, 7)
    world.pass_time(300)
    assert world.status["currentRevision"] == new
    assert summary(world.status)["Ready"] == "True/Serving"
    assert asked(world) == [f"{new}-ask-1"]


@pytest.mark.parametrize(
    ("on_inconclusive", "ready"),
    [("Promote", "True/Serving"), ("Pause", "False/AwaitingPromotion"), ("Rollback", "False/Disagreement")],
)
def test_where_no_answers_can_be_compared_the_analysis_says_what_then(on_inconclusive: str, ready: str) -> None:
    analysis = {"disagreement": {"max": 0.02}, "onInconclusive": on_inconclusive, "minRequests": 1}
    world = demanding(strategy="Canary", analysis=analysis)
    world.jobs = worse(compared=0)
    new = change(world, 7)
    world.pass_time(300)
    assert summary(world.status)["Ready"] == ready
    if on_inconclusive == "Pause":
        assert of(world, new) == 0
        set_rollout(world, action={"revision": new, "do": "Promote"})
        world.pass_time(300)
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
