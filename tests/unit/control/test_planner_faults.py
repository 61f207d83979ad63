"""What goes wrong around the planner: lost objects, half-made plans, old snapshots, writes that are refused."""

from __future__ import annotations

import copy
import dataclasses
import functools
from datetime import timedelta
from typing import Any

import pytest
from tests.support.models import INSTALLATION, a_spec, condition, summary
from tests.support.world import World

from modelpress.control.plan import Observed, Plan, Problem, Reference
from modelpress.control.planner import plan

REMADE_ANEW = ("ModelArtifact", "ModelRevision")
"""Kinds whose loss is a loss: they are made again, from the same inputs and under the same name."""


def lived() -> World:
    """Return a world in which one version followed another, to its end."""
    return copy.deepcopy(_lived())


@functools.cache
def _lived() -> World:
    world = World()
    world.settle()
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.pass_time(30)
    assert summary(world.status)["Ready"] == "True/Serving"
    return world


def end_state(world: World) -> dict[str, Any]:
    """Return what is there in the end, names and conditions, times aside."""
    kinds = ("Deployment", "Service", "ConfigMap", "ModelRevision", "ModelArtifact", "PodDisruptionBudget")
    return {
        "objects": [(kind, name) for kind in kinds for name in world.names(kind)],
        "conditions": summary(world.status),
        "current": world.status["currentRevision"],
        "selector": [item["spec"]["selector"] for item in world.of("Service")],
    }


CHILDREN = sorted(str(reference) for reference in lived().objects if reference.kind not in ("CompressedModel", "Pod"))


@pytest.mark.parametrize("child", CHILDREN)
def test_any_one_object_that_is_lost_comes_back(child: str) -> None:
    world = lived()
    wanted = end_state(world)
    reference = next(reference for reference in world.objects if str(reference) == child)
    lost_for_good = reference.kind == "Job" or (reference.kind in REMADE_ANEW and world.status["artifact"] not in child)
    world.remove(reference)
    world.pass_time(30)
    found = end_state(world)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert (found["current"], found["conditions"]) == (wanted["current"], wanted["conditions"])
    if not lost_for_good:
        assert set(wanted["objects"]) - set(found["objects"]) <= {("ModelRevision", reference.name)}


def test_a_status_that_is_lost_comes_back_without_anything_being_made_again() -> None:
    world = lived()
    wanted, created = end_state(world), len(world.created)
    world.model["status"] = {}
    for kind in ("ModelArtifact", "ModelRevision"):
        assert world.of(kind)[0]["status"]
    world.pass_time(30)
    assert end_state(world) == wanted
    assert [name for name in world.created[created:] if "resolve" not in name and not name.startswith("Pod")] == []


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 8, 9, 10, 11, 12])
def test_a_life_in_which_plans_are_cut_short_ends_the_same(cut: int) -> None:
    world = World()
    _live_with_cuts(world, cut)
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    _live_with_cuts(world, cut)
    world.pass_time(30)
    assert end_state(world) == end_state(lived())


def _live_with_cuts(world: World, writes: int) -> None:
    """Make some rounds of which only the first `writes` writes that change anything happen, then undisturbed ones.

    That is what a kill after each of them amounts to. Applies that change nothing are no writes.
    """
    for pause in (0, 11):
        world.now += timedelta(seconds=pause)
        for _ in range(4):
            whole = world.plan()
            idle = sum(Reference.of(wish.manifest) in world.objects for wish in whole.apply)
            world.carry_out(_cut(whole, writes if writes < CUT_AFTER_APPLIES else idle + writes - CUT_AFTER_APPLIES))
            world.run_controllers()
        world.settle()


CUT_AFTER_APPLIES = 9
"""From here on the number counts from the first write that is no apply of an object which exists."""


def _cut(whole: Plan, writes: int) -> Plan:
    parts: dict[str, Any] = {"events": ()}
    for name in ("apply", "scale", "delete", "status"):
        made = getattr(whole, name)
        parts[name], writes = made[:writes], max(0, writes - len(made))
    return dataclasses.replace(whole, **parts)


def test_no_snapshot_of_the_past_takes_away_what_serves_or_scales_it_down() -> None:
    world = World(a_spec(serving={"replicas": 2}))
    past: list[Observed] = []

    def remember() -> None:
        while world.round():
            past.append(world.observe())

    remember()
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    remember()
    world.pass_time(30)
    serving = {item["metadata"]["uid"] for item in world.of("Deployment") + world.of("Service")}
    switched = next(i for i, seen in enumerate(past) if len(seen.of_kind("Deployment")) == 2)
    for seen in past[switched:]:
        made = plan(seen, world.now, INSTALLATION)
        assert not [delete for delete in made.delete if delete.uid in serving]
        assert not [scale for scale in made.scale if scale.replicas < 2]


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "Job", "ModelArtifact", "ModelRevision", "Service", "ConfigMap"])
def test_a_snapshot_that_lacks_a_whole_kind_deletes_nothing_that_serves(kind: str) -> None:
    world = lived()
    seen = world.observe()
    lacking = dataclasses.replace(seen, children=tuple(item for item in seen.children if item["kind"] != kind))
    made = plan(lacking, world.now, INSTALLATION)
    current = world.status["currentRevision"]
    assert not [
        delete for delete in made.delete if current in delete.reference.name or delete.reference.kind == "Service"
    ]
    assert made.scale == ()


def test_the_order_of_children_makes_no_difference() -> None:
    seen, now = (world := lived()).observe(), world.now
    turned = dataclasses.replace(seen, children=tuple(reversed(seen.children)))
    assert plan(turned, now, INSTALLATION) == plan(seen, now, INSTALLATION)


def test_a_name_that_is_taken_is_said_and_looked_at_again_within_half_a_minute() -> None:
    world = World()
    service = Reference("v1", "Service", "team-a", "digits")
    world.problems = {service: Problem("NameConflict", "Service team-a/digits belongs to somebody else; rename it.")}
    world.settle()
    assert condition(world.status, "Stalled")["message"] == "Service team-a/digits belongs to somebody else; rename it."
    wait = world.history[-1].requeue_after
    assert wait is not None and wait <= 30
    world.problems = {}
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"


def test_an_error_that_ended_the_last_round_is_over_when_this_one_is_made() -> None:
    world = lived()
    wanted = world.status
    world.problems = {world.key: Problem("OperatorError", "The API server was away.")}
    world.settle()
    assert world.status == wanted


def test_a_foreign_service_of_the_models_name_is_not_taken_for_the_main_one() -> None:
    world = World()
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "digits",
            "namespace": "team-a",
            "uid": "theirs",
            "labels": {"modelpress.io/model": "digits"},
        },
        "spec": {"selector": {"modelpress.io/revision": "digits-0123456789"}},
    }
    made = plan(dataclasses.replace(world.observe(), children=(foreign,)), world.now, INSTALLATION)
    assert "currentRevision" not in made.status[-1].status


@pytest.mark.parametrize("stuck", [True, False])
def test_a_main_service_that_somebody_points_at_nothing_is_pointed_back(*, stuck: bool) -> None:
    world = lived()
    current = world.status["currentRevision"]
    if stuck:
        world.edit(lambda spec: spec["evaluation"]["gates"].append({"metric": "size", "goal": "Threshold", "value": 1}))
        world.settle()
    service = next(item for item in world.of("Service") if item["metadata"]["name"] == "digits")
    service["spec"]["selector"]["modelpress.io/revision"] = "digits-ffffffffff"
    world.settle()
    assert service["spec"]["selector"]["modelpress.io/revision"] == current
    assert world.status["currentRevision"] == current


def test_a_status_written_by_another_version_is_read_for_what_is_understood() -> None:
    world = lived()
    wanted = world.status["currentRevision"]
    world.model["status"] |= {"futureField": 1, "replicas": "many", "source": {"nonsense": True}}
    for artifact in world.of("ModelArtifact"):
        artifact["status"]["futureField"] = {}
    world.pass_time(30)
    assert world.status["currentRevision"] == wanted
    assert summary(world.status)["Ready"] == "True/Serving"


def test_deletion_writes_nothing_but_the_status() -> None:
    world = lived()
    world.model["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    made = world.plan()
    assert (made.apply, made.scale, made.delete) == ((), (), ())


def test_the_sentence_of_an_invalid_spec_names_the_field() -> None:
    spec = a_spec()
    spec["compression"]["stages"] = [{"prune": {"structure": "Channel", "amount": {"channels": 2}}}]
    world = World(spec)
    world.settle()
    assert "channels" in condition(world.status, "Ready")["message"]
    assert world.created == []


def test_a_store_that_nobody_names_is_said() -> None:
    world = World(installation=INSTALLATION.model_copy(update={"artifacts": type(INSTALLATION.artifacts)()}))
    world.settle()
    assert summary(world.status)["Stalled"] == "True/InvalidSpec"
    assert "artifacts.uri" in condition(world.status, "Ready")["message"]
