"""`modelpress compress` with teachers of their own: brought in beside the source, each rung learns from its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.local.test_compress_command import run
from tests.unit.compress.sources import columns, task, write_source
from tests.unit.compress.test_teachers import SOURCE, stage, write_teacher


@pytest.fixture
def spec(tmp_path: Path) -> dict[str, Any]:
    """Return the spec of a small source, its data, and two teachers in one folder, of which one answers other names."""
    write_source(tmp_path / "source", "Digits")
    write_teacher(tmp_path / "large")
    np.savez(tmp_path / "train.npz", **columns("Digits"))
    teachers = {"other": SOURCE | {"uri": "large", "outputs": [{"name": "scores"}]}, "large": SOURCE | {"uri": "large"}}
    rungs = [{"stages": [stage(epochs=2, teacher={"name": name})]} for name in teachers]
    return {
        "source": task("Digits", []).source.to_wire() | {"uri": "source"},
        "compression": {"data": {"train": {"uri": "train.npz"}}, "teachers": teachers, "ladder": rungs},
    }


def compress(spec: dict[str, Any], folder: Path) -> tuple[int, dict[str, Any], str]:
    (folder / "model.yaml").write_text(json.dumps(spec))
    code, said, errors = run(folder / "model.yaml", "--out", folder / "small", "--no-cache")
    return code, said[-1] if said else {}, errors


def test_a_rung_whose_teacher_does_not_fit_is_followed_by_the_next(spec: dict[str, Any], tmp_path: Path) -> None:
    code, done, errors = compress(spec, tmp_path)
    assert (code, done.get("rung")) == (0, 2), errors
    (refused,) = done["refused"]
    assert "Teacher other: it answers scores, and nothing called logits" in refused
    lineage = json.loads((tmp_path / "small/manifest.json").read_text())["lineage"]
    assert {name for name in lineage if name.startswith("teacher.")} == {"teacher.large"}
    assert lineage["teacher.large"] != lineage["source"]
    assert (tmp_path / "small/compression.json").is_file()


def test_a_teacher_that_is_not_there_ends_it_before_anything_is_trained(spec: dict[str, Any], tmp_path: Path) -> None:
    spec["compression"]["teachers"]["large"]["uri"] = "lost"
    code, done, _ = compress(spec, tmp_path)
    assert (code, done["event"], done["reason"]) == (10, "failed", "SourceNotFound")
    assert f"file://{tmp_path}/lost" in done["message"]
    assert not (tmp_path / "small").exists()


def test_the_artifact_may_not_appear_inside_of_a_teacher(spec: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(json.dumps(spec))
    code, _, errors = run(tmp_path / "model.yaml", "--out", tmp_path / "large/small")
    assert code == 2
    assert "large: name a folder beside it" in errors
