"""A canary is judged by its requests, its pods and figures in Prometheus."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from tests.support.models import INSTALLATION, condition, summary
from tests.support.world import Requests, World, healthy
from tests.unit.control.rollouts import (
    CANARY,
    change,
    differing,
    only,
    reached_by_traffic,
    restarted,
    serving,
    set_rollout,
    silent,
)

from modelpress.render.installation import Prometheus


def test_a_canary_that_fails_requests_is_back_within_one_reading_and_rejected_with_its_figures() -> None:
    world = serving(CANARY)
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.pass_time(20)
    world.requests = lambda pod: Requests(good=0, bad=5) if new in pod["metadata"]["name"] else Requests()
    since = world.now
    while new in reached_by_traffic(world):
        world.pass_time(1)
    assert world.now - since <= timedelta(seconds=6)
    assert summary(world.status)["Stalled"] == "True/AnalysisFailed"
    assert summary(world.status)["Verified"] == "True/ReferenceAnswersReproduced"
    assert "Too many requests fail, 1.00 % may: the new version failed 5 of 405" in world.status["rejected"]["message"]
    assert world.names("Deployment") == [old], "its pods drain at once: who keeps a connection would go on asking them"
    world.pass_time(1000)
    assert world.names("Deployment") == [old], "it is not tried again by itself"
    world.requests = lambda pod: Requests()
    set_rollout(world, retryToken="again")
    world.pass_time(200)
    assert world.status["currentRevision"] == new


def test_a_canary_that_begins_to_fail_late_in_a_long_step_is_back_as_soon() -> None:
    world = serving({**CANARY, "steps": [{"weight": 20, "pause": "24h"}]})
    new = change(world, 7)
    world.pass_time(600)
    world.requests = lambda pod: Requests(good=0, bad=20) if new in pod["metadata"]["name"] else Requests()
    world.pass_time(5)
    assert summary(world.status)["Stalled"] == "True/AnalysisFailed"
    assert "More than half of the requests of the last seconds failed" in world.status["rejected"]["message"]


def test_a_canary_that_is_right_and_slow_goes_back_where_latency_is_judged() -> None:
    world = serving({**CANARY, "analysis": {"maxLatencyIncrease": 0.5}})
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.requests = lambda pod: Requests(milliseconds=16) if new in pod["metadata"]["name"] else Requests()
    world.pass_time(30)
    assert "It is slower by 60 %, 50 % are allowed" in condition(world.status, "Ready")["message"]
    assert reached_by_traffic(world) == {old}


def test_a_canary_whose_requests_wait_too_long_goes_back_where_queue_time_is_judged() -> None:
    world = serving({**CANARY, "analysis": {"maxQueueTime": "5ms"}})
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.requests = lambda pod: Requests(queued=8) if new in pod["metadata"]["name"] else Requests(queued=1)
    world.pass_time(30)
    assert "Its requests wait in the queue for 8.0 ms, 5ms is allowed" in condition(world.status, "Ready")["message"]
    assert reached_by_traffic(world) == {old}


ASKS = {**CANARY, "analysis": {"onInconclusive": "Pause", "queries": [{"name": "memory", "query": "x", "max": 0.9}]}}


def asking(allowed: bool = True) -> World:
    """Return a world in which a second version is on its way, judged by a query as well."""
    installed = Prometheus(address="http://prometheus:9090", analysis_queries=allowed)
    world = serving(ASKS, installation=INSTALLATION.model_copy(update={"prometheus": installed}))
    world.figures = lambda name: 0.5
    return world


def test_a_canary_passes_when_its_figures_in_prometheus_keep_within_bounds() -> None:
    world = asking()
    new = change(world, 7)
    world.pass_time(200)
    assert world.status["currentRevision"] == new
    assert any("Query memory is 0.5, at most 0.9 is asked for" in told for _, _, told in world.events)


def test_a_canary_whose_figures_in_prometheus_leave_their_bounds_goes_back() -> None:
    world = asking()
    old = world.status["currentRevision"]
    change(world, 7)
    world.figures = lambda name: 0.95
    world.pass_time(6)
    assert "Query memory is 0.95, at most 0.9 is asked for." in condition(world.status, "Ready")["message"]
    assert condition(world.status, "Stalled")["reason"] == "AnalysisFailed"
    assert reached_by_traffic(world) == {old}


def test_a_query_that_fails_is_no_pass_and_one_that_may_not_be_asked_is_said() -> None:
    world = asking()
    change(world, 7)
    world.figures = lambda name: "Prometheus does not answer"
    world.pass_time(400)
    assert summary(world.status)["Ready"] == "False/AwaitingPromotion"
    assert world.status["rollout"]["analysis"]["message"] == "Query memory tells nothing: Prometheus does not answer."
    world.figures = lambda name: 0.5
    world.pass_time(200)
    assert summary(world.status)["Ready"] == "True/Serving"
    world = asking(allowed=False)
    change(world, 7)
    world.pass_time(400)
    assert "this installation lets models ask no Prometheus" in world.status["rollout"]["analysis"]["message"]


def test_a_canary_whose_counters_cannot_be_read_goes_back_unless_nobodys_can() -> None:
    world = serving(CANARY)
    new = change(world, 7)
    world.requests = lambda pod: None
    world.pass_time(70)
    assert summary(world.status)["Ready"] == "False/AwaitingPromotion"
    assert "No pod's counters can be read" in world.status["rollout"]["analysis"]["message"]
    world.requests = lambda pod: None if new in pod["metadata"]["name"] else Requests()
    world.pass_time(11)
    assert summary(world.status)["Stalled"] == "True/AnalysisFailed"
    assert "cannot be read on port 8002" in world.status["rejected"]["message"]


@pytest.mark.parametrize("how", ["restarts", "stops answering"])
def test_a_canary_that_does_not_stay_up_goes_back_at_once(how: str) -> None:
    world = serving(CANARY)
    old = world.status["currentRevision"]
    new = change(world, 7)
    world.pass_time(20)
    world.pods = only(new, (restarted if how == "restarts" else silent)(world))
    world.settle()
    assert reached_by_traffic(world) == {old}
    assert summary(world.status)["Stalled"] == "True/CandidateUnhealthy"
    assert summary(world.status)["Available"] == "True/Serving"


def test_a_restart_that_the_store_made_is_not_the_candidates_fault() -> None:
    world = serving(CANARY)
    new = change(world, 7)
    world.pass_time(20)
    world.pods = only(new, restarted(world, code=20))
    world.pass_time(200)
    assert world.status["currentRevision"] == new


def test_too_few_requests_pause_promote_or_roll_back_as_is_asked() -> None:
    found = {}
    for asked in ("Pause", "Promote", "Rollback"):
        world = serving({**CANARY, "analysis": {"onInconclusive": asked}})
        change(world, 7)
        world.requests = lambda pod: Requests(good=0.1)
        world.pass_time(200)
        found[asked] = summary(world.status)["Ready"]
    assert found == {
        "Pause": "False/AwaitingPromotion",
        "Promote": "True/Serving",
        "Rollback": "False/AnalysisInconclusive",
    }


def test_a_verdict_from_before_there_were_limits_still_holds() -> None:
    world = serving({"strategy": "BlueGreen"})
    old = world.status["currentRevision"]
    world.pods = only(old, healthy, differing)
    new = change(world, 7)
    world.pass_time(30)
    (rejected,) = [item["status"]["rejected"] for item in world.of("ModelRevision") if item["metadata"]["name"] == new]
    assert rejected["judgedBy"] == hashlib.sha256(b'["revision",""]').hexdigest()
