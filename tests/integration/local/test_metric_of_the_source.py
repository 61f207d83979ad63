"""A metric of one's own, from the file beside the model to the report: compressed, gated, measured again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.local.test_compress_command import ENVIRONMENT, model, run

__all__ = ["model"]

CODE = """
import numpy as np


def confidence(outputs, targets, floor=0.0):
    \"\"\"Share of the right class, above a floor.\"\"\"
    scores = np.exp(outputs["y"] - outputs["y"].max(axis=1, keepdims=True))
    share = scores / scores.sum(axis=1, keepdims=True)
    return np.maximum(share[np.arange(len(share)), targets["y"]] - floor, 0)


def broken(outputs, targets):
    return confidence(outputs, targets)[1:]
"""


@pytest.fixture
def source(model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "model.onnx").write_bytes((model / "model.onnx").read_bytes())
    (folder / "metrics.py").write_text(CODE)
    return folder


def compress(model: Path, source: Path, function: str) -> tuple[int, list[dict[str, Any]]]:
    """Compress the model in `source`, measured by `function` of its metrics.py, into a folder beside it."""
    metric = {
        "name": "confidence",
        "type": "entrypoint",
        "entrypoint": f"metrics:{function}",
        "args": {"floor": 0.1} if function == "confidence" else {},
        "higherIsBetter": True,
    }
    spec = {
        "source": {"uri": str(source), "format": "onnx", "trustCode": True},
        "compression": {"stages": [{"quantize": {"preset": "INT8_DYNAMIC"}}]},
        "evaluation": {
            "test": {"uri": str(model / "test.npz")},
            "metrics": [{"name": "top1", "type": "accuracy"}, metric],
            "gates": [{"metric": "confidence", "goal": "MaxDegradation", "value": 0.05}],
        },
    }
    path = source.parent / "model.yaml"
    path.write_text(json.dumps(spec))
    code, said, _ = run(path, "--out", source.parent / "small")
    return code, said


def test_it_is_measured_judged_and_measured_again(model: Path, source: Path) -> None:
    code, said = compress(model, source, "confidence")
    done = said[-1]
    assert code == 0, done
    stages = list(dict.fromkeys(line["stage"] for line in said if line["event"] == "progress"))
    assert stages[-4:] == ["judge", "score", "conclude", "publish"]
    top1, own = done["figures"]["metrics"]
    assert (top1["name"], own["name"], own["samples"]) == ("top1", "confidence", 400)
    assert 0.5 < own["original"] < 0.9 and abs(own["compressed"] - own["original"]) < 0.05
    assert 0 < own["standardError"] < 0.02
    assert [gate["outcome"] for gate in done["gates"]] == ["Pass"]
    page = (source.parent / "small" / "report.html").read_text(encoding="utf-8")
    assert "scored by metrics:confidence of the source" in page

    np.savez(source.parent / "half.npz", **{name: column[:200] for name, column in np.load(model / "test.npz").items()})
    asked = ["evaluate", str(source.parent / "small"), "--test", str(source.parent / "half.npz")]
    code, again, _ = modelpress(*asked, "--source", str(source))
    assert code == 0, again[-1]
    assert [metric["samples"] for metric in again[-1]["figures"]["metrics"]] == [200, 200]
    code, _, refused = modelpress(*asked)
    assert code == 2
    assert "name its folder with --source" in " ".join(refused.split())


def modelpress(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    command = [sys.executable, "-c", "from modelpress.cli.main import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("missing", "metrics.py has no function missing"),
        ("broken", "metric confidence (metrics:broken) returned an array of shape [63]"),
    ],
)
def test_what_is_wrong_with_it_is_said_and_nothing_appears(
    model: Path, source: Path, function: str, words: str
) -> None:
    code, said = compress(model, source, function)
    assert (code, said[-1]["reason"]) == (10, "EntrypointFailed")
    assert words in said[-1]["message"]
    assert not (source.parent / "small").exists()
    done = {line["stage"] for line in said if line["event"] == "progress"}
    assert ("judge" in done) == (function != "missing"), "what is not there is said before any work"
