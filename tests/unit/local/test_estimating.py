"""What a stage is said to take: weights in groups stay in files, 8-bit activations and training hold them often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpress.api.stages import Distill, Finetune, Quantize
from modelpress.compress.models import Medium
from modelpress.compress.recipe import Step
from modelpress.local.estimating import LIBRARIES, stage_memory, teacher_bytes
from modelpress.local.workspace import Workspace

BEFORE, WEIGHTS = 3_000_000_000, 2_000_000_000


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        (Quantize.model_validate({"preset": "W4A16"}), 1.0),
        (Quantize.model_validate({"weights": {"bits": 8}}), 1.0),
        (Quantize.model_validate({"preset": "INT8_DYNAMIC"}), 2.5),
        (Finetune(epochs=1), 3.0),
    ],
)
def test_memory_of_a_stage(settings: Any, most: float) -> None:
    kind = "quantize" if isinstance(settings, Quantize) else "finetune"
    found = stage_memory(Step(1, kind, settings, Medium.GRAPH), BEFORE, WEIGHTS)
    assert BEFORE <= found <= BEFORE * most
    assert (found > BEFORE) == (most > 1)
    assert stage_memory(Step(1, kind, settings, Medium.GRAPH), 0, WEIGHTS) >= min(LIBRARIES, WEIGHTS)


@pytest.mark.parametrize(("teacher", "held"), [({"name": "large"}, 300), ({"weights": "w.safetensors"}, 0), (None, 0)])
def test_a_teacher_of_its_own_is_held_beside_the_model(
    teacher: dict[str, Any] | None, held: int, tmp_path: Path
) -> None:
    place = Workspace(tmp_path, tmp_path / "out")
    for name, size in (("large", 300), ("other", 900)):
        folder = place.layout().teacher(name)
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(bytes(size))
        (folder / "tokenizer.json").write_bytes(bytes(50))
    settings = Distill.model_validate({"epochs": 1, "teacher": teacher})
    assert teacher_bytes(Step(1, "distill", settings, Medium.MODULE), place) == held
    assert teacher_bytes(Step(1, "finetune", Finetune(epochs=1), Medium.MODULE), place) == 0
