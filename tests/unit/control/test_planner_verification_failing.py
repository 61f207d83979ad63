"""What becomes of a version whose pod or Job fails while it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import a_failure, summary
from tests.support.world import Ends, Hangs, healthy, obliging
from tests.unit.control.rollouts import (
    change,
    differing,
    only,
    reached_by_traffic,
    restarted,
    set_rollout,
    starting,
    unschedulable,
)
from tests.unit.control.verification import (
    GATE,
    answering,
    asked,
    demanding,
    verified_by,
    verify_pods,
    worse,
)


def test_another_word_to_retry_asks_again() -> None:
    world = demanding(GATE)
    world.jobs = worse(top1=0.90)
    new = change(world, 7)
    world.jobs = obliging
    set_rollout(world, retryToken="again")
    world.settle()
    world.pass_time(60)
    assert asked(world, new)[-1] == f"{new}-ask-2"
    assert world.status["currentRevision"] == new


def test_a_word_to_retry_that_comes_while_a_pod_is_about_to_fail_gets_another_try() -> None:
    world = demanding(GATE)
    world.pods = verify_pods(starting)
    new = change(world, 7)
    world.pods = verify_pods(differing)
    set_rollout(world, retryToken="again")
    world.run_controllers()
    world.round()
    assert summary(world.status)["Stalled"] == "True/AnswersDiffer"
    world.pods = healthy
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_a_word_to_retry_that_comes_while_a_pod_is_asked_gets_another_try() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs())
    new = change(world, 7)
    set_rollout(world, retryToken="again")
    world.settle()
    assert asked(world, new) == [f"{new}-ask-1"], "what is under way is not begun anew"
    world.jobs = answering(lambda job: Ends(10, a_failure("EvaluationFailed")))
    world.run_controllers()
    world.jobs = obliging
    world.settle()
    world.pass_time(60)
    assert asked(world, new)[-1] == f"{new}-ask-2"
    assert world.status["currentRevision"] == new


def test_test_data_that_is_gone_is_waited_for_and_rejects_nobody() -> None:
    world = demanding(GATE)
    old = world.status["currentRevision"]
    world.jobs = answering(lambda job: Ends(10, a_failure("DatasetNotFound"), container="fetch"))
    new = change(world, 7)
    world.pass_time(3600)
    assert summary(world.status)["Reconciling"] == "True/DatasetNotFound"
    assert "rejected" not in world.status
    assert (world.status["currentRevision"], reached_by_traffic(world)) == (old, {old})
    assert len(asked(world, new)) <= 2, "Jobs that are noted go"
    world.jobs = obliging
    world.pass_time(400)
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_no_room_is_held_while_the_next_attempt_is_waited_for() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Ends(20, a_failure("StoreUnavailable"), container="fetch"))
    change(world, 7)
    assert summary(world.status)["Reconciling"] == "True/StoreUnavailable"
    assert verified_by(world) == set()


def test_a_job_that_goes_on_crashing_rejects_the_version_after_its_tries() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Ends(139))
    change(world, 7)
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/Crashed"
    assert "It was tried 3 times" in world.status["rejected"]["message"]


def test_a_server_that_takes_too_long_is_judged_as_that() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Ends(deadline=True))
    change(world, 7)
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/VerificationTimeout"


def test_a_pod_that_dies_under_the_questions_rejects_its_version() -> None:
    world = demanding(GATE)
    world.jobs = answering(lambda job: Hangs({"containerStatuses": [{"name": "ask", "state": {"running": {}}}]}))
    new = change(world, 7)
    world.pods = only(f"{new}-verify", restarted(world))
    world.settle()
    assert summary(world.status)["Stalled"] == "True/CandidateUnhealthy"
    assert "exit code 139. That was while it was asked for the test data" in world.status["rejected"]["message"]
    assert verified_by(world) == set()
    assert asked(world, new) == [], "the Job that asked it is stopped"


def test_a_pod_that_gives_other_answers_than_the_judge_is_not_even_asked() -> None:
    world = demanding(GATE)
    world.pods = verify_pods(differing)
    new = change(world, 7)
    assert summary(world.status)["Stalled"] == "True/AnswersDiffer"
    assert asked(world, new) == []


@pytest.mark.parametrize(
    ("bad", "reason"), [(unschedulable, "InsufficientCapacity"), (starting, "ProgressDeadlineExceeded")]
)
def test_a_pod_that_does_not_come_up_in_time_gives_its_room_back(bad: Any, reason: str) -> None:
    world = demanding(GATE, strategy="BlueGreen", progressDeadline="2m")
    old = world.status["currentRevision"]
    world.pods = verify_pods(bad)
    change(world, 7)
    assert verified_by(world)
    world.pass_time(121)
    assert summary(world.status)["Stalled"] == f"True/{reason}"
    assert verified_by(world) == set()
    assert reached_by_traffic(world) == {old}
