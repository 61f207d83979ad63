"""`modelpress compress --auto`: a search as somebody would call it, and again after it was terminated."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from tests.integration.local.test_compress_command import ENVIRONMENT, MODELPRESS, model

__all__ = ["model"]


def command(model: Path, folder: Path, *more: str) -> list[str]:
    """Return the command that searches, with calibration data that no test sample is in."""
    np.savez(folder / "calibration.npz", x=np.random.default_rng(6).normal(size=(200, 16)).astype(np.float32))
    given = ["--test", str(model / "test.npz"), "--calibration", str(folder / "calibration.npz")]
    return [*MODELPRESS, str(model / "model.onnx"), "--auto", "Size", *given, "--out", str(folder / "small"), *more]


def environment(folder: Path) -> dict[str, str]:
    return ENVIRONMENT | {"XDG_CACHE_HOME": str(folder / "cache")}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def trials(said: list[dict[str, Any]]) -> list[int]:
    """Return the trials that were carried out, by number."""
    told = [line for line in said if line["event"] == "progress" and line["stage"] == "trial"]
    return sorted({line["position"] for line in told})


def test_a_search_that_was_terminated_goes_on_and_ends_as_an_artifact_with_its_front(
    model: Path, tmp_path: Path
) -> None:
    ask = command(model, tmp_path)
    with subprocess.Popen(ask, stdout=subprocess.PIPE, text=True, env=environment(tmp_path)) as process:
        assert process.stdout is not None
        assert any(line["stage"] == "trial" and line["position"] == 3 for line in map(json.loads, process.stdout))
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 143
    assert sorted(item.name for item in tmp_path.iterdir()) == ["cache", "calibration.npz"]

    done = subprocess.run(ask, capture_output=True, text=True, check=False, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    said = lines(done.stdout)
    assert min(trials(said)) == 3, "the first two were there"
    search = said[-1]["search"]
    result = search["trials"][search["chosen"]]
    assert (search["samples"], search["data"]) == (100, "50 % of the calibration data, held out")
    report = json.loads((tmp_path / "small" / "report.json").read_text())
    assert report["search"] == search
    assert report["figures"]["compressedBytes"] == result["figures"]["compressedBytes"]
    lineage = json.loads((tmp_path / "small" / "manifest.json").read_text())["lineage"]
    assert json.loads(lineage["recipe"]) == result["stages"]
    assert "How this recipe was found" in (tmp_path / "small" / "report.html").read_text()


def test_a_dry_run_names_the_budget(model: Path, tmp_path: Path) -> None:
    ask = command(model, tmp_path, "--dry-run")
    done = subprocess.run(ask, capture_output=True, text=True, check=False, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    stages = {stage["name"]: stage["seconds"] for stage in lines(done.stdout)[-1]["stages"]}
    assert stages["search, at most 12 trials"] == 600
    assert not (tmp_path / "cache").exists()
