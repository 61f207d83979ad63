"""The result is whole or absent, whatever ends the run, and no two runs write to one place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelpress.local.asked_error import AskedError
from modelpress.local.workspace import workspace

HOLD = """
import sys, pathlib
from modelpress.local.workspace import workspace
with workspace(pathlib.Path(sys.argv[1]), replace=False) as place:
    place.artifact.mkdir()
    (place.artifact / "manifest.json").write_text("half")
    print("here", flush=True)
    sys.stdin.read()
"""


def made(out: Path, content: str) -> None:
    with workspace(out, replace=True) as place:
        place.artifact.mkdir()
        (place.artifact / "manifest.json").write_text(content)
        place.appear()


def test_the_artifact_appears_and_nothing_else_is_left(tmp_path: Path) -> None:
    made(tmp_path / "out", "first")
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "manifest.json").read_text() == "first"


def test_an_error_leaves_nothing_and_what_was_there_stays(tmp_path: Path) -> None:
    made(tmp_path / "out", "first")
    with pytest.raises(KeyboardInterrupt), workspace(tmp_path / "out", replace=True) as place:
        place.artifact.mkdir()
        raise KeyboardInterrupt
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "manifest.json").read_text() == "first"


def test_an_artifact_is_replaced_only_when_asked_to(tmp_path: Path) -> None:
    made(tmp_path / "out", "first")
    with pytest.raises(AskedError, match="--force"), workspace(tmp_path / "out", replace=False):
        pass
    made(tmp_path / "out", "second")
    assert (tmp_path / "out" / "manifest.json").read_text() == "second"


def test_what_was_to_be_replaced_stays_if_nothing_takes_its_place(tmp_path: Path) -> None:
    made(tmp_path / "out", "first")
    with pytest.raises(FileNotFoundError), workspace(tmp_path / "out", replace=True) as place:
        place.appear()
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "manifest.json").read_text() == "first"


def test_what_is_no_artifact_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(AskedError, match="no artifact"), workspace(tmp_path, replace=True):
        pass
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("place", ["file/out", "file", "/proc/out"])
def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AskedError, match=r"--out .*: name a folder"), workspace(tmp_path / place, replace=False):
        pass


def test_a_killed_run_leaves_no_artifact_and_the_next_one_goes_through(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        with pytest.raises(AskedError, match="another modelpress"), workspace(out, replace=False):
            pass
        process.kill()
    assert not out.exists()
    made(out, "whole")
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
