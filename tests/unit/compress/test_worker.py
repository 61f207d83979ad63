"""The supervisor: whatever the child does, one verdict, and nothing left running."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.unit.compress.sources import layout, task, write_source

from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode, Failure
from modelpress.api.tasks import ScoreTask
from modelpress.compress import progress, worker

START = (
    "import os, sys, json, signal, time, subprocess\nline = int(sys.argv[1])\ndocument = json.loads(sys.stdin.read())\n"
)
SAID = 'os.write(line, b\'{"progress": {"stage": "load"}}\\n\')\n'
FAILED = '{"failure": {"reason": "NotFinite", "message": "NaN"}}'


def run(root: Path, code: str, timeout: float = 60.0) -> tuple[int, str]:
    script = root / "child.py"
    script.write_text(START + code)
    exit_code = worker.main(task("Single", [], timeoutSeconds=timeout), layout(root), (sys.executable, str(script)))
    return exit_code, (root / "message").read_text()


@pytest.mark.parametrize(
    ("code", "exit_code", "reason"),
    [
        ("os.write(line, b'{\"done\": true}\\n')", ExitCode.DONE, None),
        ("os._exit(1)", 1, Reason.CRASHED),
        (f"os.write(line, b'{FAILED}\\n')", ExitCode.JUDGED, Reason.NOT_FINITE),
        (f"os.write(line, b'rubbish\\n\\xff\\n{FAILED}\\n')", ExitCode.JUDGED, Reason.NOT_FINITE),
        (SAID + "os._exit(0)", ExitCode.JUDGED, Reason.ENTRYPOINT_FAILED),
        ("os.kill(os.getpid(), signal.SIGKILL)", ExitCode.JUDGED, Reason.OUT_OF_MEMORY),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 1, Reason.CRASHED),
        ("os.write(line, b'{\"done\": true}\\n'); os.fork(); time.sleep(1000)", ExitCode.DONE, None),
    ],
)
def test_every_end_has_one_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, exit_code: int, reason: Reason | None
) -> None:
    monkeypatch.setattr(worker, "LAST_SECONDS", 0.5)
    code_found, message = run(tmp_path, code)
    assert code_found == exit_code
    assert (Failure.model_validate_json(message).reason if message else None) is reason


TRYING = 'os.write(line, b\'{"progress": {"stage": "trial"}}\\n\')\n'
COUNTED = "path = document['layout']['scratch'] + '/count'\nopen(path, 'a').write('.')\n"
COUNTED += "count = len(open(path).read())\n"


def search(root: Path, code: str) -> tuple[int, int]:
    """Run a search whose child runs `code`; return the exit code and how many children there were."""
    script = root / "child.py"
    script.write_text(START + COUNTED + code)
    work = task("Single", [], auto={"objective": "Size", "maxTrials": 3})
    exit_code = worker.main(work, layout(root), (sys.executable, str(script)))
    return exit_code, len((root / "scratch" / "count").read_text())


def test_a_search_goes_on_after_a_trial_that_ended_its_process(tmp_path: Path) -> None:
    kill = "os.kill(os.getpid(), signal.SIGKILL)\n"
    done = "os.write(line, b'{\"done\": true}\\n')\n"
    assert search(tmp_path, f"{TRYING}if count < 3:\n    {kill}{done}") == (ExitCode.DONE, 3)


def test_a_search_that_cannot_go_on_ends(tmp_path: Path) -> None:
    assert search(tmp_path, f"{TRYING}os.kill(os.getpid(), signal.SIGKILL)") == (ExitCode.JUDGED, 4)


def test_what_ends_the_process_before_any_trial_is_not_tried_again(tmp_path: Path) -> None:
    assert search(tmp_path, f"{SAID}os.kill(os.getpid(), signal.SIGKILL)") == (ExitCode.JUDGED, 1)


def test_a_child_that_does_not_end_is_ended_in_time(tmp_path: Path) -> None:
    exit_code, message = run(tmp_path, "time.sleep(10000)", timeout=1.0)
    assert exit_code == ExitCode.JUDGED
    failure = Failure.model_validate_json(message)
    assert failure.reason is Reason.COMPRESSION_TIMEOUT
    assert failure.message == (
        "Compression was ended after 1 s while doing start: raise compression.job.timeout, or shorten the recipe."
    )


def test_a_metric_that_never_returns_is_ended_in_time(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(f"{START}assert document['task']['kind'] == 'score'\ntime.sleep(10000)")
    metric = {"name": "cost", "type": "entrypoint", "entrypoint": "metrics:cost", "higherIsBetter": False}
    work = ScoreTask.model_validate({"metrics": [metric], "trustCode": True, "timeoutSeconds": 1})
    assert worker.main(work, layout(tmp_path), (sys.executable, str(script))) == ExitCode.JUDGED
    failure = Failure.model_validate_json((tmp_path / "message").read_text())
    assert failure.reason is Reason.EVALUATION_FAILED
    assert failure.message == (
        "Scoring by the metrics of the source was ended after 1 s: shorten them, ask for fewer samples, or raise "
        "compression.job.timeout."
    )
    assert not (tmp_path / "out").exists(), "in its container there is no such disk"


def test_a_verdict_that_the_child_wrote_itself_is_overwritten(tmp_path: Path) -> None:
    _, message = run(tmp_path, f"open({str(tmp_path / 'message')!r}, 'w').write('all is well'); os._exit(7)")
    assert Failure.model_validate_json(message).reason is Reason.CRASHED


def test_a_process_that_left_the_session_is_ended_too(tmp_path: Path) -> None:
    code = (
        "left = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(left.pid))\nos._exit(1)"
    )
    run(tmp_path, code)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def test_the_child_is_not_told_its_task_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPRESS_TASK", "secret")
    assert run(tmp_path, "assert 'MODELPRESS_TASK' not in os.environ\nos.write(line, b'{\"done\": true}\\n')")[0] == 0


def test_progress_is_served_while_the_child_works(tmp_path: Path) -> None:
    with progress.ProgressServer(0) as server:
        code = (
            'os.write(line, b\'{"progress": {"stage": "finetune", "fraction": 0.5}}\\n\')\n'
            "os.write(line, b'{\"done\": true}\\n')"
        )
        script = tmp_path / "child.py"
        script.write_text(START + code)
        where = layout(tmp_path)
        where.scratch.mkdir()
        assert worker.Supervisor(task("Single", []), where, server, (sys.executable, str(script))).run() is None
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/progress", timeout=30) as answer:
            seen = json.loads(answer.read())
    assert (seen["stage"], seen["fraction"]) == ("finetune", 0.5)


def test_an_entrypoint_that_raises_is_named_with_file_line_and_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    write_source(tmp_path / "source", "Single")
    (tmp_path / "source" / "model.py").write_text("def build(name):\n    raise ValueError(f'no {name} here')\n")
    exit_code = worker.main(task("Single", []), layout(tmp_path))
    failure = Failure.model_validate_json((tmp_path / "message").read_text())
    assert (exit_code, failure.reason) == (ExitCode.JUDGED, Reason.ENTRYPOINT_FAILED)
    assert "model.py:2: ValueError: no Single here" in failure.message
    assert list((tmp_path / "out").iterdir()) == []
