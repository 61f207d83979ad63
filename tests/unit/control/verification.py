"""What tests of verification share: worlds with gates on the serving runtime, Jobs that answer, and who is asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.support.models import a_spec, an_answer
from tests.support.world import ROLE, Ends, Hangs, World, healthy, obliging

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


def verify_pods(bad: Any) -> Any:
    """Have pods that are verified be `bad`, and all others healthy."""
    return lambda item, index: (bad if item["metadata"]["name"].endswith("-verify") else healthy)(item, index)
