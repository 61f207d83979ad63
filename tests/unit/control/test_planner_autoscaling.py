"""Lives of models whose pods an autoscaler counts: one autoscaler on what serves, and nobody fights over replicas."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import INSTALLATION, a_spec, condition, summary
from tests.support.world import World, healthy
from tests.unit.control.autoscaling import (
    CPU,
    HPA,
    QUEUE,
    SCALED_OBJECT,
    WITH_PROMETHEUS,
    current,
    scaled,
    scales,
    target_of,
)

from modelpress.control.plan import Reference


def test_a_model_that_asks_for_no_autoscaler_has_none() -> None:
    world = World()
    world.settle()
    assert world.of(HPA) == world.of(SCALED_OBJECT) == []
    assert "autoscaling" not in world.status


def test_autoscaling_is_no_matter_of_revisions_and_compresses_nothing() -> None:
    world = World(a_spec(serving={"batching": {"maxBatchSize": 8}}))
    world.settle()
    first, created = world.status["currentRevision"], len(world.created)
    world.edit(lambda spec: spec["serving"].__setitem__("autoscaling", CPU))
    world.pass_time(60)
    assert world.status["currentRevision"] == first
    assert world.created[created:] == [str(Reference("autoscaling/v2", HPA, "team-a", "digits"))]


def test_the_autoscaler_comes_with_the_first_traffic_and_the_pods_it_must_have() -> None:
    world = World(a_spec(serving={"autoscaling": CPU | {"minReplicas": 3}}))
    world.pods = lambda *_: {"conditions": []}
    world.settle()
    assert world.of(HPA) == []
    assert [item["spec"]["replicas"] for item in world.of("Deployment")] == [3]
    world.pods = healthy
    world.settle()
    assert target_of(world) == world.status["currentRevision"]
    assert world.status["autoscaling"] == {"engine": "HPA", "message": ""}


def test_what_the_autoscaler_sets_stays_and_nothing_of_ours_sets_it() -> None:
    world = scaled(CPU)
    for count in (4, 7, 2):
        current(world)["spec"]["replicas"] = count
        world.settle()
        assert current(world)["spec"]["replicas"] == count
        assert world.status["readyReplicas"] == count
    assert scales(world.history) == []
    assert condition(world.status, "Ready")["status"] == "True"


@pytest.mark.parametrize("keda", [False, True])
def test_whatever_the_autoscaler_sets_only_the_status_is_written(keda: bool) -> None:
    world = scaled(QUEUE if keda else CPU, keda=keda)
    world.pass_time(60)
    before = versions(world)
    for count in (4, 7, 2):
        current(world)["spec"]["replicas"] = count
        world.pass_time(60)
        assert world.status["replicas"] == count
    assert {item for item, version in versions(world).items() if before.get(item) != version} == {world.key}


def versions(world: World) -> dict[Reference, str]:
    """Return which version of each object the operator's last write left; pods are nothing of its own."""
    found = {key: item["metadata"]["resourceVersion"] for key, item in world.objects.items()}
    return {key: version for key, version in found.items() if key.kind != "Pod"}


def test_an_autoscaler_does_not_go_because_something_is_not_seen() -> None:
    world = scaled(CPU)
    world.remove(Reference("modelpress.io/v1alpha1", "ModelRevision", "team-a", world.status["currentRevision"]))
    assert HPA not in {item.reference.kind for item in world.plan().delete}
    world.settle()
    assert target_of(world) == world.status["currentRevision"]


def test_from_autoscaling_to_replicas_the_autoscaler_goes_before_anything_is_scaled() -> None:
    world = scaled(CPU)
    current(world)["spec"]["replicas"] = 5
    world.settle()
    rounds = len(world.history)
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": 2}))
    world.settle()
    first, second, *_ = world.history[rounds:]
    assert [item.reference.kind for item in first.delete] == [HPA]
    assert first.scale == ()
    assert scales([second]) == [(world.status["currentRevision"], 2)]
    assert world.of(HPA) == []


def test_without_either_the_number_of_pods_stays_as_it_was_left() -> None:
    world = scaled(CPU)
    current(world)["spec"]["replicas"] = 5
    world.edit(lambda spec: spec.pop("serving"))
    world.settle()
    assert world.of(HPA) == []
    assert current(world)["spec"]["replicas"] == 5


@pytest.mark.parametrize("asked", [CPU, QUEUE])
def test_a_model_that_was_at_zero_is_brought_to_its_minimum(asked: dict[str, Any]) -> None:
    world = World(a_spec(serving={"replicas": 0}), WITH_PROMETHEUS)
    world.extensions = frozenset({SCALED_OBJECT})
    world.settle()
    world.edit(lambda spec: spec.__setitem__("serving", {"autoscaling": asked | {"minReplicas": 2}}))
    world.settle()
    assert current(world)["spec"]["replicas"] == 2


@pytest.mark.parametrize("autoscaling", [CPU, QUEUE])
def test_an_autoscaler_that_stopped_because_somebody_took_all_pods_counts_again(autoscaling: dict[str, Any]) -> None:
    world = scaled(autoscaling, keda=True)
    current(world)["spec"]["replicas"] = 0
    world.settle()
    assert current(world)["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("autoscaling", "keda", "prometheus", "kind"),
    [
        ({"maxReplicas": 8}, True, True, SCALED_OBJECT),
        ({"maxReplicas": 8}, True, False, HPA),
        ({"maxReplicas": 8}, False, True, HPA),
        (QUEUE, True, True, SCALED_OBJECT),
        (CPU, True, True, HPA),
        (CPU | {"engine": "KEDA"}, True, True, SCALED_OBJECT),
        ({"maxReplicas": 8, "engine": "HPA"}, True, True, HPA),
    ],
)
def test_the_engine_follows_from_the_spec_and_what_the_cluster_has(
    autoscaling: dict[str, Any], keda: bool, prometheus: bool, kind: str
) -> None:
    world = scaled(autoscaling, keda=keda, prometheus=prometheus)
    assert target_of(world, kind) == world.status["currentRevision"]


@pytest.mark.parametrize(
    ("autoscaling", "keda", "prometheus", "told"),
    [
        (QUEUE, False, True, "autoscaling.target.queueTime needs KEDA, and this cluster has no scaledobjects.keda.sh"),
        (QUEUE, True, False, "set prometheus.address in the chart's values, or scale by target.cpu"),
        ({"maxReplicas": 8, "engine": "KEDA"}, False, True, "autoscaling.engine KEDA needs KEDA"),
        (
            {"minReplicas": 0, "maxReplicas": 2, "activation": {"prometheus": {"query": "sum(up)"}}},
            False,
            True,
            "or set minReplicas to 1 and leave activation out",
        ),
    ],
)
def test_what_the_cluster_cannot_do_is_said_and_what_serves_keeps_its_pods(
    autoscaling: dict[str, Any], keda: bool, prometheus: bool, told: str
) -> None:
    world = World(a_spec(serving={"replicas": 3}), WITH_PROMETHEUS if prometheus else INSTALLATION)
    world.extensions = frozenset({SCALED_OBJECT} if keda else ())
    world.settle()
    world.edit(lambda spec: spec.__setitem__("serving", {"autoscaling": autoscaling}))
    world.settle()
    assert summary(world.status)["Stalled"] == "True/AutoscalerUnavailable"
    assert summary(world.status)["Available"] == "True/Serving"
    assert told in condition(world.status, "Stalled")["message"]
    assert current(world)["spec"]["replicas"] == 3
    assert world.of(HPA) == world.of(SCALED_OBJECT) == []
    world.extensions, world.installation = frozenset({SCALED_OBJECT}), WITH_PROMETHEUS
    world.settle()
    assert condition(world.status, "Ready")["status"] == "True"
    assert target_of(world, SCALED_OBJECT) == world.status["currentRevision"]


def test_cpu_that_is_not_requested_cannot_be_scaled_by() -> None:
    memory_only = INSTALLATION.serving.model_validate({"resources": {"requests": {"memory": "1Gi"}}})
    world = World(a_spec(serving={"autoscaling": CPU}), INSTALLATION.model_copy(update={"serving": memory_only}))
    world.settle()
    assert summary(world.status)["Stalled"] == "True/AutoscalerUnavailable"
    assert "set spec.serving.resources.requests.cpu" in condition(world.status, "Stalled")["message"]


@pytest.mark.parametrize(("delay", "threshold"), [(None, "20"), ("1ms", "20"), ("50ms", "500")])
def test_waiting_for_a_batch_is_not_taken_for_load(delay: str | None, threshold: str) -> None:
    world = scaled({"maxReplicas": 8}, keda=True, **({"batching": {"maxQueueDelay": delay}} if delay else {}))
    (found,) = world.of(SCALED_OBJECT)
    assert found["spec"]["triggers"][0]["metadata"]["threshold"] == threshold


def test_engines_change_one_after_the_other() -> None:
    """KEDA's webhook refuses a Deployment that another HPA scales, and a refused write would hold up the deletion."""
    world = scaled(CPU, keda=True)
    rounds = len(world.history)
    world.edit(lambda spec: spec.__setitem__("serving", {"autoscaling": QUEUE}))
    world.settle()
    first, second, *_ = world.history[rounds:]
    kinds = {wish.manifest["kind"] for wish in first.apply}
    assert [item.reference.kind for item in first.delete] == [HPA]
    assert SCALED_OBJECT not in kinds
    assert SCALED_OBJECT in {wish.manifest["kind"] for wish in second.apply}
    assert target_of(world, SCALED_OBJECT) == world.status["currentRevision"]


def test_what_the_autoscaler_complains_of_stands_in_the_status() -> None:
    world = scaled(CPU)
    (hpa,) = world.of(HPA)
    told = {"type": "ScalingActive", "status": "False", "reason": "FailedGetContainerResourceMetric", "message": "no"}
    hpa["status"] = {"conditions": [{"type": "AbleToScale", "status": "True"}, told]}
    world.settle()
    assert world.status["autoscaling"] == {"engine": "HPA", "message": "FailedGetContainerResourceMetric: no"}
    assert condition(world.status, "Ready")["status"] == "True"


def test_somebody_elses_autoscaler_of_that_name_is_left_alone() -> None:
    world = scaled({"maxReplicas": 2, "target": {"cpu": 50}})
    (hpa,) = world.of(HPA)
    hpa["metadata"]["ownerReferences"] = [{"uid": "somebody", "apiVersion": "v1", "kind": "X", "name": "x"}]
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": 1}))
    world.settle()
    assert len(world.of(HPA)) == 1
    assert "autoscaling" not in world.status
