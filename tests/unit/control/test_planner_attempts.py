"""What becomes of attempts that fail: judgements reject, surroundings are waited for, crashes are tried a few times."""

from __future__ import annotations

import pytest
from tests.support.models import a_failure, a_publication, a_spec, condition, summary
from tests.support.world import Ends, Hangs, World, attempts
from tests.unit.control.compressions import compression, made, set_token

from modelpress.control.clock import parse


def test_a_judgement_is_final_until_the_retry_token_changes() -> None:
    world = World()
    world.jobs = compression(Ends(10, a_failure("EntrypointFailed", "build() raised KeyError."), container="compress"))
    world.pass_time(7200)
    assert summary(world.status)["Stalled"] == "True/EntrypointFailed"
    assert summary(world.status)["Accepted"] == "False/EntrypointFailed"
    assert "build() raised KeyError." in condition(world.status, "Ready")["message"]
    assert world.status["rejected"]["reason"] == "EntrypointFailed"
    assert len(made(world)) == 1
    assert [kind for kind, reason, _ in world.events if reason == "EntrypointFailed"] == ["Warning"]
    world.jobs = compression(Ends(message=a_publication()))
    world.edit(set_token("mended"))
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"
    assert "rejected" not in world.status
    assert len(made(world)) == 2


def test_a_judgement_is_remembered_when_job_and_pod_are_gone() -> None:
    world = World()
    world.jobs = compression(Ends(10, a_failure("ExportFailed"), container="compress"))
    world.settle()
    for kind in ("Job", "Pod"):
        for reference in [reference for reference in world.objects if reference.kind == kind]:
            world.objects.pop(reference)
    world.settle()
    assert summary(world.status)["Stalled"] == "True/ExportFailed"
    assert len(made(world)) == 1


def test_more_memory_is_a_reason_to_try_again() -> None:
    spec = a_spec()
    spec["compression"]["job"] = {"retries": 0}
    world = World(spec)
    world.jobs = compression(Ends(137, reason="OOMKilled", container="compress"))
    world.settle()
    assert summary(world.status)["Stalled"] == "True/OutOfMemory"
    world.jobs = compression(Ends(message=a_publication()))
    resources = {"limits": {"memory": "8Gi"}}
    world.edit(lambda spec: spec["compression"]["job"].__setitem__("resources", resources))
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"


def test_a_store_that_is_away_is_waited_for_with_growing_pauses() -> None:
    world = World()
    world.jobs = compression(Ends(20, a_failure("StoreUnavailable"), container="fetch"))
    world.settle()
    assert summary(world.status)["Reconciling"] == "True/StoreUnavailable"
    assert summary(world.status)["Stalled"].startswith("False")
    world.pass_time(1500)
    assert 7 <= len(made(world)) <= 11, "after 10, 20, 40, 80, 160, 300, 300 … seconds"
    assert len(attempts(world)) == 1, "the Jobs of earlier attempts are gone"
    world.jobs = compression(Ends(message=a_publication()))
    world.pass_time(301)
    assert summary(world.status)["Ready"] == "True/Serving"


def test_a_crash_is_tried_again_as_often_as_the_spec_says() -> None:
    spec = a_spec()
    spec["compression"]["job"] = {"retries": 2}
    world = World(spec)
    world.jobs = compression(Ends(139, "segmentation fault", container="compress"))
    world.pass_time(7200)
    assert len(made(world)) == 3
    assert summary(world.status)["Stalled"] == "True/Crashed"
    assert "tried 3 times" in condition(world.status, "Ready")["message"]


def test_an_eviction_counts_as_a_crash_and_says_what_ran_out() -> None:
    world = World()
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "Usage of EmptyDir volume exceeds the limit 20Gi."}
    world.jobs = compression(Ends(pod=evicted))
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/OutOfScratch"
    assert len(made(world)) == 3


def test_a_lost_node_is_no_judgement_however_often() -> None:
    world = World()
    lost = [
        {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "node is gone"}
    ]
    world.jobs = compression(Ends(137, container="compress", pod={"conditions": lost}))
    world.pass_time(1500)
    assert summary(world.status)["Reconciling"] == "True/NodeLost"
    assert len(made(world)) > 5


def test_a_pod_that_vanished_with_what_it_said_is_tried_again() -> None:
    world = World()
    world.jobs = compression(Ends(1, deadline=True))
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}

    def vanish() -> None:
        for job in world.of("Job", "compress"):
            job["status"]["conditions"] = [failed | {"lastTransitionTime": "2026-01-01T12:00:00Z"}]

    world.round(), world.round(), world.round()
    vanish()
    world.settle()
    assert condition(world.status, "Stalled")["status"] == "False"
    assert world.history[-1].requeue_after is not None, "its pod may still show up"
    world.jobs = compression(Ends(message=a_publication()))
    world.pass_time(60)
    assert summary(world.status)["Ready"] == "True/Serving"


def test_a_job_that_outlives_its_deadline_is_a_timeout() -> None:
    world = World()
    world.jobs = compression(Ends(1, deadline=True))
    world.pass_time(600)
    assert summary(world.status)["Stalled"] == "True/CompressionTimeout"
    assert len(made(world)) == 1


def test_a_deadline_passed_while_no_node_took_the_pod_is_nobodys_fault() -> None:
    world = World()
    pending = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "cpu"}]}
    world.jobs = compression(Hangs(pending))
    world.settle()
    assert summary(world.status)["Reconciling"] == "True/PodUnschedulable"
    world.jobs = compression(Ends(1, deadline=True))
    for job in world.of("Job", "compress"):
        world.run_controllers()
        job.pop("status", None)
    world.objects = {reference: item for reference, item in world.objects.items() if reference.kind != "Pod"}
    world.run_controllers()
    world.jobs = compression(Ends(message=a_publication()))
    world.pass_time(60)
    assert summary(world.status)["Ready"] == "True/Serving"


@pytest.mark.parametrize("waiting", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_cannot_be_had_is_said_while_waiting(waiting: str) -> None:
    world = World()
    state = {"name": "fetch", "image": "operator:1", "state": {"waiting": {"reason": waiting, "message": "not found"}}}
    world.jobs = compression(Hangs({"initContainerStatuses": [state]}))
    world.settle()
    assert summary(world.status)["Reconciling"] == "True/ImageUnavailable"
    assert "operator:1" in condition(world.status, "Ready")["message"]


def test_a_pod_that_cannot_start_is_replaced_when_its_settings_change() -> None:
    world = World()
    pending = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "cpu"}]}
    world.jobs = compression(Hangs(pending))
    world.settle()
    world.jobs = compression(Ends(message=a_publication()))
    world.edit(lambda spec: spec["compression"].__setitem__("job", {"resources": {"requests": {"cpu": "1"}}}))
    world.settle()
    assert summary(world.status)["Ready"] == "True/Serving"


def test_a_missing_secret_heals_by_itself() -> None:
    world = World()
    world.jobs = lambda job: Ends(20, a_failure("SecretNotFound"))
    world.settle()
    assert summary(world.status)["Reconciling"] == "True/SecretNotFound"
    world.jobs = compression(Ends(message=a_publication()))
    world.pass_time(11)
    assert summary(world.status)["Ready"] == "True/Serving"


def test_what_a_tenant_says_is_shown_as_one_short_line() -> None:
    world = World()
    world.jobs = compression(Ends(10, a_failure("StageFailed", "a\n\x1b[31mb" + "x" * 5000), container="compress"))
    world.settle()
    message = condition(world.status, "Ready")["message"]
    assert message.isprintable()
    assert len(message) < 1300


def test_progress_is_shown_and_decides_nothing() -> None:
    world = World()
    running = {"containerStatuses": [], "initContainerStatuses": [{"name": "compress", "state": {"running": {}}}]}
    world.jobs = compression(Hangs(running))
    world.settle()
    job = world.names("Job", "compress")[0]
    world.progress = {job: {"stage": "finetune", "position": 2, "of": 4, "fraction": 0.4, "detail": "epoch 12 of 30"}}
    world.settle()
    assert world.status["progress"] == {"job": job, "message": "finetune 2/4, 40 %: epoch 12 of 30"}
    world.progress = {job: {"stage": ["nonsense"], "fraction": "much", "more": {}}}
    world.settle()
    assert summary(world.status)["Reconciling"] == "True/Compressing"


def test_progress_vanishes_when_its_job_is_over() -> None:
    world = World()
    world.jobs = compression(Hangs())
    world.settle()
    job = world.names("Job", "compress")[0]
    world.progress = {job: {"stage": "finetune", "fraction": 0.4}}
    world.settle()
    assert world.status["progress"]["job"] == job
    world.jobs = compression(Ends(message=a_publication()))
    world.settle()
    assert job in world.names("Job", "compress"), "the Job stays, for its log, and its last words with it"
    assert summary(world.status)["Ready"] == "True/Serving"
    assert "progress" not in world.status


def test_times_of_conditions_move_only_when_their_status_does() -> None:
    world = World()
    world.jobs = compression(Ends(20, a_failure("StoreUnavailable"), container="fetch"))
    world.pass_time(500)
    assert parse(condition(world.status, "Ready")["lastTransitionTime"]).minute == 0
    world.jobs = compression(Ends(message=a_publication()))
    world.pass_time(400)
    assert parse(condition(world.status, "Ready")["lastTransitionTime"]).minute > 0
