"""`modelpress compress` with a ladder: the same walk over the rungs as in a cluster, on one's own machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.local.test_compress_command import ENVIRONMENT, model, run
from tests.unit.compress.sources import columns, task, write_source

from modelpress.compress.layout import BASELINES

__all__ = ["model"]

IMPOSSIBLE = {"stages": [{"prune": {"structure": "Channel", "amount": {"channels": 0.5}}}]}
AS_IT_IS: dict[str, Any] = {"stages": []}
SMALL = {"stages": [{"quantize": {"preset": "INT8_DYNAMIC"}}]}


def compress(model: Path, folder: Path, *rungs: dict[str, Any], at_least: int) -> tuple[int, list[dict[str, Any]]]:
    """Compress with a ladder of `rungs` under a gate on the size, in percent saved."""
    gate = {"metric": "size", "goal": "PercentMinImprovement", "value": at_least}
    spec = {
        "source": {"uri": str(model / "model.onnx"), "format": "onnx"},
        "compression": {"ladder": list(rungs)},
        "evaluation": {"gates": [gate]},
    }
    (folder / "model.yaml").write_text(json.dumps(spec))
    code, said, _ = run(folder / "model.yaml", "--out", folder / "small")
    return code, said


def test_the_first_rung_that_passes_is_the_artifact(model: Path, tmp_path: Path) -> None:
    code, said = compress(model, tmp_path, IMPOSSIBLE, AS_IT_IS, SMALL, AS_IT_IS, at_least=10)
    done = said[-1]
    assert (code, done["accepted"], done["rung"]) == (0, True, 3)
    impossible, too_large = done["refused"]
    assert impossible.startswith("Rung 1 was refused: ")
    assert "prune" in impossible
    assert too_large.startswith("Rung 2 was refused: size ")
    tried = [line["position"] for line in said if line["event"] == "progress" and line["stage"] == "rung"]
    assert tried == [1, 2, 3]
    assert [line["stage"] for line in said if line["event"] == "progress"].count("fetch") == 1
    assert json.loads((tmp_path / "small" / "manifest.json").read_text())["lineage"]["artifactKey"]


def test_if_no_rung_passes_the_last_that_was_measured_is_there_to_be_looked_at(model: Path, tmp_path: Path) -> None:
    code, said = compress(model, tmp_path, SMALL, IMPOSSIBLE, at_least=99)
    done = said[-1]
    assert (code, done["accepted"], done["reason"], done["rung"]) == (10, False, "GateFailed", 1)
    assert len(done["refused"]) == 2
    assert (tmp_path / "small" / "report.json").is_file()


@pytest.mark.parametrize("count", [1, 2])
def test_if_no_rung_can_be_made_nothing_appears(model: Path, tmp_path: Path, count: int) -> None:
    code, said = compress(model, tmp_path, *[IMPOSSIBLE] * count, at_least=10)
    assert (code, said[-1]["event"], said[-1]["reason"]) == (10, "failed", "RecipeInvalid")
    assert f"Rung {count} was refused: " in said[-1]["message"]
    assert not (tmp_path / "small").exists()


def test_a_dry_run_reckons_with_every_rung(model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(
        json.dumps(
            {
                "source": {"uri": str(model / "model.onnx"), "format": "onnx"},
                "compression": {"ladder": [SMALL, AS_IT_IS]},
            }
        )
    )
    code, said, errors = run(tmp_path / "model.yaml", "--out", tmp_path / "small", "--dry-run")
    assert code == 0, errors
    names = [stage["name"] for stage in said[-1]["stages"]]  # type: ignore[attr-defined]
    assert names[2:] == ["rung 1: quantize", "rung 1: measure", "rung 2: load, export original", "rung 2: measure"]


def test_every_rung_of_a_module_is_compared_with_the_same_answers_of_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original is exported anew for each rung: to the very same file, or its answers would be asked again."""
    monkeypatch.setitem(ENVIRONMENT, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_source(tmp_path / "source", "Digits")
    np.savez(tmp_path / "test.npz", **columns("Digits"))
    spec = {
        "source": task("Digits", []).source.to_wire() | {"uri": "source/"},
        "compression": {"ladder": [AS_IT_IS, SMALL]},
        "evaluation": {
            "test": {"uri": "test.npz"},
            "metrics": [{"name": "top1", "type": "accuracy"}],
            "gates": [{"metric": "size", "goal": "PercentMinImprovement", "value": 10}],
        },
    }
    (tmp_path / "model.yaml").write_text(json.dumps(spec))
    code, said, errors = run(tmp_path / "model.yaml", "--out", tmp_path / "small")
    assert (code, said[-1]["rung"]) == (0, 2), errors
    assert len(list((tmp_path / "cache" / "modelpress" / "compress" / BASELINES).iterdir())) == 1
