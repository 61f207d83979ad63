"""While versions change, one autoscaler counts the pods of the one that serves, and nobody else does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.models import a_spec, summary
from tests.support.world import World, healthy
from tests.unit.control.autoscaling import (
    CPU,
    HPA,
    QUEUE,
    current,
    deployment,
    scaled,
    scales,
    target_of,
)
from tests.unit.control.rollouts import STRATEGIES, WITH_SETS_OF_THEIR_OWN

from modelpress.control.traffic import traffic


def test_a_new_version_starts_at_the_size_of_the_old_one_follows_it_and_takes_its_autoscaler() -> None:
    world = scaled(CPU)
    first = world.status["currentRevision"]
    current(world)["spec"]["replicas"] = 4
    world.settle()
    world.pods = lambda item, index: healthy(item, index) if item["metadata"]["name"] == first else {"conditions": []}
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.settle()
    second = world.status["candidateRevision"]
    assert deployment(world, second)["spec"]["replicas"] == 4
    deployment(world, first)["spec"]["replicas"] = 6
    world.settle()
    assert deployment(world, second)["spec"]["replicas"] == 6
    deployment(world, first)["spec"]["replicas"] = 2
    world.settle()
    assert deployment(world, second)["spec"]["replicas"] == 2
    assert target_of(world) == first
    world.pods = healthy
    world.settle()
    assert world.status["currentRevision"] == second
    assert target_of(world) == second
    assert scales(world.history) == [(second, 6), (second, 2)]
    world.pass_time(20)
    assert world.names("Deployment") == [second]


def test_in_the_round_that_hands_over_the_autoscaler_nothing_else_scales_the_new_version() -> None:
    world = scaled(CPU)
    first = world.status["currentRevision"]
    world.pods = lambda item, index: healthy(item, index) if item["metadata"]["name"] == first else {"conditions": []}
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.settle()
    second = world.status["candidateRevision"]
    world.pods = healthy
    world.run_controllers()
    made = world.plan()
    (hpa,) = [wish.manifest for wish in made.apply if wish.manifest["kind"] == HPA]
    assert hpa["spec"]["scaleTargetRef"]["name"] == second
    assert made.scale == ()
    deployment(world, first)["spec"]["replicas"] = 6
    made = world.plan()
    (hpa,) = [wish.manifest for wish in made.apply if wish.manifest["kind"] == HPA]
    assert hpa["spec"]["scaleTargetRef"]["name"] == first, "the new version is not of that size yet"
    assert scales([made]) == [(second, 6)]


def test_a_candidate_that_is_rejected_leaves_the_autoscaler_where_it_was() -> None:
    world = scaled(CPU)
    first = world.status["currentRevision"]
    world.pods = lambda item, index: healthy(item, index) if item["metadata"]["name"] == first else {"conditions": []}
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.settle()
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 0))
    world.pass_time(30)
    assert world.names("Deployment") == [first]
    assert target_of(world) == first


def test_a_model_that_slept_wakes_with_a_pod_of_its_new_version() -> None:
    """A new version is verified by its pods' answers, also where the old one has none at the moment."""
    sleepy = QUEUE | {"minReplicas": 0, "activation": {"prometheus": {"query": "sum(rate(asked[1m]))"}}}
    world = scaled(sleepy, keda=True)
    current(world)["spec"]["replicas"] = 0
    world.settle()
    assert summary(world.status)["Ready"] == "True/ScaledToZero"
    assert scales(world.history) == []
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    first = world.status["currentRevision"]
    world.pass_time(30)
    assert world.status["currentRevision"] != first
    assert current(world)["spec"]["replicas"] == 1
    assert summary(world.status)["Verified"].startswith("True")


@pytest.mark.parametrize("strategy", WITH_SETS_OF_THEIR_OWN)
def test_whatever_the_strategy_one_counts_the_pods_and_it_is_on_what_serves(strategy: str) -> None:
    world = World(a_spec(rollout=STRATEGIES[strategy], serving={"autoscaling": CPU}))
    world.settle()
    first = world.status["currentRevision"]
    current(world)["spec"]["replicas"] = 4
    world.settle()
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    for _ in range(120):
        (hpa,) = world.of(HPA)
        on = hpa["spec"]["scaleTargetRef"]["name"]
        world.round()
        assert on not in [name for name, _ in scales(world.history[-1:])]
        if strategy == "Canary" and traffic(world.observe()).stable == first and len(world.names("Deployment")) == 2:
            deployment(world, first)["spec"]["replicas"] = 8
            assert target_of(world) == first, "until it is promoted"
        world.now += timedelta(seconds=5)
    second = world.status["currentRevision"]
    assert second != first
    assert world.names("Deployment") == [second]
    assert target_of(world) == second
    assert current(world)["spec"]["replicas"] == (8 if strategy == "Canary" else 4), "as many as the old one had"


def test_a_version_that_is_loaded_in_place_leaves_the_autoscaler_where_it_is() -> None:
    world = World(a_spec(rollout=STRATEGIES["InPlace"], serving={"autoscaling": CPU}))
    world.settle()
    first = world.status["currentRevision"]
    current(world)["spec"]["replicas"] = 4
    world.settle()
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.pass_time(60)
    assert world.status["currentRevision"] != first
    assert (target_of(world), world.names("Deployment")) == (first, [first])
    assert deployment(world, first)["spec"]["replicas"] == 4
    assert world.status["readyReplicas"] == 4
