"""Steps of a pod as processes, and what is said when they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode, Failure, Progress, ResolveResult
from modelpress.api.tasks import Location, ResolveTask
from modelpress.local import steps, wording
from modelpress.local.workspace import workspace


def test_a_step_answers_as_its_container_does(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("x")
    told: list[Progress] = []
    task = ResolveTask(source=Location(uri=f"file://{tmp_path}/model.onnx"))
    with workspace(tmp_path / "out", replace=False) as place:
        found = steps.answer(ResolveResult, steps.run_step("resolve", task, place, told.append))
    assert found.source.startswith("sha256:")
    assert [progress.stage for progress in told] == ["resolve"]


def test_a_step_that_fails_says_why_with_its_exit_code(tmp_path: Path) -> None:
    task = ResolveTask(source=Location(uri=f"file://{tmp_path}/nothing"))
    with workspace(tmp_path / "out", replace=False) as place, pytest.raises(steps.StepError) as caught:
        steps.run_step("resolve", task, place, lambda _: None)
    assert (caught.value.failure.reason, caught.value.code) == (Reason.SOURCE_NOT_FOUND, ExitCode.JUDGED)
    assert "nothing" in caught.value.failure.message


def test_credentials_in_a_file_are_used_where_no_variable_names_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in steps.AWS_IDENTITY:
        monkeypatch.delenv(name, raising=False)
    assert "AWS_PROFILE" not in steps.surroundings()
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").touch()
    assert steps.surroundings()["AWS_PROFILE"] == "default"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    assert "AWS_PROFILE" not in steps.surroundings()


def test_a_pods_limits_are_not_what_to_raise_here() -> None:
    failure = Failure(
        reason=Reason.OUT_OF_MEMORY,
        message="Memory ran out while doing quantize: raise compression.job.resources.limits.memory.",
    )
    said = wording.sentence(failure)
    assert said.startswith("Memory ran out while doing quantize: close what else runs")
    assert "compression.job" not in said
    other = Failure(reason=Reason.SOURCE_INVALID, message="model.onnx is no valid ONNX model: truncated.")
    assert wording.sentence(other) == other.message
