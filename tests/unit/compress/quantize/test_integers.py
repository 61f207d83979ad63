"""Stage quantize on a graph: weights become integers, answers stay near, memory stays small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import calibrate
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.graphs import SIGNATURE, executed, images, write, write_residual
from tests.unit.compress.sources import samples_of

from modelpress.api.reasons import Reason
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.models import GraphModel
from modelpress.compress.stages import quantize
from modelpress.compress.stages.quantize import checking
from modelpress.compress.stages.quantize.calibration import PIECE, Pieces


def settings(**fields: Any) -> Quantize:
    return Quantize.model_validate(fields)


def integers(path: Path) -> int:
    tensors = onnx.load(path).graph.initializer
    return sum(item.data_type in checking.CODES and len(item.dims) > 1 for item in tensors)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"preset": "INT8"}, 3),
        ({"preset": "INT8", "algorithm": "Entropy"}, 3),
        ({"preset": "INT8", "algorithm": "Percentile", "granularity": "Tensor"}, 3),
        ({"preset": "INT8", "ignore": ["conv1"]}, 2),
        ({"preset": "INT8", "targets": ["re:conv.*"]}, 2),
        ({"weights": {"bits": 8}, "activations": {"bits": 8, "dynamic": False}}, 3),
        ({"weights": {"bits": 8}, "activations": {"bits": 8, "dynamic": True}}, 3),
        ({"preset": "INT8_DYNAMIC"}, 3),
        ({"preset": "INT8_DYNAMIC", "ignore": ["re:conv.*"]}, 1),
    ],
)
def test_weights_become_integers_and_the_answers_stay_near(
    fields: dict[str, Any], expected: int, tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in")
    after = quantize.run(before, settings(**fields), make_context({"calibration": samples_of({"image": images()})}))
    assert integers(after.path) == expected
    if expected == 3:
        assert after.path.stat().st_size < before.path.stat().st_size * 0.75
    answers = [graph.run(graph.open_session(item.path), {"image": images(7)})["scores"] for item in (before, after)]
    np.testing.assert_allclose(answers[1], answers[0], atol=0.05 * np.abs(answers[0]).max())
    written = onnx.load(after.path)
    assert written.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert written.ir_version <= graph.IR_VERSION


def test_what_several_operators_take_is_computed_in_integers_too(tmp_path: Path, make_context: MakeContext) -> None:
    """A residual connection: what the first convolution makes is taken by the second, and added to its answer."""
    before = write_residual(tmp_path / "in")
    after = quantize.run(
        before, settings(preset="INT8"), make_context({"calibration": samples_of({"image": images()})})
    )
    operators = executed(after.path, tmp_path)
    assert operators.count("QLinearConv") == 3, operators
    assert operators.count("QLinearAdd") == 1, operators
    assert "Conv" not in operators


def test_a_model_of_convolutions_alone_shrinks_under_the_dynamic_preset(
    tmp_path: Path, make_context: MakeContext
) -> None:
    context = make_context()
    before = write(tmp_path / "in", dense=False)
    after = quantize.run(GraphModel(before.path, SIGNATURE), settings(preset="INT8_DYNAMIC"), context)
    assert after.path.stat().st_size < before.path.stat().st_size / 2
    assert "compute in float" in context.warnings[0]


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"preset": "INT8", "ignore": ["conv9"]}, Reason.RECIPE_INVALID, "conv1"),
        ({"preset": "INT8_DYNAMIC", "ignore": ["re:.*"]}, Reason.STAGE_FAILED, "no weight as integers"),
    ],
)
def test_what_would_change_nothing_is_refused(
    fields: dict[str, Any], reason: Reason, words: str, tmp_path: Path, make_context: MakeContext
) -> None:
    context = make_context({"calibration": samples_of({"image": images()})})
    with pytest.raises(Judged) as caught:
        quantize.run(write(tmp_path / "in"), settings(**fields), context)
    assert caught.value.reason is reason
    assert words in caught.value.message


def again(folder: Path, make_context: MakeContext, first: str, second: str) -> list[str]:
    """Quantize what was quantized, as a recipe of two stages would; return the notes of both."""
    context = make_context({"calibration": samples_of({"image": images()})})
    once = quantize.run(write(folder / "in"), settings(preset=first), context)
    kept = replace(once, path=once.path.parent.rename(folder / "once") / once.path.name)
    quantize.run(kept, settings(preset=second), context)
    return context.notes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("INT8", "INT8_DYNAMIC"),
        ("INT8", "W4A16"),
        ("INT8_DYNAMIC", "INT8_DYNAMIC"),
        ("INT8_DYNAMIC", "W4A16"),
        ("W8A16", "W4A16"),
        ("W4A16", "W4A16"),
    ],
)
def test_a_graph_whose_weights_are_integers_already_is_refused(
    first: str, second: str, tmp_path: Path, make_context: MakeContext
) -> None:
    with pytest.raises(Judged, match="integers before: take the model as it was") as caught:
        again(tmp_path, make_context, first, second)
    assert caught.value.reason is Reason.STAGE_FAILED


def test_weights_that_were_left_in_float_may_be_quantized_later(tmp_path: Path, make_context: MakeContext) -> None:
    """Groups leave a small product alone; the convolutions are integers before and after."""
    notes = again(tmp_path, make_context, "W8A16", "INT8_DYNAMIC")
    assert [note for note in notes if note.startswith("1 weight is stored as integers")]


@pytest.mark.parametrize(("samples", "warned"), [(1, True), (15, True), (16, False)])
def test_calibration_with_too_few_samples_is_told(
    tmp_path: Path, make_context: MakeContext, samples: int, warned: bool
) -> None:
    context = make_context({"calibration": samples_of({"image": images(samples)})})
    quantize.run(write(tmp_path / "in"), settings(preset="INT8"), context)
    told = [text for text in context.warnings if "too few to speak for others: preset INT8 wants 16" in text]
    assert bool(told) == warned
    assert not told or f"Calibration data has {samples} sample{'s' if samples > 1 else ''}, too few" in told[0]


def test_weights_of_another_precision_are_named(tmp_path: Path, make_context: MakeContext) -> None:
    model = write(tmp_path / "in")
    made = onnx.load(model.path)
    for item in made.graph.initializer:
        item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item).astype(np.float16), item.name))
    for item in [*made.graph.input, *made.graph.output]:
        item.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(made, model.path)
    with pytest.raises(Judged, match="its weights are of float16, and only float32 is quantized"):
        quantize.run(model, settings(preset="W8A16"), make_context({}))


def test_calibration_holds_one_piece_at_a_time() -> None:
    pieces = Pieces({"image": images(40)}, SIGNATURE)
    pieces.set_range(2, 3)
    last = pieces.get_next()
    assert len(pieces) == 3
    assert last is not None
    assert len(last["image"]) == 40 - 2 * PIECE
    assert pieces.get_next() is None


def test_without_calibration_data_some_of_the_training_data_calibrates(make_context: MakeContext) -> None:
    found = make_context({"train": samples_of({"image": images(300)})}).calibration()
    assert found is not None
    assert len(found["image"]) == 256


@pytest.mark.parametrize("algorithm", ["Entropy", "Percentile"])
def test_histograms_are_gathered_of_one_piece_after_the_other(
    algorithm: str, tmp_path: Path, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    collect = calibrate.HistogramCollector.collect

    def watched(self: Any, activations: dict[str, list[Any]]) -> None:
        held.extend(len(pieces) for pieces in activations.values())
        collect(self, activations)

    monkeypatch.setattr(calibrate.HistogramCollector, "collect", watched)
    context = make_context({"calibration": samples_of({"image": images(5 * PIECE)})})
    quantize.run(write(tmp_path / "in"), settings(preset="INT8", algorithm=algorithm), context)
    assert set(held) == {1}
    assert len(held) % 5 == 0
