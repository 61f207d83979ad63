"""Every end of a task is an exit code and one JSON document that says why."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from modelpress.api.base import ApiType
from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode, Failure, ResolveResult
from modelpress.api.tasks import TASK_VARIABLE, ResolveTask
from modelpress.compress.errors import Judged
from modelpress.store.errors import StoreError
from modelpress.store.locations import ROOT_VARIABLE
from modelpress.tasks import running

TASK = {TASK_VARIABLE: json.dumps({"source": {"uri": "file:///nowhere"}})}
ANSWER = ResolveResult(source="sha256:" + "0" * 64)


def run_with(monkeypatch: pytest.MonkeyPatch, root: Path, outcome: object) -> tuple[int, str]:
    def function(task: ApiType) -> object:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    monkeypatch.setattr(running, "TASKS", {"resolve": (ResolveTask, function)})
    code = running.run("resolve", TASK)
    message = root / "dev/termination-log"
    return code, message.read_text() if message.exists() else ""


def test_an_answer_is_the_termination_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, text = run_with(monkeypatch, tmp_path, ANSWER)
    assert (code, ResolveResult.model_validate_json(text)) == (ExitCode.DONE, ANSWER)


def test_an_exit_code_of_its_own_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run_with(monkeypatch, tmp_path, 10) == (10, "")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (StoreError(Reason.STORE_UNAVAILABLE, "away"), ExitCode.ENVIRONMENT, Reason.STORE_UNAVAILABLE),
        (StoreError(Reason.SECRET_NOT_FOUND, "none"), ExitCode.ENVIRONMENT, Reason.SECRET_NOT_FOUND),
        (StoreError(Reason.DIGEST_MISMATCH, "other"), ExitCode.JUDGED, Reason.DIGEST_MISMATCH),
        (Judged(Reason.NOT_FINITE, "NaN"), ExitCode.JUDGED, Reason.NOT_FINITE),
        (MemoryError(), ExitCode.JUDGED, Reason.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "full"), ExitCode.JUDGED, Reason.OUT_OF_SCRATCH),
        (ZeroDivisionError("division by zero"), 1, Reason.CRASHED),
        (SystemExit(0), 1, Reason.CRASHED),
    ],
)
def test_every_error_has_a_code_and_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: BaseException, code: int, reason: Reason
) -> None:
    found, text = run_with(monkeypatch, tmp_path, error)
    failure = Failure.model_validate_json(text)
    assert (found, failure.reason) == (code, reason)
    assert failure.message


def test_a_task_that_this_image_does_not_know_names_the_field(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    assert running.run("resolve", {TASK_VARIABLE: '{"source": {"url": "x"}}'}) == 1
    failure = Failure.model_validate_json((tmp_path / "dev/termination-log").read_text())
    assert failure.reason is Reason.CRASHED and "source.ur" in failure.message
    assert all(json.loads(line)["event"] for line in capsys.readouterr().out.splitlines())
