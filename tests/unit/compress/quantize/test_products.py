"""Static products add their biases themselves, and answer as the graph that adds them behind."""

from __future__ import annotations

from collections import Counter
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
from modelpress.compress.stages.quantize import stage

WIDTH, INNER, TOKENS = 16, 32, 5
SIGNATURE = Signature(
    (TensorSpec(name="hidden", shape=("batch", TOKENS, WIDTH)),), (TensorSpec(name="scores"), TensorSpec(name="gates"))
)


def rows(count: int, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((count, TOKENS, WIDTH)).astype(np.float32)


def write(folder: Path, *, bias_shape: tuple[int, ...] = (INNER,), taken_twice: bool = False) -> GraphModel:
    """Write two products with biases and a third without; the second's bias comes first among what is added."""
    generator = np.random.default_rng(0)
    shapes = {"w1": (WIDTH, INNER), "b1": bias_shape, "w2": (INNER, WIDTH), "b2": (WIDTH,), "w3": (WIDTH, WIDTH)}
    weights = [
        numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32) * 0.3, name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["hidden", "w1"], ["m1"], name="up"),
        helper.make_node("Add", ["m1", "b1"], ["a1"], name="up_bias"),
        helper.make_node("Gelu", ["a1"], ["g1"], name="gelu"),
        helper.make_node("MatMul", ["g1", "w2"], ["m2"], name="down"),
        helper.make_node("Add", ["b2", "m2"], ["scores"], name="down_bias"),
        helper.make_node("MatMul", ["hidden", "w3"], ["m3"], name="gate"),
        helper.make_node("Sigmoid", ["m1" if taken_twice else "m3"], ["gates"], name="sigmoid"),
    ]
    inputs = [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, ["batch", TOKENS, WIDTH])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("scores", "gates")]
    proto = helper.make_model(
        helper.make_graph(nodes, "products", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    folder.mkdir()
    onnx.save(onnx.shape_inference.infer_shapes(proto), folder / "model.onnx")
    return GraphModel(folder / "model.onnx", SIGNATURE)


def pressed(before: GraphModel, make_context: MakeContext, **fields: Any) -> tuple[GraphModel, Counter[str]]:
    context = make_context({"calibration": samples_of({"hidden": rows(40)})})
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8", **fields}), context)
    return after, Counter(node.op_type for node in onnx.load(after.path).graph.node)


def answers(model: GraphModel) -> np.ndarray[Any, Any]:
    return graph.run(graph.open_session(model.path), {"hidden": rows(7, seed=2)})["scores"]


@pytest.mark.parametrize("granularity", ["Channel", "Tensor"])
def test_products_add_their_biases_and_answer_as_before(
    granularity: str, tmp_path: Path, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path / "in")
    after, written = pressed(before, make_context, granularity=granularity)
    proto = onnx.load(after.path)
    assert {item.name for item in proto.graph.initializer} <= graph.consumers(proto).keys()  # sessions warn of others
    assert written["MatMulIntegerToFloat"] == 2
    assert written["Add"] == 0
    assert written["MatMul"] == 1  # it has no bias
    found = answers(after)
    run = executed(after.path, tmp_path)
    assert run.count("MatMulIntegerToFloat") == 3, run
    assert "BiasGelu" not in run
    with monkeypatch.context() as patch:
        patch.setattr(stage, "take_over_biases", lambda _proto: 0)
        apart, written = pressed(before, make_context, granularity=granularity)
    assert written["MatMulIntegerToFloat"] == 0
    np.testing.assert_allclose(found, answers(apart), atol=1e-4)
    np.testing.assert_allclose(found, answers(before), atol=0.05 * np.abs(found).max())


@pytest.mark.parametrize("different", [{"bias_shape": (TOKENS, INNER)}, {"taken_twice": True}])
def test_what_is_no_bias_of_columns_is_added_behind(
    different: dict[str, Any], tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in", **different)
    after, written = pressed(before, make_context)
    assert written["MatMulIntegerToFloat"] == 1
    assert written["Add"] == 1
    np.testing.assert_allclose(answers(after), answers(before), atol=0.05 * np.abs(answers(before)).max())


def test_fixed_point_units_are_given_operators_of_the_standard(tmp_path: Path, make_context: MakeContext) -> None:
    _, written = pressed(write(tmp_path / "in"), make_context, scales="PowerOfTwo")
    assert written["MatMulIntegerToFloat"] == 0
