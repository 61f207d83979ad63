"""Changes of version under each strategy, as a user lives through them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from tests.support.models import condition, stamp, summary
from tests.support.world import Requests, World, healthy
from tests.unit.control.rollouts import (
    CANARY,
    STRATEGIES,
    WITH_SETS_OF_THEIR_OWN,
    change,
    of,
    only,
    reached_by_traffic,
    serving,
    set_rollout,
    starting,
    unschedulable,
)

from modelpress.control.plan import Reference


def test_a_canary_takes_over_in_steps_and_the_old_set_is_whole_until_the_end() -> None:
    world = serving(CANARY)
    old = world.status["currentRevision"]
    new = change(world, 7)
    seen = [(of(world, old), of(world, new), reached_by_traffic(world))]
    for seconds in (61, 60, 20):
        world.pass_time(seconds)
        seen.append((of(world, old), of(world, new), reached_by_traffic(world)))
    assert seen[:2] == [(4, 1, {old, new}), (4, 4, {old, new})]
    assert seen[2:] == [(4, 4, {new}), (0, 4, {new})], "the old set stays for a moment, without traffic"
    assert world.names("Deployment") == [new]
    assert summary(world.status)["Ready"] == "True/Serving"
    reasons = [reason for _, reason, _ in world.events]
    assert reasons.count("AnalysisPassed") == 2
    assert reasons[-1] == "RolledOut"
    assert "rollout" not in world.status


def test_the_default_is_a_canary_of_two_steps_that_needs_no_traffic_to_end() -> None:
    world = serving({})
    world.requests = lambda pod: Requests(good=0)
    new = change(world, 7)
    assert world.status["rollout"]["strategy"] == "Canary"
    world.pass_time(119)
    assert world.status["currentRevision"] != new
    world.pass_time(2)
    assert world.status["currentRevision"] == new
    assert [reason for _, reason, _ in world.events].count("AnalysisInconclusive") == 2


def test_a_person_promotes_what_waits_and_the_word_means_nothing_for_the_next_candidate() -> None:
    world = serving({**CANARY, "steps": [{"weight": 20}]})
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.pass_time(100)
    assert summary(world.status)["Ready"] == "False/AwaitingPromotion"
    assert reached_by_traffic(world) == {old, new}
    set_rollout(world, action={"revision": new, "do": "Promote"})
    world.pass_time(30)
    assert world.names("Deployment") == [new]
    third = change(world, 8)
    world.pass_time(100)
    assert (world.status["currentRevision"], world.status["candidateRevision"]) == (new, third)


def test_a_person_aborts_a_candidate_and_it_stays_away() -> None:
    world = serving(CANARY)
    old = world.status["currentRevision"]
    new = change(world, 7)
    set_rollout(world, action={"revision": new, "do": "Abort"})
    world.pass_time(30)
    assert summary(world.status)["Stalled"] == "True/Aborted"
    assert world.names("Deployment") == [old]
    set_rollout(world, action=None)
    world.pass_time(1000)
    assert world.names("Deployment") == [old]
    set_rollout(world, retryToken="again")
    world.pass_time(200)
    assert world.status["currentRevision"] == new


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_pinned_revision_is_served_whatever_the_spec_asks_for_and_without_steps(strategy: str) -> None:
    world = serving(STRATEGIES[strategy])
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.pass_time(400)
    assert world.status["currentRevision"] == new
    set_rollout(world, pinRevision=old)
    world.pass_time(30)
    assert world.status["currentRevision"] == old
    assert "pinRevision keeps it there" in condition(world.status, "Ready")["message"]
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 8))
    world.pass_time(400)
    assert world.status["currentRevision"] == old
    assert len(world.names("ModelArtifact")) == 3, "what the spec asks for is made all the same"
    set_rollout(world, pinRevision=None)
    world.pass_time(400)
    assert world.status["currentRevision"] not in (old, new)


def test_a_pin_on_a_revision_that_is_not_there_is_said_and_changes_nothing() -> None:
    world = serving(CANARY)
    old = world.status["currentRevision"]
    set_rollout(world, pinRevision="digits-0000000000")
    world.pass_time(100)
    assert summary(world.status)["Stalled"] == "True/RevisionNotFound"
    assert f"the revisions of this model are: {old}." in condition(world.status, "Ready")["message"]
    assert world.names("Deployment") == [old]


@pytest.mark.parametrize("strategy", WITH_SETS_OF_THEIR_OWN)
def test_a_candidate_without_room_goes_back_after_the_deadline(strategy: str) -> None:
    world = serving({**STRATEGIES[strategy], "progressDeadline": "5m"})
    old = world.status["currentRevision"]
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    world.pods = lambda deployment, index: (healthy if deployment["metadata"]["name"] == old else unschedulable)(
        deployment, index
    )
    world.pass_time(298)
    assert summary(world.status)["Reconciling"] == "True/PodUnschedulable"
    world.pass_time(30)
    assert summary(world.status)["Stalled"] == "True/InsufficientCapacity"
    assert summary(world.status)["Available"] == "True/Serving"
    assert world.names("Deployment") == [old], "the room is free again"


def test_a_later_step_without_room_goes_back_after_the_deadline_too() -> None:
    world = serving({**CANARY, "progressDeadline": "5m"})
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.pods = only(new, lambda deployment, index: (healthy if index < 1 else unschedulable)(deployment, index))
    world.pass_time(355)
    assert reached_by_traffic(world) == {old, new}
    world.pass_time(20)
    assert summary(world.status)["Stalled"] == "True/InsufficientCapacity"


def test_slow_pods_are_no_lack_of_room() -> None:
    world = serving({**CANARY, "progressDeadline": "5m"})
    world.pods = only(world.status["currentRevision"], healthy, starting)
    change(world, 7)
    world.pass_time(330)
    assert summary(world.status)["Stalled"] == "True/ProgressDeadlineExceeded"


def lingering(world: World, until: datetime) -> None:
    """Have pods that are told to end be there until they are removed; that is to be by `until`."""
    remove = world.remove

    def tell(reference: Reference) -> None:
        if reference.kind == "Pod":
            world.objects[reference]["metadata"]["deletionTimestamp"] = stamp(until)
        else:
            remove(reference)

    world.remove = tell  # type: ignore[method-assign]


def test_a_recreate_counts_its_deadline_from_when_the_old_pods_have_ended() -> None:
    world = serving({**STRATEGIES["Recreate"], "progressDeadline": "10s"}, replicas=1)
    remove, old = world.remove, world.status["currentRevision"]
    lingering(world, until=world.now + timedelta(seconds=50))
    new = change(world, 7)
    world.pass_time(45)
    assert world.names("Deployment") == []
    world.remove = remove  # type: ignore[method-assign]
    world.pods = only(new, starting)
    world.remove(Reference("v1", "Pod", "team-a", f"{old}-pod-0"))
    world.pass_time(9)
    assert world.names("Deployment") == [new]
    world.pods = healthy
    world.pass_time(5)
    assert world.status["currentRevision"] == new


def test_a_recreate_whose_old_pods_do_not_end_starts_the_old_set_again() -> None:
    world = serving({**STRATEGIES["Recreate"], "progressDeadline": "10s"}, replicas=1)
    old = world.status["currentRevision"]
    lingering(world, until=world.now + timedelta(seconds=50))
    change(world, 7)
    world.pass_time(55)
    assert world.names("Deployment") == []
    world.pass_time(10)
    assert world.names("Deployment") == [old]
    assert summary(world.status)["Stalled"] == "True/ProgressDeadlineExceeded"
    assert f"The pods of {old} were not gone within" in condition(world.status, "Ready")["message"]


def test_recreate_interrupts_and_says_so() -> None:
    world = serving(STRATEGIES["Recreate"], replicas=None)
    old = world.status["currentRevision"]
    world.of("Deployment")[0]["spec"]["replicas"] = 3
    world.settle()
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 7))
    most = 0
    available = []
    for _ in range(12):
        world.round()
        most = max(most, sum(item["spec"]["replicas"] for item in world.of("Deployment")))
        available.append(summary(world.status)["Available"][:4])
    assert most == 3, "never two sets at a time"
    assert "Fals" in available
    assert available[-1] == "True"
    assert old not in world.names("Deployment")
    assert of(world, world.status["currentRevision"]) == 3


def test_blue_green_returns_at_once_while_the_old_set_is_kept() -> None:
    world = serving(STRATEGIES["BlueGreen"])
    old = world.status["currentRevision"]
    spec = world.model["spec"]["compression"].copy()
    new = change(world, 7)
    world.pass_time(100)
    assert reached_by_traffic(world) == {new}
    assert of(world, old) == 4
    world.edit(lambda found: found.__setitem__("compression", spec))
    world.round()
    assert reached_by_traffic(world) == {old}
    world.pass_time(200)
    assert world.names("Deployment") == [old]


def test_paused_keeps_a_canary_at_its_step() -> None:
    world = serving(CANARY)
    old = world.status["currentRevision"]
    new = change(world, 7)
    set_rollout(world, paused=True)
    world.pass_time(100)
    assert (of(world, old), of(world, new)) == (4, 1)
    assert reached_by_traffic(world) == {old, new}
    assert (
        condition(world.status, "Ready")["message"]
        == f"spec.rollout.paused is set: {new} keeps its share beside {old}."
    )
    set_rollout(world, paused=None)
    world.pass_time(200)
    assert world.names("Deployment") == [new]


def test_a_canary_says_what_weight_it_reaches_and_that_it_is_coarse() -> None:
    world = serving({**CANARY, "steps": [{"weight": 5, "pause": "60s"}]}, replicas=2)
    change(world, 7)
    assert [world.status["rollout"][name] for name in ("weightWanted", "weightReached")] == [5, 33]
    assert [reason for _, reason, _ in world.events].count("WeightCoarse") == 1
    world.requests = lambda pod: Requests(good=1 if world.status["candidateRevision"] in pod["metadata"]["name"] else 9)
    world.pass_time(50)
    assert world.status["rollout"]["weightReached"] == 5, "counted, not reckoned"


def test_an_autoscaler_that_scales_during_a_canary_takes_the_candidate_along() -> None:
    world = serving({**CANARY, "steps": [{"weight": 20}]}, replicas=None)
    old = world.status["currentRevision"]
    new = change(world, 7)
    live = world.objects[Reference("apps/v1", "Deployment", "team-a", old)]
    live["spec"]["replicas"] = 8
    world.settle()
    assert (of(world, old), of(world, new)) == (8, 2)
    set_rollout(world, action={"revision": new, "do": "Promote"})
    world.pass_time(30)
    assert of(world, new) == 8
