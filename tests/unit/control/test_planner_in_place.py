"""Lives in which the pods that are there load the next version: who holds what, who answers, and what goes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.models import condition, stamp, summary
from tests.support.world import World, healthy, loads
from tests.unit.control.rollouts import (
    STRATEGIES,
    change,
    holds,
    only,
    reached_by_traffic,
    refusing,
    serving,
    set_rollout,
    sets,
    silent_on,
    starting,
    unschedulable,
)

from modelpress.api.reasons import Reason
from modelpress.api.servingpod import HIGHEST_VERSION as TOP
from modelpress.api.servingpod import PodAnswer
from modelpress.control.plan import Reference

IN_PLACE, AUTO = STRATEGIES["InPlace"], STRATEGIES["Auto"]


def held(world: World, name: str) -> tuple[list[tuple[str | None, int]], list[tuple[str | None, int]]]:
    """Return what the ConfigMap of a set asks for: what answers, and what is loaded beside, with Triton's numbers."""
    pod = json.loads(world.objects[Reference("v1", "ConfigMap", "team-a", name)]["data"]["models.json"])
    models, candidates = (
        [(item.get("revision"), item["version"]) for item in pod.get(part, [])] for part in ("models", "candidates")
    )
    return models, candidates


def pods(world: World) -> set[str]:
    return {pod["metadata"]["uid"] for pod in world.of("Pod", "serve")}


def selector(world: World) -> str:
    (service,) = (item for item in world.of("Service") if item["metadata"]["name"] == "digits")
    found: str = service["spec"]["selector"]["modelpress.io/revision"]
    return found


def test_the_same_pods_prove_the_new_version_beside_the_old_one_and_then_answer_with_it() -> None:
    world = serving(IN_PLACE)
    old = world.status["currentRevision"]
    before, template = pods(world), world.of("Deployment")[0]["spec"]["template"]
    world.loads = lambda pod, revision: revision == old or pod["metadata"]["name"].endswith("0")
    new = change(world, 7)
    assert held(world, old) == ([(old, TOP)], [(new, TOP - 1)])
    assert reached_by_traffic(world) == {old}
    assert "1 of 4 proved it" in condition(world.status, "Ready")["message"]
    world.loads = loads
    world.pass_time(10)
    assert world.status["currentRevision"] == new
    assert summary(world.status)["Ready"] == "True/Serving"
    assert held(world, old) == ([(new, TOP - 1)], [])
    assert (pods(world), world.names("Deployment"), selector(world)) == (before, [old], old)
    assert world.of("Deployment")[0]["spec"]["template"] == template, "no pod is started"
    assert world.status["selector"].endswith(f"modelpress.io/revision={old},modelpress.io/role=serve")


def not_yet(answer: PodAnswer) -> PodAnswer:
    models = tuple(model.model_copy(update={"serves": False}) for model in answer.models)
    return answer.model_copy(update={"models": models})


def test_it_is_said_to_serve_only_when_every_pod_answers_with_it() -> None:
    world = serving(IN_PLACE, replicas=2)
    old = world.status["currentRevision"]
    switched: set[str] = set()
    real = world.holdings

    def late() -> Any:
        return {name: answer if name in switched else not_yet(answer) for name, answer in real().items()}

    world.holdings = late  # type: ignore[method-assign]
    new = change(world, 7)
    world.pass_time(5)
    assert world.status["currentRevision"] == new
    assert summary(world.status)["Reconciling"] == "True/RollingOut"
    assert f"0 of 2 pods answer with {new}" in condition(world.status, "Ready")["message"]
    switched |= {f"{old}-pod-0", f"{old}-pod-1"}
    world.pass_time(5)
    assert summary(world.status)["Ready"] == "True/Serving"


def test_numbers_go_down_from_version_to_version() -> None:
    world = serving(IN_PLACE, replicas=1)
    first = world.status["currentRevision"]
    for seed, number in ((7, TOP - 1), (8, TOP - 2), (9, TOP - 3)):
        revision = change(world, seed)
        world.pass_time(20)
        assert held(world, first) == ([(revision, number)], [])


@pytest.mark.parametrize("reason", [Reason.ANSWERS_DIFFER, Reason.MODEL_LOAD_FAILED, Reason.IN_PLACE_INCOMPATIBLE])
def test_a_version_that_a_pod_refuses_is_rejected_with_its_words_and_unloaded(reason: Reason) -> None:
    world = serving(IN_PLACE)
    old = world.status["currentRevision"]
    world.loads = lambda pod, revision: revision == old
    new = change(world, 7)
    world.loads = refusing(new, reason)
    world.pass_time(20)
    assert summary(world.status)["Stalled"] == f"True/{reason}"
    assert "3 of 8 answers differ" in condition(world.status, "Ready")["message"]
    assert summary(world.status)["Available"] == "True/Serving"
    assert held(world, old) == ([(old, TOP)], [])
    assert reached_by_traffic(world) == {old}


def test_a_store_that_is_away_is_waited_for_until_the_deadline() -> None:
    world = serving({**IN_PLACE, "progressDeadline": "5m"})
    old = world.status["currentRevision"]
    world.loads = lambda pod, revision: revision == old
    new = change(world, 7)
    world.loads = refusing(new, Reason.STORE_UNAVAILABLE)
    world.pass_time(290)
    assert world.status["candidateRevision"] == new
    assert "3 of 8 answers differ." in world.status["rollout"]["message"], "what the pods say"
    world.pass_time(30)
    assert summary(world.status)["Stalled"] == "True/ProgressDeadlineExceeded"
    assert "0 of 4 pods" in condition(world.status, "Ready")["message"]
    assert held(world, old)[1] == []


def test_pods_that_do_not_tell_count_as_pods_that_are_not_there_yet() -> None:
    world = serving({**IN_PLACE, "progressDeadline": "1m"})
    old = world.status["currentRevision"]
    world.loads = silent_on("nobody")
    world.holdings = dict  # type: ignore[method-assign]
    change(world, 7)
    world.pass_time(50)
    assert reached_by_traffic(world) == {old}
    world.pass_time(30)
    assert summary(world.status)["Stalled"] == "True/ProgressDeadlineExceeded"


def test_a_triton_that_ends_over_two_versions_sends_the_new_one_back() -> None:
    world = serving(IN_PLACE, replicas=1)
    old = world.status["currentRevision"]
    world.loads = lambda pod, revision: revision == old
    change(world, 7)
    world.pass_time(5)
    over = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": stamp(world.now)}}

    def killed(deployment: dict[str, Any], index: int) -> dict[str, Any]:
        status = healthy(deployment, index)
        status["containerStatuses"][0] |= {"restartCount": 1, "lastState": over}
        return status

    world.pods = killed
    world.pass_time(10)
    assert summary(world.status)["Stalled"] == "True/CandidateUnhealthy"
    assert "137 (OOMKilled) while it held two versions" in condition(world.status, "Ready")["message"]
    assert held(world, old)[1] == []


def test_a_pod_that_is_told_to_end_over_two_versions_says_nothing_against_the_new_one() -> None:
    world = serving(IN_PLACE, replicas=2)
    old = world.status["currentRevision"]
    world.loads = lambda pod, revision: revision == old
    new = change(world, 7)
    world.pass_time(5)
    over = {"terminated": {"exitCode": 143, "reason": "Error", "finishedAt": stamp(world.now)}}
    leaving = world.of("Pod", "serve")[0]
    leaving["metadata"]["deletionTimestamp"] = stamp(world.now)
    leaving["status"]["containerStatuses"][0]["state"] = over
    world.carry_out(world.plan())
    assert world.status["candidateRevision"] == new
    assert summary(world.status)["Stalled"].startswith("False")
    world.remove(Reference("v1", "Pod", "team-a", leaving["metadata"]["name"]))
    world.loads = loads
    world.pass_time(20)
    assert world.status["currentRevision"] == new


def test_what_is_served_otherwise_cannot_be_loaded_in_place_and_says_which_field() -> None:
    world = serving(IN_PLACE, replicas=1)
    old = world.status["currentRevision"]
    world.edit(lambda spec: spec["serving"].__setitem__("resources", {"limits": {"memory": "1Gi"}}))
    world.pass_time(10)
    assert summary(world.status)["Stalled"] == "True/InPlaceIncompatible"
    assert "differ in spec.serving.resources" in condition(world.status, "Ready")["message"]
    assert reached_by_traffic(world) == {old}
    set_rollout(world, strategy="BlueGreen")
    world.pass_time(60)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.status["currentRevision"] != old


def test_versions_whose_files_alone_are_beyond_the_memory_limit_are_not_loaded_together() -> None:
    world = serving(IN_PLACE, replicas=1)
    world.edit(lambda spec: spec["serving"].__setitem__("resources", {"limits": {"memory": "20k"}}))
    set_rollout(world, strategy="BlueGreen")
    world.pass_time(60)
    set_rollout(world, strategy="InPlace")
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.pass_time(10)
    assert summary(world.status)["Stalled"] == "True/InPlaceIncompatible"
    assert "the limit of Triton's container" in condition(world.status, "Ready")["message"]


def test_pods_that_an_earlier_version_made_are_not_asked_to_load_a_second_one() -> None:
    world = serving(IN_PLACE, replicas=1)
    old = world.status["currentRevision"]
    for kind in ("ModelRevision", "Deployment"):
        (item,) = world.of(kind)
        spec = item["spec"]["podTemplate" if kind == "ModelRevision" else "template"]["spec"]
        spec["containers"][0]["command"] = ["sh", "-c", "exec tritonserver --model-control-mode=explicit"]
    change(world, 7)
    world.pass_time(10)
    assert summary(world.status)["Stalled"] == "True/InPlaceIncompatible"
    assert held(world, old) == ([(None, 1)], [])


def test_a_return_is_the_same_way_back_in_the_same_pods_whatever_the_strategy() -> None:
    world = serving(IN_PLACE)
    old = world.status["currentRevision"]
    before = pods(world)
    new = change(world, 7)
    world.pass_time(20)
    set_rollout(world, strategy="BlueGreen", pinRevision=old)
    world.pass_time(20)
    assert world.status["currentRevision"] == old
    assert held(world, old) == ([(old, TOP - 2)], [])
    assert pods(world) == before
    assert any(reason == "StrategyChosen" and new in told for _, reason, told in world.events)


def test_another_strategy_replaces_pods_that_hold_another_version_than_they_were_made_for() -> None:
    world = serving(IN_PLACE)
    change(world, 7)
    world.pass_time(20)
    set_rollout(world, strategy="BlueGreen")
    third = change(world, 8)
    world.pass_time(60)
    assert (world.status["currentRevision"], world.names("Deployment")) == (third, [third])
    assert held(world, third) == ([(None, 1)], [])


def test_new_pods_get_what_answers_and_the_switch_waits_for_them() -> None:
    world = serving(IN_PLACE, replicas=2)
    old = world.status["currentRevision"]
    world.loads = lambda pod, revision: revision == old
    new = change(world, 7)
    world.loads = loads
    world.edit(lambda spec: spec["serving"].__setitem__("replicas", 3))
    world.pods = lambda deployment, index: (healthy if index < 2 else starting)(deployment, index)
    world.pass_time(20)
    assert reached_by_traffic(world) == {old}
    world.pods = healthy
    world.pass_time(20)
    assert world.status["currentRevision"] == new
    world.edit(lambda spec: spec["serving"].__setitem__("replicas", 5))
    world.settle()
    assert {holds(world, pod) for pod in world.of("Pod", "serve")} == {new}


def test_a_lost_config_map_is_written_again_with_what_answers() -> None:
    world = serving(IN_PLACE)
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.pass_time(20)
    world.remove(Reference("v1", "ConfigMap", "team-a", old))
    world.settle()
    assert held(world, old)[0][0][0] == new
    assert world.status["currentRevision"] == new


def test_history_keeps_the_revision_whose_pods_serve_another_one() -> None:
    world = serving({**IN_PLACE, "revisionHistoryLimit": 0})
    old = world.status["currentRevision"]
    for seed in (7, 8):
        change(world, seed)
        world.pass_time(20)
    assert set(world.names("ModelRevision")) == {old, world.status["currentRevision"]}
    assert sets(world) == [world.status["currentRevision"]]


def no_room_beside(world: World, old: str) -> None:
    world.pods = only(old, healthy, unschedulable)


def test_auto_takes_canary_where_there_is_room_and_says_so() -> None:
    world = serving(AUTO)
    new = change(world, 7)
    world.pass_time(65)
    assert world.status["rollout"]["strategy"] == "Canary"
    assert any(reason == "StrategyChosen" and "Auto chose Canary" in told for _, reason, told in world.events)
    world.pass_time(120)
    assert (world.status["currentRevision"], world.names("Deployment")) == (new, [new])


def test_auto_loads_in_place_what_no_node_takes_and_says_why() -> None:
    world = serving(AUTO, replicas=1)
    old = world.status["currentRevision"]
    no_room_beside(world, old)
    new = change(world, 7)
    world.pass_time(25)
    assert world.status["candidateRevision"] == new
    world.pass_time(30)
    assert (world.status["currentRevision"], world.names("Deployment")) == (new, [old])
    assert summary(world.status)["Ready"] == "True/Serving"
    (told,) = (told for _, reason, told in world.events if reason == "StrategyChosen" and "InPlace" in told)
    assert "No node takes the pod" in told


def test_auto_falls_to_in_place_when_the_full_set_finds_no_room() -> None:
    world = serving(AUTO)
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.pods = only(new, lambda deployment, index: (healthy if index < 1 else unschedulable)(deployment, index))
    world.pass_time(200)
    assert (world.status["currentRevision"], sets(world)) == (new, [new])
    assert world.names("Deployment") == [old]


def test_auto_without_any_way_goes_back_with_insufficient_capacity() -> None:
    world = serving({**AUTO, "progressDeadline": "2m"}, replicas=1)
    old = world.status["currentRevision"]
    no_room_beside(world, old)
    world.edit(lambda spec: spec["serving"].__setitem__("resources", {"limits": {"memory": "1Gi"}}))
    world.pass_time(60)
    assert "InPlace is not possible" in world.status["rollout"]["message"]
    world.pass_time(90)
    assert summary(world.status)["Stalled"] == "True/InsufficientCapacity"
    assert reached_by_traffic(world) == {old}
