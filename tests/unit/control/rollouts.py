"""What tests of rollouts share: worlds in which a version serves, changes of the spec, pods that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.support.models import INSTALLATION, a_failure, a_spec, stamp
from tests.support.world import World, healthy

from modelpress.api.reasons import Reason
from modelpress.api.results import Failure
from modelpress.control.sets import revision_in
from modelpress.render.installation import Installation

Pods = Callable[[dict[str, Any], int], dict[str, Any]]

CANARY = {
    "strategy": "Canary",
    "steps": [{"weight": 20, "pause": "60s"}, {"weight": 50, "pause": "60s"}],
    "analysis": {"onInconclusive": "Pause"},
}
WITH_SETS_OF_THEIR_OWN = ("Canary", "BlueGreen", "Recreate")
"""Strategies by which a candidate gets pods of its own, or does not come."""
STRATEGIES: dict[str, dict[str, Any]] = {
    "Canary": CANARY,
    "BlueGreen": {"strategy": "BlueGreen", "scaleDownDelay": "2m"},
    "InPlace": {"strategy": "InPlace"},
    "Recreate": {"strategy": "Recreate"},
    "Auto": CANARY | {"strategy": "Auto"},
}


def serving(rollout: dict[str, Any], replicas: int | None = 4, installation: Installation = INSTALLATION) -> World:
    """Return a world in which the first version serves."""
    spec = a_spec(rollout=rollout)
    if replicas is not None:
        spec["serving"] = {"replicas": replicas}
    world = World(spec, installation)
    world.settle()
    world.now += timedelta(hours=1)
    assert world.status["currentRevision"]
    return world


def change(world: World, seed: int) -> str:
    """Ask for another version and return its revision, once that is known."""
    world.edit(lambda spec: spec["compression"].__setitem__("seed", seed))
    world.settle()
    found: str = world.status.get("candidateRevision") or world.status["currentRevision"]
    return found


def set_rollout(world: World, **fields: Any) -> None:
    """Set fields of `spec.rollout`; None removes one."""

    def edit(spec: dict[str, Any]) -> None:
        merged = {**spec["rollout"], **fields}
        spec["rollout"] = {name: value for name, value in merged.items() if value is not None}

    world.edit(edit)


def of(world: World, revision: str) -> int:
    """Return how many pods a revision is asked to have; 0 if it has none."""
    return sum(item["spec"]["replicas"] for item in world.of("Deployment") if holds(world, item) == revision)


def holds(world: World, item: dict[str, Any]) -> str:
    """Return the revision that a Deployment's pods, or a pod, are to serve."""
    return revision_in(world.observe(), item["metadata"]["labels"]["modelpress.io/revision"])


def sets(world: World) -> list[str]:
    """Return the revisions that have a set of pods."""
    return [holds(world, item) for item in world.of("Deployment")]


def reached_by_traffic(world: World) -> set[str]:
    """Return the revisions that pods behind the main Service answer with."""
    return {holds(world, pod) for pod in behind_the_service(world)}


def behind_the_service(world: World) -> list[dict[str, Any]]:
    """Return the pods that the main Service leads to."""
    services = [item for item in world.of("Service") if item["metadata"]["name"] == "digits"]
    selector = services[0]["spec"]["selector"] if services else {"": "nobody"}
    return [pod for pod in world.of("Pod") if selector.items() <= pod["metadata"]["labels"].items()]


def shares(world: World, kind: str = "HTTPRoute") -> dict[str, int]:
    """Return the Services that the model's route leads to, by name, each with its weight."""
    (route,) = world.of(kind)
    (rule,) = route["spec"]["rules"]
    return {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}


def only(revision: str, bad: Pods, good: Pods = healthy) -> Pods:
    """Have the pods of `revision` be `bad`, and all others `good`."""
    return lambda deployment, index: (bad if deployment["metadata"]["name"] == revision else good)(deployment, index)


def refusing(revision: str, reason: Reason = Reason.ANSWERS_DIFFER) -> Callable[[dict[str, Any], str], Failure | bool]:
    """Have pods refuse to serve `revision` when they are to load it in place."""
    told = Failure(reason=reason, message="3 of 8 answers differ.")
    return lambda pod, asked: told if asked == revision else True


def silent_on(revision: str) -> Callable[[dict[str, Any], str], Failure | bool]:
    """Have pods not get so far as to prove `revision` when they are to load it in place."""
    return lambda pod, asked: asked != revision


def unschedulable(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    return {"conditions": [told]}


def starting(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    return {"conditions": [], "containerStatuses": [{"name": "triton", "state": {"waiting": {}}}]}


def differing(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    over = {"exitCode": 10, "message": a_failure("AnswersDiffer", "3 of 8 answers differ.")}
    return {"initContainerStatuses": [{"name": "agent", "restartCount": 1, "lastState": {"terminated": over}}]}


def crash_looping(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    over = {"lastState": {"terminated": {"exitCode": 139}}, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    return {"conditions": [], "containerStatuses": [{"name": "triton", "restartCount": 6, **over}]}


def restarted(world: World, code: int = 139) -> Pods:
    """Have pods be ready again after a container of theirs ended just now."""
    over = {"terminated": {"exitCode": code, "finishedAt": stamp(world.now)}}

    def pods(deployment: dict[str, Any], index: int) -> dict[str, Any]:
        status = healthy(deployment, index)
        status["containerStatuses"][0] |= {"restartCount": 1, "lastState": over}
        return status

    return pods


def silent(world: World) -> Pods:
    """Have pods run and not answer any more, as of now."""
    now = stamp(world.now)

    def pods(deployment: dict[str, Any], index: int) -> dict[str, Any]:
        status = healthy(deployment, index)
        return status | {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}]}

    return pods
