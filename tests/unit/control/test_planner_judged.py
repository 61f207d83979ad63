"""A result that was judged is measured again where that is asked for, and not compressed again."""

from __future__ import annotations

from tests.support.models import a_publication, a_resolution, condition, summary
from tests.support.world import ROLE, Ends, World
from tests.unit.control.compressions import compression, made, set_token


def test_a_gate_that_fails_serves_nothing_and_a_looser_gate_needs_no_new_compression() -> None:
    world = World()
    world.jobs = compression(Ends(message=a_publication(top1=0.90)))
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert summary(world.status)["Accepted"] == "False/GateFailed"
    assert world.names("Deployment") == []
    assert world.status["compression"]["accuracyText"] == "0.900 (-0.080)"
    assert ". Nothing of it is served." in condition(world.status, "Ready")["message"]
    assert len(made(world)) == 1
    world.edit(lambda spec: spec["evaluation"]["gates"][0].__setitem__("value", 0.2))
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"
    assert len(made(world)) == 1


def test_a_gate_that_fails_leaves_the_old_version_serving() -> None:
    world = World()
    world.settle()
    first = world.status["currentRevision"]
    world.jobs = compression(Ends(message=a_publication(top1=0.90)))
    world.edit(lambda spec: spec["compression"].__setitem__("seed", 3))
    world.pass_time(60)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert summary(world.status)["Available"] == "True/Serving"
    assert world.status["currentRevision"] == first
    assert world.names("Deployment") == [first]


def test_the_retry_token_has_a_refused_result_measured_again_and_not_compressed_again() -> None:
    world = World()
    world.jobs = compression(Ends(message=a_publication(top1=0.90)))
    world.settle()
    world.jobs = compression(Ends(message=a_publication(top1=0.97)))
    world.edit(set_token("again"))
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"
    assert [job["metadata"]["labels"][ROLE] for job in world.of("Job")] == ["evaluate"]
    assert len(made(world)) == 2


def test_the_retry_token_changes_nothing_for_a_result_that_passed() -> None:
    world = World()
    world.settle()
    created = list(world.created)
    world.edit(set_token("again"))
    world.settle()
    assert world.created == created


def test_other_test_data_has_the_result_measured_and_not_compressed_again() -> None:
    world = World()
    world.settle()
    artifact, revision = world.status["artifact"], world.status["currentRevision"]
    world.jobs = lambda job: Ends(
        message=a_resolution(test="other") if job["metadata"]["labels"][ROLE] == "resolve" else a_publication(top1=0.97)
    )
    world.edit(lambda spec: spec["evaluation"].__setitem__("test", {"uri": "s3://data/other.npz"}))
    world.settle()
    assert (world.status["artifact"], world.status["currentRevision"]) == (artifact, revision)
    assert world.status["compression"]["accuracyText"] == "0.970 (-0.010)"
    assert "/evaluations/" in world.status["compression"]["report"]
