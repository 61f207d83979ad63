"""A new version that answers otherwise than the one that serves gets no request."""

from __future__ import annotations

import pytest
from tests.support.models import summary
from tests.unit.control.rollouts import (
    change,
    of,
    reached_by_traffic,
    set_rollout,
)
from tests.unit.control.verification import (
    DISAGREEMENT,
    asked,
    demanding,
    worse,
)


def test_a_version_that_disagrees_with_the_one_that_serves_never_gets_a_request() -> None:
    world = demanding(**DISAGREEMENT)
    old = world.status["currentRevision"]
    assert asked(world) == [], "there was nobody to compare the first version with"
    world.jobs = worse(different=300)
    new = change(world, 7)
    assert summary(world.status)["Stalled"] == "True/Disagreement"
    told = f"It answers otherwise than {old} on 300 of 10,000 samples (3.00 %, 95 % bounds 2.72 %…3.30 %, by Argmax)"
    assert told in world.status["rejected"]["message"]
    assert "at most 2.00 % is allowed" in world.status["rejected"]["message"]
    assert world.names("Deployment") == [old]
    set_rollout(world, analysis={"disagreement": {"max": 0.05}})
    world.settle()
    world.pass_time(200)
    assert world.status["currentRevision"] == new
    assert asked(world) == [f"{new}-ask-1"], "a changed limit asks nobody"


@pytest.mark.parametrize("strategy", ["BlueGreen", "InPlace", "Recreate"])
def test_a_version_that_disagrees_is_sent_back_before_requests_move_to_it_at_once(strategy: str) -> None:
    world = demanding(strategy=strategy, analysis={"disagreement": {"max": 0.02}})
    old, pods = world.status["currentRevision"], [pod["metadata"]["uid"] for pod in world.of("Pod", "serve")]
    world.jobs = worse(different=300)
    new = change(world, 7)
    assert summary(world.status)["Stalled"] == "True/Disagreement"
    assert f"It answers otherwise than {old} on 300 of 10,000" in world.status["rejected"]["message"]
    assert (reached_by_traffic(world), asked(world)) == ({old}, [f"{new}-ask-1"])
    assert [pod["metadata"]["uid"] for pod in world.of("Pod", "serve")] == pods, "what serves went on serving"
    world.jobs = worse(different=100)
    set_rollout(world, retryToken="again")
    world.settle()
    world.pass_time(60)
    assert world.status["currentRevision"] == new


def test_a_version_that_agrees_takes_over_and_is_not_compared_with_itself() -> None:
    world = demanding(**DISAGREEMENT)
    world.jobs = worse(different=100)
    new = change(world, 7)
    world.pass_time(300)
    assert world.status["currentRevision"] == new
    assert summary(world.status)["Ready"] == "True/Serving"
    assert asked(world) == [f"{new}-ask-1"]


@pytest.mark.parametrize(
    ("on_inconclusive", "ready"),
    [("Promote", "True/Serving"), ("Pause", "False/AwaitingPromotion"), ("Rollback", "False/Disagreement")],
)
def test_where_no_answers_can_be_compared_the_analysis_says_what_then(on_inconclusive: str, ready: str) -> None:
    analysis = {"disagreement": {"max": 0.02}, "onInconclusive": on_inconclusive, "minRequests": 1}
    world = demanding(strategy="Canary", analysis=analysis)
    world.jobs = worse(compared=0)
    new = change(world, 7)
    world.pass_time(300)
    assert summary(world.status)["Ready"] == ready
    if on_inconclusive == "Pause":
        assert of(world, new) == 0
        set_rollout(world, action={"revision": new, "do": "Promote"})
        world.pass_time(300)
        assert world.status["currentRevision"] == new
