"""Files that are changed or lost in the store while a model is made of them are looked up again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.models import a_failure, a_publication, a_resolution, at, condition, digest, summary
from tests.support.world import ROLE, Ends, Hangs, World, healthy
from tests.unit.control.compressions import compression, made, set_token


def test_a_source_that_is_not_there_stalls_until_somebody_says_to_look_again() -> None:
    world = World()
    world.jobs = lambda job: Ends(10, a_failure("SourceNotFound"))
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/SourceNotFound"
    assert "retryToken" in condition(world.status, "Ready")["message"]
    assert len([name for name in world.created if "resolve" in name]) == 1
    world.objects = {
        reference: item for reference, item in world.objects.items() if reference.kind not in ("Job", "Pod")
    }
    world.settle()
    assert len([name for name in world.created if "resolve" in name]) == 1, "remembered without its Job"
    world.jobs = compression(Ends(message=a_publication()))
    world.edit(set_token("uploaded"))
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"


def changed_in_store(_deployment: dict[str, Any], _index: int) -> dict[str, Any]:
    over = {"exitCode": 10, "message": a_failure("ArtifactChanged", "model.onnx differs from what was accepted.")}
    return {"initContainerStatuses": [{"name": "agent", "restartCount": 1, "lastState": {"terminated": over}}]}


@pytest.mark.parametrize("served_before", [True, False])
@pytest.mark.parametrize("manifest", ["manifest", "another"])
def test_files_that_were_changed_in_the_store_are_made_again_when_the_retry_token_asks(
    manifest: str, *, served_before: bool
) -> None:
    world = World()
    if served_before:
        world.settle()
    world.pods = changed_in_store
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/ArtifactChanged"
    assert len(made(world)) == 1
    world.jobs = compression(Ends(message=a_publication(manifest)))
    world.edit(set_token("again"))
    world.round()
    assert len(made(world)) == 2
    world.pods = healthy
    world.pass_time(60)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.of("ModelArtifact")[0]["status"]["manifestDigest"] == digest(manifest)
    assert len(made(world)) == 2


def test_a_source_that_was_overwritten_before_it_was_fetched_is_looked_up_again() -> None:
    world = World()
    world.jobs = compression(Hangs())
    world.settle()
    world.now = at(5)
    mismatch = Ends(10, a_failure("DigestMismatch"), container="fetch")
    world.jobs = lambda job: (
        Ends(message=a_resolution("v2"))
        if job["metadata"]["labels"][ROLE] == "resolve"
        else mismatch
        if job["metadata"]["name"] == first
        else Ends(message=a_publication())
    )
    first = world.names("Job", "compress")[0]
    world.pass_time(60)
    assert summary(world.status)["Ready"] == "True/Serving"
    assert world.status["source"]["resolvedDigest"] == digest("v2")


def test_a_digest_that_never_fits_is_looked_up_again_once_and_then_said() -> None:
    world = World()
    world.jobs = compression(Hangs())
    world.settle()
    world.now = at(5)
    world.jobs = compression(Ends(10, a_failure("DigestMismatch"), container="fetch"))
    world.pass_time(3600)
    assert summary(world.status)["Stalled"] == "True/DigestMismatch"
    assert len([name for name in world.created if "resolve" in name]) <= 2
