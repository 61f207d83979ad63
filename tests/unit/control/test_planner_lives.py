"""Whole lives of a model, step by step against a cluster in memory.

From apply to answers, and from version to version.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import (
    INSTALLATION,
    a_failure,
    a_publication,
    a_resolution,
    a_spec,
    at,
    condition,
    digest,
    summary,
)
from tests.support.world import ROLE, Ends, Hangs, World, attempts, healthy

from modelpress.control.plan import Reference


def serving(**spec: Any) -> World:
    """Return a world in which the model serves."""
    world = World(a_spec(**spec) if spec else None)
    world.settle()
    assert condition(world.status, "Ready")["status"] == "True"
    return world


def change_recipe(spec: dict[str, Any]) -> None:
    spec["compression"] = {"stages": [{"fuse": {}}], "seed": 7}


def set_batch(size: int) -> Any:
    return lambda spec: spec.__setitem__("serving", {"batching": {"maxBatchSize": size}})


def set_token(token: str) -> Any:
    return lambda spec: spec.__setitem__("rollout", {**spec.get("rollout", {}), "retryToken": token})


def never_ready(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    return {"conditions": [], "containerStatuses": [{"name": "triton", "state": {"waiting": {}}}]}


def unschedulable(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    return {"conditions": [told]}


def answers_differ(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    over = {"exitCode": 10, "message": a_failure("AnswersDiffer", "3 of 8 answers differ.")}
    return {"initContainerStatuses": [{"name": "agent", "restartCount": 1, "lastState": {"terminated": over}}]}


def only(name: str, good: Any, bad: Any) -> Any:
    """Return a script by which the pods of Deployment `name` are `good` and all others are `bad`."""
    return lambda deployment, index: (good if deployment["metadata"]["name"] == name else bad)(deployment, index)


def test_a_new_model_is_resolved_compressed_gated_and_served_in_this_order() -> None:
    world = World()
    reasons = []
    while world.round():
        reasons.append(condition(world.status, "Ready")["reason"])
    assert list(dict.fromkeys(reasons)) == ["Resolving", "Compressing", "Starting", "Serving"]
    assert [reason for _, reason, _ in world.events] == ["Resolved", "Compressed", "GatesPassed", "RolledOut"]
    assert world.status["compression"]["ratioText"] == "5.3x"
    assert world.status["compression"]["accuracyText"] == "0.980 (+0.000)"
    assert world.status["readyReplicas"] == 1


def test_a_settled_world_asks_for_no_change_no_event_and_no_further_round() -> None:
    world = serving()
    plan = world.plan()
    assert (plan.scale, plan.delete, plan.events, plan.requeue_after) == ((), (), (), None)
    assert dict(plan.status[-1].status) == world.status
    assert world.plan() == plan


def test_pinned_digests_need_no_resolve_job() -> None:
    spec = a_spec(evaluation=None)
    spec["source"]["digest"] = digest("pinned")
    world = World(spec)
    world.settle()
    assert not [name for name in world.created if "resolve" in name]
    assert world.status["source"]["resolvedDigest"] == digest("pinned")


def test_the_old_version_serves_until_all_of_the_new_one_answers_and_ten_seconds_longer() -> None:
    world = serving(serving={"replicas": 2})
    old = world.status["currentRevision"]
    world.pods = only(old, healthy, never_ready)
    world.edit(change_recipe)
    world.settle()
    new = world.status["candidateRevision"]
    assert new != old
    assert world.status["currentRevision"] == old
    assert summary(world.status)["Ready"] == "False/RollingOut"
    assert summary(world.status)["Available"] == "True/Serving"
    world.pods = lambda deployment, index: (healthy if index == 0 else never_ready)(deployment, index)
    world.settle()
    assert world.status["currentRevision"] == old, "one pod of two is not all of it"
    world.pods = healthy
    world.settle()
    assert world.status["currentRevision"] == new
    assert world.names("Deployment") == sorted([old, new]), "the old pods stay while endpoints spread"
    world.pass_time(11)
    assert world.names("Deployment") == [new]
    assert old in world.names("ModelRevision"), "the revision stays for a return"


def test_going_back_reuses_artifact_and_revision() -> None:
    world = serving()
    first = world.status["currentRevision"]
    before = world.model["spec"]
    world.edit(change_recipe)
    world.pass_time(30)
    assert world.status["currentRevision"] != first
    created = len(world.created)
    world.edit(lambda spec: (spec.clear(), spec.update(a_spec())))
    world.pass_time(30)
    assert world.status["currentRevision"] == first
    assert not [name for name in world.created[created:] if name.startswith(("Job", "Model"))], before


def test_batching_rolls_out_and_compresses_nothing() -> None:
    world = serving()
    first = world.status["currentRevision"]
    created = len(world.created)
    world.edit(set_batch(8))
    world.pass_time(30)
    assert world.status["currentRevision"] != first
    assert not [name for name in world.created[created:] if name.startswith(("Job", "ModelArtifact"))]


def test_replicas_are_scaled_in_place() -> None:
    world = serving(serving={"replicas": 1})
    created = len(world.created)
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": 3}))
    world.settle()
    assert world.of("Deployment")[0]["spec"]["replicas"] == 3
    assert world.status["replicas"] == 3
    assert [name for name in world.created[created:] if not name.startswith("Pod")] == []


def test_replicas_that_the_spec_does_not_name_belong_to_others() -> None:
    world = serving()
    world.of("Deployment")[0]["spec"]["replicas"] = 4
    world.settle()
    assert world.of("Deployment")[0]["spec"]["replicas"] == 4
    world.edit(change_recipe)
    world.pass_time(30)
    assert world.of("Deployment")[0]["spec"]["replicas"] == 4, (
        "a new version begins with as many pods as the old one has"
    )


def test_an_upgrade_of_the_operator_makes_no_revision_and_changes_no_pod() -> None:
    world = serving()
    before = [item["spec"] for kind in ("Deployment", "ModelRevision") for item in world.of(kind)]
    created = len(world.created)
    world.installation = INSTALLATION.model_copy(
        update={"images": INSTALLATION.images.model_copy(update={"triton": "triton:2", "operator": "operator:2"})}
    )
    world.settle()
    assert [item["spec"] for kind in ("Deployment", "ModelRevision") for item in world.of(kind)] == before
    assert world.created[created:] == []


def test_a_changed_file_in_the_store_is_a_new_version_after_the_interval() -> None:
    world = serving(update={"interval": "5m"})
    first = world.status["currentRevision"]
    world.jobs = lambda job: Ends(
        message=a_resolution("v2") if "resolve" in job["metadata"]["name"] else a_publication()
    )
    world.pass_time(299)
    assert world.status["currentRevision"] == first
    world.pass_time(60)
    assert world.status["currentRevision"] != first
    assert world.status["source"]["resolvedDigest"] == digest("v2")


def test_a_store_that_is_away_while_the_source_is_looked_at_again_changes_nothing() -> None:
    world = serving(update={"interval": "5m"})
    world.jobs = lambda job: Ends(20, a_failure("StoreUnavailable"))
    world.pass_time(1000)
    assert condition(world.status, "Ready")["status"] == "True"
    asked = [name for name in world.created if "resolve" in name]
    assert 3 < len(asked) < 12, "it is asked again, less and less often"
    assert len(world.names("Job", "resolve")) == 1


def test_a_source_that_is_gone_is_said_and_what_serves_goes_on() -> None:
    world = serving(update={"interval": "5m"})
    world.jobs = lambda job: Ends(10, a_failure("SourceNotFound"))
    world.pass_time(310)
    assert summary(world.status)["Stalled"] == "True/SourceNotFound"
    assert summary(world.status)["Available"] == "True/Serving"
    world.jobs = lambda job: Ends(message=a_resolution())
    world.pass_time(310)
    assert condition(world.status, "Ready")["status"] == "True"


def test_paused_prepares_the_candidate_and_does_not_start_it() -> None:
    world = World(a_spec(rollout={"paused": True}))
    world.settle()
    assert summary(world.status)["Ready"] == "False/Paused"
    assert len(world.names("ModelRevision")) == 1
    assert world.names("Deployment") == []
    world.edit(lambda spec: spec["rollout"].pop("paused"))
    world.settle()
    assert condition(world.status, "Ready")["status"] == "True"


def test_suspended_in_the_middle_of_compression_takes_the_result_and_starts_nothing_new() -> None:
    world = World()
    world.jobs = lambda job: Hangs() if job["metadata"]["labels"][ROLE] == "compress" else Ends(message=a_resolution())
    world.settle()
    world.edit(lambda spec: spec.__setitem__("suspend", True))
    world.jobs = lambda job: Ends(message=a_publication())
    created = len(world.created)
    world.settle()
    assert summary(world.status)["Ready"] == "False/Suspended"
    assert world.created[created:] == []
    assert world.of("ModelArtifact")[0]["status"]["manifestDigest"] == digest("manifest")
    world.edit(lambda spec: spec.pop("suspend"))
    world.settle()
    assert condition(world.status, "Ready")["status"] == "True"


def test_suspended_keeps_up_what_serves() -> None:
    world = serving()
    world.edit(lambda spec: spec.__setitem__("suspend", True))
    world.edit(change_recipe)
    name = world.names("Deployment")[0]
    world.remove(Reference("apps/v1", "Deployment", "team-a", name))
    world.settle()
    assert world.names("Deployment") == [name]
    assert summary(world.status)["Ready"] == "False/Suspended"
    assert summary(world.status)["Available"] == "True/Serving"


def test_a_recipe_changed_in_mid_compression_ends_the_old_job() -> None:
    world = World()
    world.jobs = lambda job: Hangs() if job["metadata"]["labels"][ROLE] == "compress" else Ends(message=a_resolution())
    world.settle()
    old = world.names("Job", "compress")
    world.edit(change_recipe)
    world.settle()
    new = world.names("Job", "compress")
    assert len(old) == len(new) == 1
    assert old != new


def test_a_candidate_that_is_overtaken_by_another_spec_is_taken_away() -> None:
    world = serving()
    first = world.status["currentRevision"]
    world.pods = only(first, healthy, unschedulable)
    world.edit(change_recipe)
    world.settle()
    second = world.status["candidateRevision"]
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 8))
    world.settle()
    third = world.status["candidateRevision"]
    world.pass_time(11)
    assert world.names("Deployment") == sorted([first, third])
    assert second not in (first, third)


def test_a_candidate_that_no_node_takes_waits_while_the_old_version_serves() -> None:
    world = serving()
    first = world.status["currentRevision"]
    world.pods = only(first, healthy, unschedulable)
    world.edit(change_recipe)
    world.pass_time(1000)
    assert summary(world.status)["Reconciling"] == "True/PodUnschedulable"
    assert "0/1 nodes are available" in condition(world.status, "Ready")["message"]
    assert world.status["currentRevision"] == first


def test_a_candidate_whose_answers_differ_is_rejected_once_and_the_old_version_serves_on() -> None:
    world = serving()
    first = world.status["currentRevision"]
    world.pods = only(first, healthy, answers_differ)
    world.edit(change_recipe)
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/AnswersDiffer"
    assert summary(world.status)["Verified"] == "False/AnswersDiffer"
    assert summary(world.status)["Available"] == "True/Serving"
    assert world.status["rejected"]["reason"] == "AnswersDiffer"
    assert world.names("Deployment") == [first]
    assert len([event for event in world.events if event[1] == "AnswersDiffer"]) == 1
    world.pods = healthy
    world.edit(set_token("again"))
    world.pass_time(60)
    assert condition(world.status, "Ready")["status"] == "True"
    assert world.status["currentRevision"] != first


def test_a_rejected_candidate_is_not_started_again_by_itself() -> None:
    world = World()
    world.pods = answers_differ
    world.pass_time(3600)
    assert len([name for name in world.created if name.startswith("Deployment")]) == 1
    assert summary(world.status)["Stalled"] == "True/AnswersDiffer"


def test_a_candidate_that_crashes_again_and_again_is_rejected() -> None:
    world = World()
    over = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    world.pods = lambda deployment, index: {
        "containerStatuses": [{"name": "triton", "restartCount": 2, "lastState": over}]
    }
    world.settle()
    assert summary(world.status)["Reconciling"] == "True/OutOfMemory", "it may still come up"
    world.pods = lambda deployment, index: {
        "containerStatuses": [{"name": "triton", "restartCount": 5, "lastState": over}]
    }
    world.settle()
    assert summary(world.status)["Stalled"] == "True/OutOfMemory"


def test_a_version_that_serves_is_never_taken_away_because_its_pods_fail() -> None:
    world = serving()
    world.pods = answers_differ
    world.pass_time(600)
    assert world.names("Deployment") == [world.status["currentRevision"]]
    assert summary(world.status)["Stalled"] == "True/AnswersDiffer"
    assert summary(world.status)["Available"] == "False/AnswersDiffer"
    world.pods = healthy
    world.settle()
    assert condition(world.status, "Ready")["status"] == "True"


def test_old_revisions_and_artifacts_go_beyond_the_limit_and_never_what_serves() -> None:
    world = serving(rollout={"strategy": "BlueGreen", "revisionHistoryLimit": 2})
    for seed in range(1, 6):
        world.edit(lambda spec, seed=seed: spec["compression"].__setitem__("seed", seed))
        world.now = at(seed * 100)
        world.pass_time(20)
    assert len(world.names("ModelRevision")) == 3
    assert len(world.names("ModelArtifact")) == 3
    assert world.status["currentRevision"] in world.names("ModelRevision")
    assert world.status["artifact"] in world.names("ModelArtifact")


@pytest.mark.parametrize("replicas", [0])
def test_scaled_to_zero_is_as_asked(replicas: int) -> None:
    world = serving(serving={"replicas": 1})
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": replicas}))
    world.settle()
    assert summary(world.status)["Ready"] == "True/ScaledToZero"
    assert summary(world.status)["Available"] == "False/ScaledToZero"


def test_attempts_are_numbered_across_compression_and_evaluation() -> None:
    world = serving()
    assert attempts(world) == [1]
    world.edit(lambda spec: spec["evaluation"].__setitem__("latency", {"batchSizes": [1, 8]}))
    world.settle()
    assert world.of("ModelArtifact")[0]["status"]["attempts"] == 2
    assert len(world.names("ModelArtifact")) == 1
    assert condition(world.status, "Ready")["status"] == "True"
