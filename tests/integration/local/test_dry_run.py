"""`modelpress compress --dry-run` refuses what the compression would refuse before it begins."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tests.integration.local.test_compress_command import run
from tests.unit.compress.sources import columns, task, write_source


def test_training_data_without_targets_is_refused_before_anything_is_reckoned(tmp_path: Path) -> None:
    write_source(tmp_path / "source", "Digits")
    data = {name: column for name, column in columns("Digits").items() if name != "label"}
    np.savez(tmp_path / "train.npz", **data)
    spec = {
        "source": task("Digits", []).source.to_wire() | {"uri": "source/"},
        "compression": {
            "stages": [{"finetune": {"epochs": 1}}],
            "objective": {"loss": "CrossEntropy"},
            "data": {"train": {"uri": "train.npz"}},
        },
    }
    (tmp_path / "model.yaml").write_text(json.dumps(spec))
    code, said, _ = run(tmp_path / "model.yaml", "--out", tmp_path / "small", "--dry-run")
    assert (code, said[-1]["event"], said[-1]["reason"]) == (10, "failed", "DatasetDoesNotFit")
    assert "The train data has no target for output" in str(said[-1]["message"])
