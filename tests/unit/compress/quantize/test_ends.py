"""Answers of static INT8 are no further off where they go beyond what calibration data reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.graphs import executed
from tests.unit.compress.sources import samples_of

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import quantize

INPUTS, INNER, OUTPUTS = 24, 32, 12
Array = np.ndarray[Any, Any]


def rows(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, (count, INPUTS)).astype(np.float32)


def write(folder: Path, ending: str) -> GraphModel:
    """Write Gemm, Relu, Gemm and what `ending` says behind."""
    random = np.random.default_rng(0)
    shapes = {"w1": (INPUTS, INNER), "b1": (INNER,), "w2": (INNER, OUTPUTS), "b2": (OUTPUTS,), "w3": (OUTPUTS, 8)}
    weights = [
        numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    weights.append(numpy_helper.from_array(np.array([0, 3, 4]), "shape"))
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="middle"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y" if ending == "plain" else "z"], name="second"),
    ]
    behind = {
        "plain": [],
        "moved": [helper.make_node("Reshape", ["z", "shape"], ["y"], name="moved")],
        "bounded": [helper.make_node("Tanh", ["z"], ["y"], name="bounded")],
        "no less than 0": [helper.make_node("Relu", ["z"], ["y"], name="last")],
        "taken by another": [helper.make_node("Gemm", ["z", "w3"], ["y"], name="third")],
    }
    shape = {"moved": ["batch", 3, 4], "taken by another": ["batch", 8]}.get(ending, ["batch", OUTPUTS])
    graph_proto = helper.make_graph(
        [*nodes, *behind[ending]],
        "ends",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        weights,
    )
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph_proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return GraphModel(path, Signature((TensorSpec(name="x", shape=("batch", INPUTS)),), (TensorSpec(name="y"),)))


@pytest.mark.parametrize("ending", ["plain", "moved", "bounded", "no less than 0", "taken by another"])
def test_what_nobody_takes_in_8_bits_is_not_rounded(ending: str, tmp_path: Path, make_context: MakeContext) -> None:
    before = write(tmp_path / "in", ending)
    context = make_context({"calibration": samples_of({"x": rows(64, 1)})})
    context.scratch = tmp_path / "stage"
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8"}), context)
    asked = {"x": rows(200, 2)}
    wanted, given = (graph.run(graph.open_session(item.path), asked)["y"] for item in (before, after))
    error = float(((given - wanted) ** 2).mean() / (wanted**2).mean())
    operators = executed(after.path, tmp_path)
    assert operators.count("QGemm") == (3 if ending == "taken by another" else 2), operators
    assert "Gemm" not in operators
    assert error < 0.01
    answers = np.unique(given)
    assert len(answers) > 256 or ending == "no less than 0"
    if ending == "no less than 0":
        assert given.min() == 0


def test_an_amount_beyond_those_of_calibration_is_not_answered_as_the_largest_of_them(
    tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in", "plain")
    few = {"x": rows(64, 1)}
    session = graph.open_session(before.path)
    reached = float(graph.run(session, few)["y"].max())
    context = make_context({"calibration": samples_of(few)})
    context.scratch = tmp_path / "stage"
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8"}), context)
    many = {"x": rows(5000, 2)}
    wanted = graph.run(session, many)["y"]
    given = graph.run(graph.open_session(after.path), many)["y"]
    assert wanted.max() > reached * 1.2
    assert given.max() == pytest.approx(wanted.max(), rel=0.1)


def images(count: int, seed: int) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).uniform(-1, 1, (count, 3, 8, 8)).astype(np.float32)}


def write_convolutions(folder: Path, ending: str) -> GraphModel:
    """Write two convolutions and what `ending` says behind."""
    random = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array((random.standard_normal(shape) / 6).astype(np.float32), name)
        for name, shape in {"w1": (16, 3, 3, 3), "w2": (12, 16, 3, 3), "w3": (4, 12, 3, 3)}.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["h"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["h"], ["r"], name="middle"),
        helper.make_node("Conv", ["r", "w2"], ["y" if ending == "plain" else "z"], name="second", pads=[1] * 4),
    ]
    behind = {
        "plain": [],
        "shuffled": [helper.make_node("DepthToSpace", ["z"], ["y"], name="shuffled", blocksize=2)],
        "moved": [helper.make_node("Transpose", ["z"], ["y"], name="moved", perm=[0, 2, 3, 1])],
        "bounded": [helper.make_node("Sigmoid", ["z"], ["y"], name="bounded")],
        "taken by another": [
            helper.make_node("Conv", ["z", "w3"], ["a"], name="third", pads=[1] * 4),
            helper.make_node("Sigmoid", ["a"], ["y"], name="bounded"),
        ],
    }
    shape = {"shuffled": ["batch", 3, 16, 16], "moved": ["batch", 8, 8, 12], "taken by another": ["batch", 4, 8, 8]}
    graph_proto = helper.make_graph(
        [*nodes, *behind[ending]],
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape.get(ending, ["batch", 12, 8, 8]))],
        weights,
    )
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph_proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return GraphModel(path, Signature((TensorSpec(name="x", shape=("batch", 3, 8, 8)),), (TensorSpec(name="y"),)))


@pytest.mark.parametrize(
    ("ending", "integer"),
    [("plain", 1), ("shuffled", 1), ("moved", 1), ("bounded", 2), ("taken by another", 3)],
)
def test_a_convolution_whose_answer_is_the_models_is_not_clipped(
    ending: str, integer: int, tmp_path: Path, make_context: MakeContext
) -> None:
    before = write_convolutions(tmp_path / "in", ending)
    context = make_context({"calibration": samples_of(images(16, 1))})
    context.scratch = tmp_path / "stage"
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8"}), context)
    wanted, given = (graph.run(graph.open_session(item.path), images(500, 2))["y"] for item in (before, after))
    assert executed(after.path, tmp_path).count("QLinearConv") == integer
    assert given.max() == pytest.approx(wanted.max(), rel=0.05)
    assert float(((given - wanted) ** 2).mean() / (wanted**2).mean()) < 0.01
