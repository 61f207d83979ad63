"""Commands on one's own machine: what they say and how they end when they cannot do it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.support.onnx_models import save_linear
from tests.support.reports import full_facts, full_report

from modelpress import __version__
from modelpress.cli.main import main


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compress", "nothing"], 2, "name a --preset"),
        (["compress", "nothing", "--preset", "INT8"], 2, "nothing is not there"),
        (["compress", "nothing", "--auto"], 2, "nothing is not there"),
        (["compress", "nothing", "--auto", "Size", "--preset", "INT8"], 2, "name a --preset, INT8_DYNAMIC say, or"),
        (["compress", "nothing", "--auto", "Accuracy"], 2, "not one of 'Latency', 'Size'"),
        (["compress", "model.yaml", "--auto"], 2, "--auto is for a model without a YAML file"),
        (["compress", "model.yaml"], 2, "model.yaml is not there"),
        (["compress", "model.yaml", "--map", "s3://x"], 2, "--map s3://x is not of the form"),
        (["evaluate", "nothing"], 2, "holds no artifact"),
        (["report", "nothing"], 2, "holds no artifact"),
        (["inspect", "nothing"], 2, "is not there"),
        (["serve-local", "nothing", "--triton", "no-such-program"], 2, "no-such-program is not on the PATH"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found, output = run(*arguments)
    assert (found, "Traceback" in output) == (code, False)
    assert words in " ".join(output.split())
    assert list(tmp_path.iterdir()) == []


def test_it_runs_as_a_module_too() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "modelpress", "--version"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == f"modelpress, version {__version__}"


def test_an_interrupt_before_a_command_begins_ends_as_one_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert run("compress", "model.yaml") == (130, "Interrupted.\n")


def test_a_report_is_made_of_its_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "report.json").write_text(full_report().model_dump_json(by_alias=True, exclude_none=True))
    (tmp_path / "compression.json").write_text(full_facts().model_dump_json(by_alias=True, exclude_none=True))
    code, output = run("report", "report.json")
    assert (code, output.strip()) == (0, str(tmp_path / "digits.html"))
    assert "7,739 of 19,776" in (tmp_path / "digits.html").read_text()


def test_a_report_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"schemaVersion": 2}))
    code, output = run("report", tmp_path / "report.json")
    assert code == 2 and "no report that this modelpress reads" in " ".join(output.split())


@pytest.mark.parametrize(("content", "words"), [("{", "reads (Invalid JSON"), ("\0", "reads (Invalid JSON")])
def test_a_report_that_is_damaged_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "report.json").write_text(content)
    code, output = run("report", tmp_path / "report.json")
    assert code == 2 and words in " ".join(output.split())


def test_a_page_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(full_report().model_dump_json(by_alias=True, exclude_none=True))
    code, output = run("report", tmp_path / "report.json", "--out", "/proc/page.html")
    assert code == 2 and "--out /proc/page.html cannot be written" in " ".join(output.split())


def test_an_artifact_whose_manifest_is_damaged_is_to_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    code, output = run("evaluate", tmp_path, "--log", "text")
    said = " ".join(output.split())
    assert code == 10 and "manifest.json" in said and "make it again" in said


def test_an_artifact_never_appears_inside_of_its_source(tmp_path: Path) -> None:
    save_linear(tmp_path / "model", np.ones((6, 3), np.float32))
    code, output = run("compress", tmp_path / "model", "--preset", "W8A16", "--out", tmp_path / "model" / "out")
    assert code == 2 and "lies inside of the source" in " ".join(output.split())
    assert [item.name for item in (tmp_path / "model").iterdir()] == ["model.onnx"]
