"""What a stage is said to take: weights in groups stay in files, 8-bit activations and training hold them often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from modelpress.api.stages import Distill, Finetune, Quantize
from modelpress.api.tasks import DATA_FOLDER, OUT_FOLDER
from modelpress.compress.judge.models import open_model
from modelpress.compress.models import Medium
from modelpress.compress.recipe import Step
from modelpress.local.asking import from_model, with_preset
from modelpress.local.estimating import LIBRARIES, stage_memory, teacher_bytes
from modelpress.local.timing import Pace, pace_of, training_seconds
from modelpress.local.workspace import Workspace, prepared

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


def test_training_takes_a_time_for_each_step_besides_that_of_the_samples() -> None:
    pace = Pace(answer=1e-6, operators=10)
    few, many = (training_seconds(Finetune(epochs=40, batch_size=size), pace, 2000) for size in (2000, 20))
    assert few == pytest.approx(40 * (4e-6 * 2000 + 2e-3))
    assert many == pytest.approx(40 * (4e-6 * 2000 + 100 * 2e-3))


def test_answers_are_timed_on_the_data_at_hand(tmp_path: Path) -> None:
    """A text of 400 tokens takes longer than made-up ones of 16."""
    place = prepared(Workspace(tmp_path / "root", tmp_path / "out"))
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", "words", 64])
    answer = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", "words", 64])
    weight = onnx.numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")
    nodes = [onnx.helper.make_node("MatMul", [before, "w"], [after]) for before, after in (("x", "a"), ("a", "y"))]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [value], [answer], [weight]), ir_version=10)
    for folder in (place.folder(OUT_FOLDER) / "original", tmp_path / "source"):
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(model, folder / "model.onnx")
    paces = []
    for data in ({}, {"calibration": str(tmp_path / "c.npz")}):
        (place.folder(DATA_FOLDER) / "calibration").mkdir(parents=True, exist_ok=True)
        np.savez(place.folder(DATA_FOLDER) / "calibration" / "c.npz", x=np.ones((32, 400, 64), np.float32))
        asked = from_model(tmp_path / "source", with_preset("W8A16"), data, ())
        paces.append(pace_of(asked, place, open_model(place.folder(OUT_FOLDER), "original", "the original", 1)))
    assert [pace.operators for pace in paces] == [2, 2]
    assert paces[1].answer > 5 * paces[0].answer
