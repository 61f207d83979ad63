"""A new version is asked for the test data in the pods that serve, which load it beside the old one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.models import a_failure, an_answer, condition, stamp, summary
from tests.support.world import Ends, Hangs, World, healthy, loads, obliging
from tests.unit.control.rollouts import change, holds, only, reached_by_traffic, set_rollout, unschedulable
from tests.unit.control.test_planner_in_place import held, pods
from tests.unit.control.verification import (
    GATE,
    answering,
    asked,
    demanding,
    verified_by,
    verify_pods,
    worse,
)

from modelpress.api.servingpod import HIGHEST_VERSION as TOP
from modelpress.control.plan import Reference

ASKING = answering(lambda job: Hangs({"containerStatuses": [{"name": "ask", "state": {"running": {}}}]}))


def in_place(**rollout: Any) -> World:
    """Return a world in which a version serves that kept the gate, and its pods are to load the next one."""
    world = demanding(GATE, **{"strategy": "InPlace", **rollout})
    world.pass_time(3600)
    return world


def task(world: World, job: str) -> dict[str, Any]:
    """Return what a Job that asks was told."""
    spec = world.objects[Reference("batch/v1", "Job", "team-a", job)]["spec"]["template"]["spec"]
    found: dict[str, Any] = json.loads(spec["containers"][0]["env"][0]["value"])
    return found


def test_a_version_is_asked_by_its_number_in_the_pods_that_serve_before_any_of_them_answers_with_it() -> None:
    world = in_place()
    old, before = world.status["currentRevision"], pods(world)
    world.jobs = ASKING
    new = change(world, 7)
    assert held(world, old) == ([(old, TOP)], [(new, TOP - 1)])
    told = task(world, f"{new}-ask-1")
    assert (told["address"].partition(".")[0], told["model"], told["version"]) == (old, "digits", TOP - 1)
    assert (verified_by(world), pods(world), reached_by_traffic(world)) == (set(), before, {old})
    assert summary(world.status)["Ready"] == "False/Verifying"
    assert summary(world.status)["Verified"] == "Unknown/Verifying"
    assert world.status["rollout"]["strategy"] == "InPlace"
    world.jobs = obliging
    world.settle()
    assert (world.status["currentRevision"], pods(world)) == (new, before)
    assert held(world, old) == ([(new, TOP - 1)], [])
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.status["verification"]["revision"] == new


def test_nobody_is_asked_until_every_pod_proved_it() -> None:
    world = in_place()
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": 2}))
    world.pass_time(60)
    old = world.status["currentRevision"]
    world.loads = lambda pod, revision: revision == old or pod["metadata"]["name"].endswith("0")
    new = change(world, 7)
    assert asked(world, new) == []
    assert "1 of 2 proved it" in condition(world.status, "Ready")["message"]
    world.loads = loads
    world.pass_time(60)
    assert (asked(world, new), world.status["currentRevision"]) == ([f"{new}-ask-1"], new)


def test_a_version_whose_answers_do_not_keep_a_gate_is_unloaded_and_never_answers() -> None:
    world = in_place()
    old = world.status["currentRevision"]
    world.jobs = worse(top1=0.90)
    new = change(world, 7)
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert "top1 fell from 0.980 to 0.900" in world.status["rejected"]["message"]
    assert (held(world, old), asked(world, new)) == (([(old, TOP)], []), [f"{new}-ask-1"])
    assert {holds(world, pod) for pod in world.of("Pod", "serve")} == {old}


def test_a_version_that_disagrees_with_the_one_whose_pods_it_is_in_never_answers() -> None:
    world = in_place(analysis={"disagreement": {"max": 0.02}})
    old = world.status["currentRevision"]
    world.jobs = ASKING
    new = change(world, 7)
    told = task(world, f"{new}-ask-1")
    assert told["comparison"]["revision"] == old
    assert told["comparison"]["address"] == told["address"], "the old one answers there to whoever names no version"
    world.jobs = worse(different=300)
    world.settle()
    assert summary(world.status)["Stalled"] == "True/Disagreement"
    assert held(world, old) == ([(old, TOP)], [])


def test_a_triton_that_ends_while_it_is_asked_sends_the_new_one_back() -> None:
    world = in_place()
    old = world.status["currentRevision"]
    world.jobs = ASKING
    new = change(world, 7)
    over = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": stamp(world.now)}}

    def killed(deployment: dict[str, Any], index: int) -> dict[str, Any]:
        status = healthy(deployment, index)
        status["containerStatuses"][0] |= {"restartCount": 1, "lastState": over}
        return status

    world.pass_time(5)
    over["terminated"]["finishedAt"] = stamp(world.now)
    world.pods = killed
    world.pass_time(10)
    assert summary(world.status)["Stalled"] == "True/CandidateUnhealthy"
    assert summary(world.status)["Verified"] == "False/CandidateUnhealthy"
    assert (held(world, old)[1], asked(world, new)) == ([], [])


def test_long_questions_are_no_pods_that_are_late() -> None:
    world = in_place(progressDeadline="1m")
    world.jobs = ASKING
    new = change(world, 7)
    world.pass_time(1200)
    assert (world.status["candidateRevision"], asked(world, new)) == (new, [f"{new}-ask-1"])
    world.jobs = obliging
    world.settle()
    assert world.status["currentRevision"] == new


def test_a_pod_that_comes_while_it_is_asked_is_waited_for_and_nobody_asked_twice() -> None:
    world = in_place(progressDeadline="1m")
    old = world.status["currentRevision"]
    world.jobs = ASKING
    new = change(world, 7)
    world.pass_time(300)
    world.loads = lambda pod, revision: revision == old or pod["metadata"]["name"].endswith("0")
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": 2}))
    world.pass_time(30)
    world.jobs = obliging
    world.settle()
    assert (world.status["candidateRevision"], reached_by_traffic(world)) == (new, {old})
    world.loads = loads
    world.pass_time(5)
    assert (world.status["currentRevision"], asked(world, new)) == (new, [f"{new}-ask-1"])


def test_test_data_that_is_gone_is_waited_for_with_both_versions_loaded() -> None:
    world = in_place()
    old = world.status["currentRevision"]
    world.jobs = answering(lambda job: Ends(10, a_failure("DatasetNotFound"), container="fetch"))
    new = change(world, 7)
    world.pass_time(3600)
    assert summary(world.status)["Reconciling"] == "True/DatasetNotFound"
    assert held(world, old)[1] == [(new, TOP - 1)]
    world.jobs = obliging
    world.pass_time(400)
    assert world.status["currentRevision"] == new


def test_a_word_to_retry_that_comes_while_pods_load_it_gets_another_try() -> None:
    world = in_place()
    old = world.status["currentRevision"]
    world.loads = lambda pod, revision: revision == old
    new = change(world, 7)
    world.pass_time(5)
    set_rollout(world, retryToken="again")
    world.settle()
    ended = {"terminated": {"exitCode": 139, "finishedAt": stamp(world.now)}}

    def crashed(deployment: dict[str, Any], index: int) -> dict[str, Any]:
        status = healthy(deployment, index)
        status["containerStatuses"][0] |= {"restartCount": 1, "lastState": ended}
        return status

    world.pods = crashed
    world.run_controllers()
    world.round()
    assert world.status["rejected"]["reason"] == "CandidateUnhealthy"
    world.pods, world.loads = healthy, loads
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_what_serves_is_asked_in_its_own_pods_for_gates_that_come_later() -> None:
    world = World()
    world.edit(lambda spec: spec["rollout"].__setitem__("strategy", "InPlace"))
    world.settle()
    old = world.status["currentRevision"]
    world.jobs = ASKING
    world.edit(lambda spec: spec["evaluation"]["gates"].append(GATE))
    world.settle()
    told = task(world, f"{old}-ask-1")
    assert (told["address"].partition(".")[0], told.get("version")) == (old, None)
    assert verified_by(world) == set()
    world.jobs = worse(top1=0.5)
    world.settle()
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert (summary(world.status)["Available"], reached_by_traffic(world)) == ("True/Serving", {old})


def test_the_first_version_is_asked_in_a_pod_of_its_own_since_none_is_there() -> None:
    world = in_place()
    assert f"Deployment team-a/{world.status['currentRevision']}-verify" in [
        name.replace("Deployment.apps", "Deployment") for name in world.created
    ]


def test_auto_asks_in_the_pods_that_serve_if_no_node_takes_the_pod_that_is_to_be_asked() -> None:
    world = in_place(strategy="Auto")
    old, before = world.status["currentRevision"], pods(world)
    world.pods = verify_pods(unschedulable)
    new = change(world, 7)
    assert verified_by(world)
    world.pass_time(40)
    assert (world.status["currentRevision"], pods(world)) == (new, before)
    assert (verified_by(world), world.names("Deployment")) == (set(), [old])
    (told,) = (told for _, reason, told in world.events if reason == "StrategyChosen" and "InPlace" in told)
    assert "No node takes the pod" in told


def test_auto_that_finds_no_way_goes_back_with_insufficient_capacity() -> None:
    world = in_place(strategy="Auto", progressDeadline="2m")
    old = world.status["currentRevision"]
    world.pods = only(old, healthy, unschedulable)
    world.edit(lambda spec: spec.__setitem__("serving", {"resources": {"limits": {"memory": "1Gi"}}}))
    world.pass_time(130)
    assert summary(world.status)["Stalled"] == "True/InsufficientCapacity"
    assert reached_by_traffic(world) == {old}


@pytest.mark.parametrize("top1", [0.98, 0.90])
def test_an_operator_that_forgets_what_the_rollout_was_at_comes_to_the_same_end(top1: float) -> None:
    world = in_place()
    old = world.status["currentRevision"]
    world.jobs = answering(lambda job: Ends(message=an_answer(job, top1)))
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    for _ in range(40):
        world.model.get("status", {}).pop("rollout", None)
        world.round()
        world.restart_operator()
    world.pass_time(60)
    assert (world.status["currentRevision"] == old) == (top1 < 0.95)
    assert held(world, old)[1] == []
