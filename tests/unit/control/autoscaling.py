"""What tests of autoscaling share: worlds in which an autoscaler counts pods, and what it scales."""

from __future__ import annotations

from typing import Any

from tests.support.models import INSTALLATION, a_spec
from tests.support.world import World

from modelpress.control.plan import Plan, Reference
from modelpress.render.installation import Prometheus

HPA, SCALED_OBJECT = "HorizontalPodAutoscaler", "ScaledObject"
WITH_PROMETHEUS = INSTALLATION.model_copy(update={"prometheus": Prometheus(address="http://prometheus:9090")})
QUEUE = {"maxReplicas": 8, "target": {"queueTime": "20ms"}}
CPU = {"maxReplicas": 8, "target": {"cpu": 70}}


def scaled(autoscaling: dict[str, Any], *, keda: bool = False, prometheus: bool = True, **serving: Any) -> World:
    """Return a settled world with a model that scales so, in a cluster with or without KEDA."""
    installation = WITH_PROMETHEUS if prometheus else INSTALLATION
    world = World(a_spec(serving={"autoscaling": autoscaling, **serving}), installation)
    world.extensions = frozenset({SCALED_OBJECT} if keda else ())
    world.settle()
    return world


def deployment(world: World, name: str) -> dict[str, Any]:
    return world.objects[Reference("apps/v1", "Deployment", "team-a", name)]


def current(world: World) -> dict[str, Any]:
    return deployment(world, world.status["currentRevision"])


def target_of(world: World, kind: str = HPA) -> str:
    """Return which Deployment the one autoscaler scales."""
    (found,) = world.of(HPA) + world.of(SCALED_OBJECT)
    assert (found["kind"], found["metadata"]["name"]) == (kind, "digits")
    return str(found["spec"]["scaleTargetRef"]["name"])


def scales(plans: list[Plan]) -> list[tuple[str, int]]:
    return [(scale.reference.name, scale.replicas) for plan in plans for scale in plan.scale]
