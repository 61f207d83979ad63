"""Every strategy in every hard case: what serves goes on serving, nobody unproved is asked, and it all comes to rest.

`WALKS=200 pytest` on this file takes longer walks through generated sequences of the same cases.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.models import a_failure, condition, summary
from tests.support.world import REVISION, ROLE, Ends, Hangs, Requests, World, healthy, loads, obliging, steady
from tests.unit.control.rollouts import (
    STRATEGIES,
    WITH_SETS_OF_THEIR_OWN,
    change,
    crash_looping,
    differing,
    only,
    reached_by_traffic,
    refusing,
    restarted,
    serving,
    set_rollout,
    sets,
    silent,
    silent_on,
    starting,
    unschedulable,
)

from modelpress.control.plan import Plan, Reference
from modelpress.control.readiness import health

EXAMPLES = int(os.environ.get("WALKS", "8"))


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


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("case", COMES_TO)
def test_it_comes_to_rest_at_the_revision_that_is_asked_for(strategy: str, case: str) -> None:
    world, old, new = under_way(strategy)
    wanted = COMES_TO[case](world, old, new)
    go_on(world)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.status["currentRevision"] == wanted
    assert sets(world) == [wanted]
    at_rest(world)


BAD: dict[str, Callable[[World], Any]] = {
    "crashes": restarted,
    "dies under load": lambda world: restarted(world, code=137),
    "crashes again and again": lambda world: crash_looping,
    "stops answering": silent,
    "answers differently": lambda world: differing,
    "finds no node any more": lambda world: unschedulable,
}


ONLY_WITH_REQUESTS = ("crashes", "dies under load", "stops answering")
"""Faults that count only once a candidate has requests, which but a canary's has only when it has taken over."""
FAULTS = [
    (strategy, fault)
    for strategy in WITH_SETS_OF_THEIR_OWN
    for fault in BAD
    if strategy == "Canary" or fault not in ONLY_WITH_REQUESTS
]


@pytest.mark.parametrize(("strategy", "fault"), FAULTS)
def test_a_candidate_that_goes_bad_after_it_was_ready_loses_to_the_old_version(strategy: str, fault: str) -> None:
    world, old, new = under_way(strategy, replicas=2)
    world.pass_time(5)
    world.pods = only(new, BAD[fault](world))
    world.pass_time(2500)
    assert condition(world.status, "Stalled")["status"] == "True", summary(world.status)
    assert world.names("Deployment") == [old]
    assert reached_by_traffic(world) == {old}
    at_rest(world)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_fast_and_wrong_candidate_never_gets_a_request(strategy: str) -> None:
    world = serving(STRATEGIES[strategy], 2)
    old = world.status["currentRevision"]
    world.pods = only(old, healthy, differing)
    new, asked = change(world, 7), set[str]()
    for _ in range(120):
        world.round()
        world.now += timedelta(seconds=5)
        asked |= reached_by_traffic(world)
    assert new != old
    assert asked == {old}
    assert condition(world.status, "Stalled")["reason"] == "AnswersDiffer"
    assert world.names("Deployment") == [old]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_operator_that_is_killed_at_any_write_of_a_rollout_comes_to_the_same_end(strategy: str) -> None:
    shorter = {"steps": [{"weight": weight, "pause": "10s"} for weight in (20, 50)]} if strategy == "Canary" else {}

    def life(killed_at: int) -> tuple[World, int]:
        world = serving(STRATEGIES[strategy] | shorter, 2)
        if strategy != "Recreate":
            Watch(world)
        killing = Killing(world, killed_at)
        change(world, 7)
        world.pass_time(150)
        return world, killing.writes

    undisturbed, writes = life(0)
    assert writes > 20
    for number in range(1, writes + 1):
        world, _ = life(number)
        assert summary(world.status) == summary(undisturbed.status), f"killed at write {number}"
        assert world.names("Deployment") == undisturbed.names("Deployment") == [world.status["currentRevision"]]
        assert reached_by_traffic(world) == reached_by_traffic(undisturbed)
        at_rest(world)


class Killing:
    """Has the operator die at its n-th write: what its plan asks for besides is not done. 0: it lives."""

    def __init__(self, world: World, killed_at: int) -> None:
        self._world, self._killed_at, self.writes = world, killed_at, 0
        self._carry_out, world.carry_out = world.carry_out, self.carry_out  # type: ignore[method-assign]

    def carry_out(self, made: Plan) -> None:
        for part in single_writes(made):
            before = self._world.fingerprint()
            self._carry_out(part)
            self.writes += self._world.fingerprint() != before
            if self._killed_at and self.writes == self._killed_at:
                self._killed_at = 0
                self._world.restart_operator()
                return


def single_writes(made: Plan) -> list[Plan]:
    """Return a plan for each write of `made`, in the order in which they are made."""
    parts = [("apply", made.apply), ("scale", made.scale), ("delete", made.delete), ("events", made.events)]
    parts.append(("status", made.status))
    return [Plan(**{name: (write,)}) for name, writes in parts for write in writes]


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
