"""Models whose recipe is searched for: one Job, one artifact, and a new search only if what is chosen by changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.models import a_publication, a_resolution, a_spec, condition, summary
from tests.support.world import ROLE, Ends, World

from modelpress.api.tasks import TASK_VARIABLE

SEARCH = {"auto": {"objective": "Size"}}
WORDS = "70 % of the parameters pruned, distilled, INT8 static"


def searched(top1: float = 0.98) -> str:
    """Return what the Job of a search answers."""
    return json.dumps(json.loads(a_publication(top1=top1)) | {"recipe": WORDS})


def a_world(top1: float = 0.98) -> World:
    world = World(a_spec(compression=SEARCH))
    world.jobs = lambda job: Ends(
        message=a_resolution() if job["metadata"]["labels"][ROLE] == "resolve" else searched(top1)
    )
    world.pass_time(60)
    return world


def task_of(job: dict[str, Any], kind: str = "compress") -> dict[str, Any]:
    (container,) = [one for one in job["spec"]["template"]["spec"]["initContainers"] if one["name"] == kind]
    found: dict[str, Any] = json.loads(next(one["value"] for one in container["env"] if one["name"] == TASK_VARIABLE))
    return found


def made(world: World) -> list[str]:
    return [name for name in world.created if name.startswith("Job") and "resolve" not in name]


def set_gate(value: float) -> Any:
    return lambda spec: spec["evaluation"]["gates"][0].__setitem__("value", value)


def test_a_search_is_one_job_that_never_hears_of_the_test_data() -> None:
    world = a_world()
    assert summary(world.status)["Ready"] == "True/Serving"
    (job,) = world.of("Job", "compress")
    task = task_of(job)
    assert (task["auto"], task["stages"]) == (SEARCH["auto"], [])
    assert [gate["metric"] for gate in task["evaluation"]["gates"]] == ["top1"]
    assert "test" not in task["evaluation"] and "test.npz" not in json.dumps(task)


def test_a_search_is_told_where_the_truth_lies_and_searches_anew_if_it_lies_elsewhere() -> None:
    world = a_world()
    assert "targets" not in task_of(world.of("Job", "compress")[0])
    world.edit(lambda spec: spec["evaluation"]["test"].__setitem__("targets", {"logits": "truth"}))
    world.pass_time(120)
    assert len(made(world)) == 2
    assert {"logits": "truth"} in [task_of(job).get("targets") for job in world.of("Job", "compress")]


def test_what_was_chosen_stands_in_the_status_and_is_told_in_an_event() -> None:
    world = a_world()
    assert world.status["compression"]["recipe"] == WORDS
    (artifact,) = world.of("ModelArtifact")
    assert artifact["status"]["recipe"] == WORDS
    (message,) = [text for _, reason, text in world.events if reason == "Compressed"]
    assert message.endswith(f"times smaller, by: {WORDS}.")


def test_a_changed_gate_is_told_of_the_search_before_and_one_that_was_there_before_needs_no_job() -> None:
    world = a_world()
    before = world.status["currentRevision"]
    (first,) = world.of("ModelArtifact")
    assert "search" not in task_of(world.of("Job", "compress")[0], "fetch")
    world.edit(set_gate(0.01))
    world.pass_time(120)
    assert len(made(world)) == 2
    tasks = [task_of(job, "fetch") for job in world.of("Job", "compress")]
    (told,) = [task["search"] for task in tasks if "search" in task]
    assert (told["uri"], told["digest"]) == (first["spec"]["destination"], first["status"]["manifestDigest"])
    assert world.status["currentRevision"] != before
    world.edit(set_gate(0.05))
    world.pass_time(120)
    assert world.status["currentRevision"] == before
    assert len(made(world)) == 2, "its artifact is there"


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["compression"].__setitem__("auto", {"objective": "Latency"}),
        lambda spec: spec["compression"].__setitem__("seed", 3),
        lambda spec: spec["evaluation"].__setitem__("latency", {"batchSizes": [8]}),
    ],
    ids=["another objective", "another seed", "another latency"],
)
def test_a_search_in_which_more_than_gates_differs_is_told_of_none(change: Any) -> None:
    world = a_world()
    world.edit(change)
    world.pass_time(120)
    assert len(made(world)) == 2
    assert all("search" not in task_of(job, "fetch") for job in world.of("Job", "compress"))


def test_what_a_search_does_not_choose_by_searches_nothing_again() -> None:
    world = a_world()
    world.edit(lambda spec: spec["compression"].__setitem__("job", {"retries": 5}))
    world.edit(lambda spec: spec.__setitem__("serving", {"replicas": 2}))
    world.pass_time(120)
    assert len(world.of("ModelArtifact")) == len(made(world)) == 1


def test_a_result_that_fails_on_the_test_data_is_refused_as_any_other() -> None:
    world = a_world(top1=0.80)
    assert summary(world.status)["Stalled"] == "True/GateFailed"
    assert "top1 fell from 0.980 to 0.800" in condition(world.status, "Ready")["message"]
    world.edit(set_gate(0.5))
    world.pass_time(120)
    assert summary(world.status)["Ready"] == "True/Serving"
