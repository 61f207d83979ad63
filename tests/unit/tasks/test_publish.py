"""Publish holds the credentials: it takes plain files, and only the models that were judged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.support.reports import full_search

from modelpress.api.figures import Figures
from modelpress.api.reasons import Reason
from modelpress.api.results import PublishResult
from modelpress.api.tasks import Location, PublishTask
from modelpress.compress.errors import Judged
from modelpress.store import artifacts
from modelpress.store.errors import StoreError
from modelpress.store.locations import ROOT_VARIABLE
from modelpress.store.manifest import describe
from modelpress.store.report import Memory, Report
from modelpress.tasks.publish import publish


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod in which compression and judge are done."""
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "pod"))
    out, report = tmp_path / "pod/work/out", tmp_path / "pod/work/report"
    for path in ("original/model.onnx", "compressed/model.onnx", "compressed/weights.data", "assets/labels.txt"):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(path)
    (out / "compressed/left-over").write_text("not judged")
    (out / "compression.json").write_text(json.dumps({"warnings": ["one layer stayed as it was"]}))
    report.mkdir()
    (report / "reference.npz").write_text("answers")
    (report / "report.html").write_text("<!doctype html>")
    (report / "report.json").write_text(
        Report(
            figures=Figures(original_bytes=100, compressed_bytes=10),
            batched=True,
            inputs=(),
            outputs=(),
            original=describe(out, ("original/model.onnx",)),
            compressed=describe(out, ("compressed/model.onnx", "compressed/weights.data")),
            warnings=("from the judge",),
            memory=Memory(original=300, compressed=200),
        ).model_dump_json(by_alias=True)
    )
    return tmp_path / "pod/work"


def published(pod: Path, **more: str) -> tuple[PublishResult, Path]:
    store = pod.parent.parent / "store/team/digits"
    result = publish(
        PublishTask.model_validate({"destination": {"uri": f"file://{store}"}, "artifact": "digits-1", **more})
    )
    return result, store


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_artifact_holds_what_was_judged_and_what_it_was_judged_by(pod: Path) -> None:
    result, store = published(pod)
    assert files(store) == [
        "assets/labels.txt", "compression.json", "manifest.json", "onnx/model.onnx", "onnx/weights.data",
        "original/model.onnx", "reference.npz", "report.html", "report.json",
    ]  # fmt: skip
    assert result.manifest_digest == "sha256:" + hashlib.sha256((store / "manifest.json").read_bytes()).hexdigest()
    assert result.warnings == ("from the judge", "one layer stayed as it was")
    assert result.memory == 200
    location = Location(uri=f"file://{store}")
    manifest = artifacts.fetch(location, result.manifest_digest, store.parent / "back")
    assert files(store.parent / "back") == [
        "assets/labels.txt",
        "onnx/model.onnx",
        "onnx/weights.data",
        "reference.npz",
    ]
    assert manifest.assets == ("assets/labels.txt",)


def test_the_recipe_that_a_search_chose_goes_along_in_words_and_in_full(pod: Path) -> None:
    path = pod / "report/report.json"
    report = Report.model_validate_json(path.read_bytes()).model_copy(update={"search": full_search()})
    path.write_text(report.model_dump_json(by_alias=True))
    result, store = published(pod)
    assert result.recipe == "70 % of the parameters pruned, distilled, INT8 static"
    lineage = json.loads((store / "manifest.json").read_text())["lineage"]
    assert json.loads(lineage["recipe"]) == [{"quantize": {"preset": "INT8"}}]


@pytest.mark.parametrize("path", ["assets/token", "assets", "compressed/more"])
def test_a_link_out_of_the_result_is_not_followed(pod: Path, path: str) -> None:
    secret = pod.parent / "etc/modelpress/secrets/write"
    secret.mkdir(parents=True)
    (secret / "secretAccessKey").write_text("key")
    link = pod / "out" / path
    if link.is_dir():
        (link / "labels.txt").unlink()
        link.rmdir()
    link.symlink_to(secret if path != "assets/token" else secret / "secretAccessKey")
    with pytest.raises(Judged) as caught:
        published(pod)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert not (pod.parent.parent / "store").exists()


def test_a_model_that_is_not_the_judged_one_is_refused(pod: Path) -> None:
    (pod / "out/compressed/model.onnx").write_text("something else")
    with pytest.raises(Judged, match="not the file that was judged"):
        published(pod)
    assert not (pod.parent.parent / "store").exists()


def test_without_a_report_nothing_is_published(pod: Path) -> None:
    (pod / "report/report.json").unlink()
    with pytest.raises(StoreError, match="EvaluationFailed"):
        published(pod)


def test_a_later_evaluation_adds_its_report_and_nothing_else(pod: Path) -> None:
    first, store = published(pod)
    before = {path: (store / path).read_bytes() for path in files(store)}
    second, _ = published(pod, manifestDigest=first.manifest_digest, evaluation="abc")
    assert second.manifest_digest == first.manifest_digest
    assert files(store) == sorted([*before, "evaluations/abc/report.html", "evaluations/abc/report.json"])
    assert {path: (store / path).read_bytes() for path in before} == before
