"""Teachers of their own: looked up with the source, part of what an artifact is, each rung by its own."""

from __future__ import annotations

from typing import Any

from tests.support.models import a_publication, a_resolution, a_spec, digest
from tests.support.world import ROLE, Ends, World


def teacher(name: str, **more: Any) -> dict[str, Any]:
    return {"uri": f"s3://models/{name}/", "format": "transformers", "task": "TextClassification", **more}


def learning(name: str) -> list[dict[str, Any]]:
    return [{"distill": {"epochs": 1, "alpha": 1, "teacher": {"name": name}}}]


def a_world(recipe: dict[str, Any], found: dict[str, str], **teachers: dict[str, Any]) -> World:
    """Return a world in which teachers hold what `found` says, and whoever learns from one called `bad` fails."""
    data = {"train": {"uri": "s3://data/train.npz", "digest": digest("train")}}
    named = teachers or {"large": teacher("large")}
    world = World(a_spec(compression={"data": data, "teachers": named, **recipe}, update={"interval": "5m"}))

    def script(job: dict[str, Any]) -> Ends:
        labels = job["metadata"]["labels"]
        if labels[ROLE] == "resolve":
            return Ends(message=a_resolution(**{f"teacher.{name}": text for name, text in found.items()}))
        named = {item["metadata"]["name"]: item["spec"] for item in world.of("ModelArtifact")}
        made = named[labels["modelpress.io/artifact"]]
        return Ends(message=a_publication(top1=0.5 if "teacher.bad" in made["datasets"] else 0.98))

    world.jobs = script
    world.settle()
    return world


def specs(world: World) -> list[dict[str, Any]]:
    """Return what artifacts were made from, in the order in which they were."""
    return [item["spec"] for item in world.of("ModelArtifact")]


def test_what_a_teacher_holds_is_pinned_and_another_content_is_another_artifact() -> None:
    found = {"large": "v1"}
    world = a_world({"stages": learning("large")}, found)
    (made,) = specs(world)
    assert made["datasets"] == {"train": digest("train"), "teacher.large": digest("v1")}
    assert world.status["source"]["datasets"]["teacher.large"] == digest("v1")
    first = world.status["currentRevision"]
    found["large"] = "v2"
    world.pass_time(400)
    assert world.status["currentRevision"] != first
    assert [spec["datasets"]["teacher.large"] for spec in specs(world)] == [digest("v1"), digest("v2")]


def test_another_name_for_the_same_teacher_makes_nothing_again() -> None:
    world = a_world({"stages": learning("large")}, {"large": "v1", "big": "v1"})
    before = world.status["artifact"]

    def rename(spec: dict[str, Any]) -> None:
        spec["compression"] |= {"stages": learning("big"), "teachers": {"big": teacher("large")}}

    world.edit(rename)
    world.settle()
    assert world.status["artifact"] == before
    assert len(specs(world)) == 1


def test_a_teacher_that_no_stage_names_is_not_looked_up() -> None:
    world = a_world({"stages": [{"fuse": {}}]}, {})
    (made,) = specs(world)
    assert "teachers" not in made["compression"]
    assert set(world.status["source"]["datasets"]) == {"train", "test"}


def test_pinned_teachers_need_no_resolve_job() -> None:
    spec = a_spec(evaluation=None)
    spec["source"]["digest"] = digest("pinned")
    spec["compression"] = {
        "data": {"train": {"uri": "s3://data/train.npz", "digest": digest("train")}},
        "teachers": {"large": teacher("large", digest=digest("large"))},
        "stages": learning("large"),
    }
    world = World(spec)
    world.settle()
    assert not [name for name in world.created if "resolve" in name]
    assert specs(world)[0]["datasets"]["teacher.large"] == digest("large")


def test_each_rung_has_the_digest_of_its_own_teacher() -> None:
    rungs = [{"stages": learning("bad")}, {"stages": learning("good")}, {"stages": [{"fuse": {}}]}]
    teachers = {name: teacher(name) for name in ("bad", "good")}
    world = a_world({"ladder": rungs}, {"bad": "v1", "good": "v2"}, **teachers)
    made = {next(iter(spec["compression"]["teachers"])): spec["datasets"] for spec in specs(world)}
    assert made == {
        "bad": {"train": digest("train"), "teacher.bad": digest("v1")},
        "good": {"train": digest("train"), "teacher.good": digest("v2")},
    }
    assert all(len(spec["compression"]["teachers"]) == 1 for spec in specs(world))
    assert world.status["compression"]["rung"] == 2
