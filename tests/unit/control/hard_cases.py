"""What may happen in the middle of a rollout, and what must hold meanwhile: what tests of hard cases share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.support.models import a_failure, condition
from tests.support.world import REVISION, ROLE, Ends, Hangs, World, healthy, loads, obliging
from tests.unit.control.rollouts import (
    STRATEGIES,
    change,
    only,
    reached_by_traffic,
    serving,
    set_rollout,
    starting,
)

from modelpress.control.plan import Reference
from modelpress.control.readiness import health


class Watch:
    """Looks at a world after each of its rounds. `excused`: nothing needs to answer, since the strategy says so."""

    def __init__(self, world: World) -> None:
        self.world, self.excused = world, world.model["spec"]["rollout"].get("strategy") == "Recreate"
        self._proved = reached_by_traffic(world)
        self._round, world.round = world.round, self.round  # type: ignore[method-assign]

    def _is_proved(self, revision: str) -> bool:
        """Say whether every pod of some set has proved a revision that it loads beside what it serves."""
        told, by_set = self.world.holdings(), defaultdict(list)
        for pod in self.world.of("Pod", "serve"):
            answer = told.get(pod["metadata"]["name"])
            held = answer.candidates if answer is not None else ()
            by_set[pod["metadata"]["labels"][REVISION]].append(
                any(model.revision == revision and model.verified for model in held)
            )
        return any(all(proved) for proved in by_set.values())

    def round(self) -> bool:
        observed = self.world.observe()
        names = self.world.names("ModelRevision")
        before = {name for name in names if health(observed, name).settled or self._is_proved(name)}
        changed = self._round()
        asked = reached_by_traffic(self.world)
        assert asked - self._proved <= before, "only whole sets come into traffic"
        self._proved |= asked
        assert len(asked) <= 2
        assert asked or self.excused, "something serves"
        refused = {
            item["metadata"]["name"]
            for item in self.world.of("ModelRevision")
            if (item.get("status") or {}).get("rejected")
        }
        assert not (asked & refused) - {self.world.status["currentRevision"]}, "nobody who was rejected is asked"
        return changed


def under_way(strategy: str, replicas: int = 4) -> tuple[World, str, str]:
    """Return a world in which a second version is on its way: half of all pods are its own, if it is a canary."""
    world = serving(STRATEGIES[strategy], replicas)
    old = world.status["currentRevision"]
    Watch(world)
    steps = strategy in ("Canary", "Auto")
    if not steps:
        world.pods = only(old, healthy, starting)
        world.loads = lambda pod, revision: revision == old
    new = change(world, 7)
    if steps:
        world.pass_time(65)
        assert reached_by_traffic(world) == {old, new}
    return world, old, new


def go_on(world: World) -> None:
    world.pods, world.loads = healthy, loads
    world.pass_time(400)


def deleted_pod(world: World, revision: str) -> None:
    world.remove(Reference("v1", "Pod", "team-a", f"{revision}-pod-0"))


def third_version(world: World, _old: str, _new: str) -> str:
    return change(world, 8)


def back_to_the_first(world: World, old: str, _new: str) -> str:
    world.edit(lambda spec: spec["compression"].pop("seed"))
    return old


def back_and_forth(world: World, _old: str, new: str) -> str:
    world.edit(lambda spec: spec["compression"].pop("seed"))
    world.round()
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.round()
    world.edit(lambda spec: spec["compression"].pop("seed"))
    world.pass_time(3)
    return change(world, 7)


def abort_during_a_return(world: World, old: str, new: str) -> str:
    world.edit(lambda spec: spec["compression"].pop("seed"))
    world.round()
    set_rollout(world, action={"revision": new, "do": "Abort"})
    return old


def stable_pod_deleted(world: World, old: str, new: str) -> str:
    if old in world.names("Deployment"):
        deleted_pod(world, old)
    return new


def candidate_pod_evicted(world: World, _old: str, new: str) -> str:
    if new in world.names("Deployment"):
        deleted_pod(world, new)
    return new


def candidate_set_deleted(world: World, _old: str, new: str) -> str:
    if new in world.names("Deployment"):
        world.remove(Reference("apps/v1", "Deployment", "team-a", new))
    return new


def word_for_another(world: World, _old: str, new: str) -> str:
    set_rollout(world, action={"revision": "digits-0000000000", "do": "Abort"})
    return new


def operator_restarted(world: World, _old: str, new: str) -> str:
    world.restart_operator()
    return new


def status_lost(world: World, _old: str, new: str) -> str:
    world.model["status"] = {}
    world.restart_operator()
    return new


def annotations_lost(world: World, _old: str, new: str) -> str:
    for service in world.of("Service"):
        service["metadata"].pop("annotations", None)
    return new


def annotations_changed(world: World, _old: str, new: str) -> str:
    for service in world.of("Service"):
        for name in service["metadata"].get("annotations", {}):
            service["metadata"]["annotations"][name] = "nonsense"
    return new


def all_of_it_lost(world: World, old: str, new: str) -> str:
    annotations_lost(world, old, new)
    return status_lost(world, old, new)


def service_lost(world: World, _old: str, new: str) -> str:
    world.remove(Reference("v1", "Service", "team-a", "digits"))
    return new


def service_and_status_lost(world: World, old: str, new: str) -> str:
    """What had all traffic last is known from the revisions alone."""
    service_lost(world, old, new)
    return status_lost(world, old, new)


def scaled(world: World, _old: str, new: str) -> str:
    world.edit(lambda spec: spec["serving"].__setitem__("replicas", 6))
    return new


def scaled_down(world: World, _old: str, new: str) -> str:
    world.edit(lambda spec: spec["serving"].__setitem__("replicas", 1))
    return new


def paused_for_a_while(world: World, _old: str, new: str) -> str:
    set_rollout(world, paused=True)
    world.pass_time(100)
    set_rollout(world, paused=None)
    return new


def strategy_changed(world: World, _old: str, new: str) -> str:
    canary = world.model["spec"]["rollout"]["strategy"] in ("Canary", "Auto")
    set_rollout(world, strategy="BlueGreen" if canary else "Canary", analysis=None, steps=None)
    return new


def promotion_of_the_overtaken(world: World, _old: str, new: str) -> str:
    """Git still holds the word about a revision that is not the candidate any more."""
    set_rollout(world, action={"revision": new, "do": "Promote"})
    third = change(world, 8)
    assert reached_by_traffic(world) <= {_old, third}
    return third


def autoscaled(world: World, old: str, new: str) -> str:
    scaling = {"minReplicas": 2, "maxReplicas": 8, "target": {"cpu": 70}}
    world.edit(lambda spec: spec.__setitem__("serving", {"autoscaling": scaling}))
    for pods in (6, 3):
        world.settle()
        for deployment in world.of("Deployment"):
            if deployment["metadata"]["name"] == old:
                deployment["spec"]["replicas"] = pods
        world.pass_time(3)
    return new


def node_drained(world: World, old: str, new: str) -> str:
    """One pod of each set is evicted, and takes a while to come up elsewhere."""
    before = world.pods
    world.pods = lambda deployment, index: (starting if index == 0 else before)(deployment, index)
    for name in (old, new):
        if Reference("v1", "Pod", "team-a", f"{name}-pod-0") in world.objects:
            deleted_pod(world, name)
    world.pass_time(20)
    assert reached_by_traffic(world) >= {old} or world.model["spec"]["rollout"]["strategy"] == "Recreate"
    world.pods = before
    return new


def data_gone_for_a_while(world: World, old: str, new: str) -> str:
    world.edit(lambda spec: spec["evaluation"].__setitem__("test", {"uri": "s3://data/gone.npz"}))
    world.jobs = no_test_data
    world.pass_time(30)
    assert condition(world.status, "Ready")["reason"] == "SourceNotFound"
    assert reached_by_traffic(world) <= {old, new}
    world.jobs = obliging
    set_rollout(world, retryToken="it is back")
    return new


def no_test_data(job: dict[str, Any]) -> Ends | Hangs:
    gone = Ends(10, a_failure("SourceNotFound", "s3://data/gone.npz is not there."))
    return gone if job["metadata"]["labels"][ROLE] == "resolve" else obliging(job)


def promoted(world: World, _old: str, new: str) -> str:
    set_rollout(world, action={"revision": new, "do": "Promote"})
    return new


COMES_TO: dict[str, Callable[[World, str, str], str]] = {
    case.__name__: case
    for case in (
        third_version,
        back_to_the_first,
        back_and_forth,
        abort_during_a_return,
        stable_pod_deleted,
        candidate_pod_evicted,
        candidate_set_deleted,
        word_for_another,
        operator_restarted,
        status_lost,
        annotations_lost,
        annotations_changed,
        all_of_it_lost,
        service_lost,
        service_and_status_lost,
        scaled,
        scaled_down,
        paused_for_a_while,
        strategy_changed,
        promoted,
        promotion_of_the_overtaken,
        autoscaled,
        node_drained,
        data_gone_for_a_while,
    )
}
"""What may happen in the middle; each returns the revision that is to serve in the end."""


def at_rest(world: World) -> None:
    plan = world.plan()
    assert (plan.scale, plan.delete, plan.events, plan.requeue_after) == ((), (), (), None)
    assert dict(plan.status[-1].status) == world.status
