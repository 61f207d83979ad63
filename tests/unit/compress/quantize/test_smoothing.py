"""smoothQuant: outliers of activations move into weights, and 8 bits resolve the rest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import quantize
from modelpress.compress.stages.quantize.activations import Ranges
from modelpress.compress.stages.quantize.smoothing import factors

WIDTH = 32
PRESETS = ("INT8", "INT8_DYNAMIC")


def write(folder: Path, *, residual: bool, rms: bool = False) -> GraphModel:
    """Write a block of a transformer whose normalization has two channels much larger than the others.

    `residual`: what is normalized is also added to the answer. `rms`: it is divided by its root mean square alone.
    """
    folder.mkdir()
    generator = np.random.default_rng(0)
    scale = np.ones(WIDTH, np.float32)
    scale[:2] = 60

    def constant(name: str, values: Any) -> Any:
        return numpy_helper.from_array(np.asarray(values, np.float32), name)

    weights = [
        constant("scale", scale),
        constant("shift", np.zeros(WIDTH)),
        constant("up", generator.normal(size=(WIDTH, WIDTH)) / 8),
        constant("gate", generator.normal(size=(WIDTH, WIDTH)) / 8),
    ]
    if rms:
        weights.append(constant("two", 2.0))
        norm = [
            helper.make_node("Pow", ["x", "two"], ["squares"], name="pow"),
            helper.make_node("ReduceMean", ["squares"], ["mean"], name="mean", axes=[-1]),
            helper.make_node("Sqrt", ["mean"], ["root"], name="sqrt"),
            helper.make_node("Div", ["x", "root"], ["unit"], name="div"),
            helper.make_node("Mul", ["unit", "scale"], ["n"], name="norm"),
        ]
    else:
        norm = [helper.make_node("LayerNormalization", ["x", "scale", "shift"], ["n"], name="norm")]
    nodes = [
        *norm,
        helper.make_node("MatMul", ["n", "up"], ["u"], name="up"),
        helper.make_node("MatMul", ["n", "gate"], ["g"], name="gate"),
        helper.make_node("Mul", ["u", "g"], ["both" if residual else "y"], name="both"),
    ]
    if residual:
        nodes.append(helper.make_node("Add", ["both", "n"], ["y"], name="add"))
    made = helper.make_model(
        helper.make_graph(
            nodes,
            "block",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTH])],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    made.ir_version = 9
    onnx.save(made, folder / "model.onnx")
    named = Signature((TensorSpec(name="x", shape=("batch", WIDTH)),), (TensorSpec(name="y"),))
    return GraphModel(folder / "model.onnx", named)


def rows(count: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


def press(model: GraphModel, folder: Path, make_context: MakeContext, **fields: Any) -> tuple[GraphModel, list[str]]:
    context = make_context({"calibration": samples_of({"x": rows(64, 1)})})
    context.scratch = folder
    folder.mkdir()
    return quantize.run(model, Quantize.model_validate(fields), context), context.notes


def off(before: GraphModel, after: GraphModel) -> float:
    inputs = {"x": rows(200, 2)}
    wanted, got = (graph.run(graph.open_session(item.path), inputs)["y"] for item in (before, after))
    return float(np.square(wanted - got).mean() / np.square(wanted).mean())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("residual", "rms"), [(False, False), (False, True), (True, False)])
def test_less_is_lost(preset: str, residual: bool, rms: bool, tmp_path: Path, make_context: MakeContext) -> None:
    before = write(tmp_path / "in", residual=residual, rms=rms)
    plain, _ = press(before, tmp_path / "plain", make_context, preset=preset)
    smooth, notes = press(before, tmp_path / "smooth", make_context, preset=preset, smoothQuant=True)
    assert off(before, smooth) < 0.5 * off(before, plain)
    inside = 0 if residual else 1
    assert f"Activations whose outliers moved into weights: 1 of 1, {inside} of them inside a normalization." in notes


def operators(model: GraphModel) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(model.path).graph.node)


@pytest.mark.parametrize(("residual", "more"), [(False, 0), (True, 1)])
def test_an_operator_is_added_only_where_somebody_else_takes_the_activation(
    residual: bool, more: int, tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in", residual=residual)
    plain, _ = press(before, tmp_path / "plain", make_context, preset="INT8_DYNAMIC")
    smooth, _ = press(before, tmp_path / "smooth", make_context, preset="INT8_DYNAMIC", smoothQuant=True)
    difference = operators(smooth)
    difference.subtract(operators(plain))
    assert {name: count for name, count in difference.items() if count} == ({"Mul": more} if more else {})


def test_products_that_are_ignored_keep_their_weights(tmp_path: Path, make_context: MakeContext) -> None:
    before = write(tmp_path / "in", residual=False)
    after, notes = press(
        before, tmp_path / "out", make_context, preset="INT8_DYNAMIC", smoothQuant=True, ignore=["gate"]
    )
    kept = [numpy_helper.to_array(item) for item in onnx.load(after.path).graph.initializer]
    gate = numpy_helper.to_array(next(i for i in onnx.load(before.path).graph.initializer if i.name == "gate"))
    assert any(item.shape == gate.shape and np.array_equal(item, gate) for item in kept)
    assert "1 of 1, 0 of them inside a normalization" in notes[0]


def test_even_channels_are_left_as_they_are() -> None:
    even = Ranges(np.full(8, -1.0), np.full(8, 1.0), np.full(8, 0.3))
    scale, left = factors(even, [np.ones((4, 8), np.float32)])
    np.testing.assert_allclose(scale, 1)
    assert left == pytest.approx(1.0)


def test_a_channel_that_is_always_zero_does_no_harm() -> None:
    high = np.array([0.0, 1.0, 100.0])
    scale, left = factors(Ranges(np.zeros(3), high, high**2 / 3), [np.array([[0.0, 1.0, 1.0]], np.float32)])
    assert np.isfinite(scale).all()
    assert scale[0] == 1
    assert scale[2] > 3 * scale[1]
    assert left < 0.8
