"""Walks through hard cases in generated sequences: something always serves, and in the end what the spec says.

`WALKS=200 pytest` on this file takes longer ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.models import summary
from tests.support.world import Requests, World, healthy, loads, obliging, steady
from tests.unit.control.hard_cases import (
    Watch,
    annotations_lost,
    at_rest,
    deleted_pod,
    no_test_data,
    service_lost,
    status_lost,
)
from tests.unit.control.rollouts import (
    STRATEGIES,
    crash_looping,
    only,
    refusing,
    restarted,
    serving,
    set_rollout,
    sets,
    silent,
    silent_on,
    unschedulable,
)

from modelpress.control.plan import Reference

EXAMPLES = int(os.environ.get("WALKS", "8"))


def edit(field: str, value: Any) -> Callable[[World], None]:
    return lambda world: world.edit(lambda spec: spec["compression"].__setitem__(field, value))


def act(kind: str) -> Callable[[World], None]:
    def step(world: World) -> None:
        set_rollout(world, action={"revision": world.status.get("candidateRevision") or "none", "do": kind})

    return step


def let_pods(bad: Callable[[World], Any], which: str) -> Callable[[World], None]:
    def step(world: World) -> None:
        name = world.status.get("candidateRevision")
        if which == "candidate" and name:
            world.pods = only(name, bad(world))

    return step


def let_requests(does: Requests | None) -> Callable[[World], None]:
    def step(world: World) -> None:
        name = world.status.get("candidateRevision") or "none"
        world.requests = lambda pod: does if name in pod["metadata"]["name"] else Requests()

    return step


def evict_one_of_each(world: World) -> None:
    for deployment in world.names("Deployment"):
        if Reference("v1", "Pod", "team-a", f"{deployment}-pod-0") in world.objects:
            deleted_pod(world, deployment)


def lose_service(world: World) -> None:
    if "digits" in world.names("Service"):
        service_lost(world, "", "")


STEPS: dict[str, Callable[[World], object]] = {
    **{f"seed {number}": edit("seed", number) for number in (1, 2, 3)},
    **{
        f"{strategy}": lambda world, strategy=strategy: set_rollout(
            world, **{"steps": None, "analysis": None, "scaleDownDelay": None} | STRATEGIES[strategy]
        )
        for strategy in ("Canary", "BlueGreen", "InPlace", "Auto")
    },
    **{
        f"replicas {number}": lambda world, number=number: world.edit(
            lambda spec: spec["serving"].__setitem__("replicas", number)
        )
        for number in (1, 4)
    },
    "promote": act("Promote"),
    "abort": act("Abort"),
    "pause": lambda world: set_rollout(world, paused=True),
    "resume": lambda world: set_rollout(world, paused=None),
    "pin": lambda world: set_rollout(world, pinRevision=world.names("ModelRevision")[0]),
    "unpin": lambda world: set_rollout(world, pinRevision=None),
    "another token": lambda world: set_rollout(world, retryToken=str(world.now)),
    "candidate crashes": let_pods(restarted, "candidate"),
    "candidate goes silent": let_pods(silent, "candidate"),
    "candidate crashes again and again": let_pods(lambda world: crash_looping, "candidate"),
    "candidate finds no node": let_pods(lambda world: unschedulable, "candidate"),
    "candidate fails requests": let_requests(Requests(good=0, bad=20)),
    "candidate tells nothing": let_requests(None),
    "pods refuse the candidate": lambda world: setattr(world, "loads", refusing(world.status.get("candidateRevision"))),
    "pods are silent on the candidate": lambda world: setattr(
        world, "loads", silent_on(world.status.get("candidateRevision"))
    ),
    "all is well": lambda world: (
        setattr(world, "pods", healthy),
        setattr(world, "requests", steady),
        setattr(world, "loads", loads),
    ),
    "a node is drained": evict_one_of_each,
    "test data is gone": lambda world: setattr(world, "jobs", no_test_data),
    "other test data": lambda world: world.edit(
        lambda spec: spec["evaluation"].__setitem__("test", {"uri": f"s3://data/{world.now:%H%M%S}.npz"})
    ),
    "the Service is deleted": lose_service,
    "operator restarts": World.restart_operator,
    "status is lost": lambda world: status_lost(world, "", ""),
    "annotations are lost": lambda world: annotations_lost(world, "", ""),
    "12 s": lambda world: world.pass_time(12),
    "65 s": lambda world: world.pass_time(65),
}


@settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == 8, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["Canary", "BlueGreen", "InPlace", "Auto"]),
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 4)), min_size=6, max_size=16),
)
def test_whatever_happens_something_serves_and_once_it_ends_the_spec_is_served(
    strategy: str, walked: list[tuple[str, int]]
) -> None:
    world = serving(STRATEGIES[strategy], 2)
    Watch(world)
    for step, rounds in walked:
        STEPS[step](world)
        for _ in range(rounds):
            world.round()
    world.jobs = obliging
    for step in ("all is well", "resume", "unpin"):
        STEPS[step](world)
    set_rollout(world, action=None, retryToken="at last")
    world.pass_time(500)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert sets(world) == [world.status["currentRevision"]]
    at_rest(world)
