"""What a verdict on a candidate counts for, and which revision an undo returns to."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import condition, summary
from tests.support.world import Requests, World, healthy
from tests.unit.control.rollouts import CANARY, STRATEGIES, change, differing, only, serving, set_rollout, starting

from modelpress.cli import rollout_words


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_who_asks_for_another_try_before_the_failure_was_judged_gets_it(strategy: str) -> None:
    world = serving(STRATEGIES[strategy], 1)
    world.pods = only(world.status["currentRevision"], healthy, starting)
    new = change(world, 7)
    world.pods = only(new, differing)
    world.run_controllers()  # it has failed, and the operator has not seen it
    set_rollout(world, retryToken="again")
    world.settle()
    assert [reason for _, reason, _ in world.events].count("AnswersDiffer") >= 1, "the first failure is told"
    assert condition(world.status, "Stalled")["status"] == "True", "the second try failed as well, and was the last"
    attempts = [item for item in world.created if item.endswith(f"Deployment team-a/{new}") or item.endswith(new)]
    assert len([item for item in attempts if "Deployment" in item]) == 2
    set_rollout(world, retryToken="once more")
    world.pods = healthy
    world.pass_time(400)
    assert world.status["currentRevision"] == new


def test_a_token_that_changes_in_mid_canary_is_there_for_the_try_after_it() -> None:
    world = serving(CANARY)
    new = change(world, 7)
    set_rollout(world, retryToken="again")
    world.requests = lambda pod: Requests(good=0, bad=20) if new in pod["metadata"]["name"] else Requests()
    world.pass_time(6)
    assert "AnalysisFailed" in [reason for _, reason, _ in world.events]
    world.requests = lambda pod: Requests()
    world.pass_time(200)
    assert world.status["currentRevision"] == new


def test_an_abort_counts_for_the_word_that_stands_there_with_it() -> None:
    world = serving(CANARY)
    old, new = world.status["currentRevision"], change(world, 7)
    set_rollout(world, retryToken="again", action={"revision": new, "do": "Abort"})
    world.pass_time(400)
    assert condition(world.status, "Stalled")["reason"] == "Aborted"
    assert world.names("Deployment") == [old]


def undone(world: World) -> Any:
    """Return the revision that `modelpress rollout undo` would pin."""
    newest_first = sorted(world.of("ModelRevision"), key=lambda item: item["metadata"]["creationTimestamp"])[::-1]
    return rollout_words.undo(world.model, newest_first, None)["pinRevision"]


def test_an_undo_returns_to_what_had_all_traffic_not_to_what_only_answered() -> None:
    world = serving(CANARY)
    first = world.status["currentRevision"]
    second = change(world, 7)
    world.pass_time(200)
    assert world.status["currentRevision"] == second
    tried = change(world, 8)  # it answers beside the second, and is overtaken before it has all traffic
    world.pass_time(30)
    assert undone(world) == second, "beside a candidate, what serves"
    third = change(world, 9)
    world.pass_time(200)
    assert world.status["currentRevision"] == third
    assert tried in world.names("ModelRevision")
    assert undone(world) == second
    set_rollout(world, pinRevision=first)
    world.pass_time(200)
    assert (world.status["currentRevision"], summary(world.status)["Ready"]) == (first, "True/Serving")
    assert undone(world) == third, "what served before the pin"


def test_a_revision_remembers_when_it_took_over_and_nothing_else_changes_that() -> None:
    world = serving(CANARY)
    first, began = world.status["currentRevision"], served_at(world)
    assert list(began) == [world.status["currentRevision"]]
    change(world, 7)
    world.pass_time(30)
    assert served_at(world) == began, "a canary beside it is not the end of it"
    world.restart_operator()
    world.pass_time(200)
    assert served_at(world)[first] == began[first]
    assert list(served_at(world).values()) == sorted(served_at(world).values())
    assert len(served_at(world)) == 2


def served_at(world: World) -> dict[str, str]:
    found = {item["metadata"]["name"]: (item.get("status") or {}).get("servedAt") for item in world.of("ModelRevision")}
    times = {name: str(at) for name, at in found.items() if at}
    return dict(sorted(times.items(), key=lambda item: item[1]))
