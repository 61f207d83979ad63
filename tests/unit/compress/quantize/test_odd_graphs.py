"""Graphs that other tools write: names, shapes and operator sets that nothing here would choose answer as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of

from modelpress.api.source import Source
from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.formats import onnx_source
from modelpress.compress.stages import quantize

WIDTH, OUTPUTS = 64, 64
VALUES = [("x", ["batch", WIDTH])]
IMAGES = [("x", ["batch", 8, 9, 9])]
PRESETS = ("INT8", "INT8_DYNAMIC", "W8A16")


def weight(name: str, *shape: int) -> Any:
    generator = np.random.default_rng(len(name) + sum(shape))
    return numpy_helper.from_array((generator.standard_normal(shape) * 0.3).astype(np.float32), name)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), [output], name=f"{operator}.{output}", **attributes)


def model(inputs: Any, nodes: list[Any], weights: list[Any], opset: int = 17, ir: int = 8, kind: int = 1) -> Any:
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs]
    if ir < 4:
        ends += [helper.make_tensor_value_info(item.name, item.data_type, list(item.dims)) for item in weights]
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_model(
        helper.make_graph(nodes, "odd", ends, [answer], weights), opset_imports=[helper.make_opsetid("", opset)]
    )
    made.ir_version = ir
    return onnx.shape_inference.infer_shapes(made)


def check(
    made: Any, preset: str, tmp_path: Path, make_context: MakeContext, *, near: float = 0.03, **fields: Any
) -> Any:
    """Quantize a model; assert that its answers stay near; return the quantized graph and the context."""
    (tmp_path / "in").mkdir()
    onnx.save(made, tmp_path / "in" / "model.onnx")
    before = onnx_source.load(Source(uri="file:///in", format="onnx"), tmp_path / "in", tmp_path)
    generator = np.random.default_rng(0)
    inputs = {
        spec.name: generator.standard_normal((32, *spec.shape[1:])).astype(np.float32)
        if spec.dtype == "float32"
        else generator.integers(0, WIDTH, (32, *spec.shape[1:]))
        for spec in before.signature.inputs
        if spec.shape is not None
    }
    context = make_context({"calibration": samples_of(inputs)})
    after = quantize.run(before, Quantize.model_validate({"preset": preset, **fields}), context)
    sessions = (tmp_path / "in" / "model.onnx", after.path)
    wanted, got = (graph.run(graph.open_session(path, graph.BASIC), inputs)["y"] for path in sessions)
    assert np.linalg.norm(got - wanted) < near * np.linalg.norm(wanted)
    return onnx.load(after.path), context


def floats(quantized: Any) -> list[Any]:
    """Return weights that are still floats; scales of channels have one number for each."""
    tensors = [item for item in quantized.graph.initializer if item.data_type == TensorProto.FLOAT]
    return [item for item in tensors if len(item.dims) > 1 and max(item.dims[1:]) > 1]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("other", ["w_scale", "w_quantized", "w_zero_point", "w_int8", "x_scale", "x_zero_point"])
def test_values_are_told_from_those_that_a_quantizer_adds(
    other: str, preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Mul", f"a {other}", "y")]
    check(model(VALUES, nodes, [weight("w", WIDTH, OUTPUTS), weight(other, OUTPUTS)]), preset, tmp_path, make_context)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_weight_named_as_the_turned_one_of_another_is_told_from_it(
    preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    nodes = [node("Gemm", "x w", "a", transB=1), node("MatMul", "x w_Transposed", "b"), node("Add", "a b", "y")]
    made = model(VALUES, nodes, [weight("w", OUTPUTS, WIDTH), weight("w_Transposed", WIDTH, OUTPUTS)])
    quantized, _ = check(made, preset, tmp_path, make_context)
    assert not floats(quantized)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bias", [(OUTPUTS,), (1, OUTPUTS), (1,), ()])
def test_factors_and_biases_of_a_gemm_are_constants_afterwards(
    bias: tuple[int, ...], preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    nodes = [node("Gemm", "x w b", "y", alpha=0.5, beta=2.0, transB=1)]
    made = model(VALUES, nodes, [weight("w", OUTPUTS, WIDTH), weight("b", *bias)])
    quantized, _ = check(made, preset, tmp_path, make_context)
    assert not floats(quantized)


def test_a_factor_of_what_is_computed_stays_in_float(tmp_path: Path, make_context: MakeContext) -> None:
    nodes = [node("MatMul", "x v", "a"), node("Gemm", "x w a", "y", beta=2.0)]
    made = model(VALUES, nodes, [weight("v", WIDTH, OUTPUTS), weight("w", WIDTH, OUTPUTS)])
    quantized, _ = check(made, "INT8", tmp_path, make_context)
    assert len(floats(quantized)) == 1


def test_a_product_with_a_computed_bias_is_in_8_bits(tmp_path: Path, make_context: MakeContext) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Add", "a x", "y")]  # onnxruntime makes one Gemm of them
    quantized, _ = check(model(VALUES, nodes, [weight("w", WIDTH, WIDTH)]), "INT8", tmp_path, make_context)
    assert not floats(quantized)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(("opset", "ir"), [(7, 3), (9, 3), (11, 4), (12, 7)])
def test_old_operator_sets_are_quantized_by_channel(
    opset: int, ir: int, preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    weights = [weight("w", 12, 8, 3, 3), weight("b", 12), weight("v", 20, 588), weight("c", 20)]
    nodes = [node("Conv", "x w b", "h"), node("Flatten", "h", "f"), node("Gemm", "f v c", "y", transB=1)]
    quantized, _ = check(model(IMAGES, nodes, weights, opset, ir), preset, tmp_path, make_context)
    assert not floats(quantized)


@pytest.mark.parametrize(("mode", "scale"), [("nearest", 2.0), ("nearest", 1.6), ("linear", 1.5)])
def test_an_old_upsample_takes_the_same_samples(
    mode: str, scale: float, tmp_path: Path, make_context: MakeContext
) -> None:
    scales = numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "s")
    nodes = [node("Conv", "x w", "h"), node("Upsample", "h s", "y", mode=mode)]
    check(model(IMAGES, nodes, [weight("w", 12, 8, 3, 3), scales], 9, 4), "INT8", tmp_path, make_context)


@pytest.mark.parametrize("algorithm", ["RTN", "GPTQ", "AWQ"])
def test_a_weight_that_is_taken_both_ways_is_stored_both_ways(
    algorithm: str, tmp_path: Path, make_context: MakeContext
) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Gemm", "a w", "y", transB=1)]
    made = model(VALUES, nodes, [weight("w", WIDTH, WIDTH)])
    check(made, "W8A16", tmp_path, make_context, algorithm=algorithm)


@pytest.mark.parametrize(("preset", "near"), [("W8A16", 0.03), ("W4A16", 0.15), ("INT8", 0.03), ("INT8_DYNAMIC", 0.03)])
def test_a_table_that_is_a_weight_too_is_both(
    preset: str, near: float, tmp_path: Path, make_context: MakeContext
) -> None:
    nodes = [node("Gather", "e x", "a"), node("Gemm", "a e", "y", transB=1)]
    made = model([("x", ["batch"])], nodes, [weight("e", 200, WIDTH)], kind=TensorProto.INT64)
    check(made, preset, tmp_path, make_context, near=near)


@pytest.mark.parametrize("preset", ["INT8", "INT8_DYNAMIC"])
def test_a_vector_and_a_stack_beside_a_matrix_compute_in_float(
    preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    nodes = [
        node("MatMul", "x w", "a"),
        node("MatMul", "x v", "sums"),
        node("Unsqueeze", "sums last", "b"),
        node("MatMul", "x s", "c"),
        node("Add", "a b", "d"),
        node("Add", "c d", "y"),
    ]
    weights = [weight("w", WIDTH, WIDTH), weight("v", WIDTH), weight("s", 3, WIDTH, WIDTH)]
    weights.append(numpy_helper.from_array(np.array([-1]), "last"))
    made = model([("x", ["batch", 3, WIDTH, WIDTH])], nodes, weights)
    quantized, context = check(made, preset, tmp_path, make_context)
    assert len(floats(quantized)) == 1
    assert context.warnings[0].startswith("MatMul.c multiply with stacks of matrices and compute in float")


def test_cells_that_share_weights_store_them_in_8_bits(tmp_path: Path, make_context: MakeContext) -> None:
    nodes = [
        node("Neg", "x", "n"),
        node("LSTM", "x w r", "a", hidden_size=16),
        node("LSTM", "n w r", "b", hidden_size=16),
        node("Add", "a b", "y"),
    ]
    made = model([("x", ["batch", 3, WIDTH])], nodes, [weight("w", 1, 64, WIDTH), weight("r", 1, 64, 16)])
    quantized, context = check(made, "INT8_DYNAMIC", tmp_path, make_context, near=0.1)
    assert "LSTM.a, LSTM.b share their weights" in context.warnings[0]
    assert {item.data_type for item in quantized.graph.initializer if list(item.dims) == [1, 64, WIDTH]} == {
        TensorProto.INT8
    }


def test_an_input_without_axes_is_a_number(tmp_path: Path, make_context: MakeContext) -> None:
    nodes = [node("Mul", "x s", "a"), node("MatMul", "a w", "y")]
    made = model([("x", [3, WIDTH]), ("s", [])], nodes, [weight("w", WIDTH, OUTPUTS)])
    (tmp_path / "in").mkdir()
    onnx.save(made, tmp_path / "in" / "model.onnx")
    before = onnx_source.load(Source(uri="file:///in", format="onnx"), tmp_path / "in", tmp_path)
    inputs = {"x": np.ones((20, 3, WIDTH), np.float32), "s": np.ones(20, np.float32)}
    after = quantize.run(
        before, Quantize.model_validate({"preset": "INT8"}), make_context({"calibration": samples_of(inputs)})
    )
    assert not floats(onnx.load(after.path))


@pytest.mark.parametrize("preset", PRESETS)
def test_weights_without_numbers_are_named(preset: str, tmp_path: Path, make_context: MakeContext) -> None:
    broken = numpy_helper.to_array(weight("w", WIDTH, WIDTH)).copy()
    broken[3, 1] = np.nan
    made = model(VALUES, [node("MatMul", "x w", "y")], [numpy_helper.from_array(broken, "w")])
    with pytest.raises(Judged, match="The weight w of the graph's MatMul holds NaN or infinity: check the source"):
        check(made, preset, tmp_path, make_context)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_weight_that_is_not_square_is_taken_both_ways(preset: str, tmp_path: Path, make_context: MakeContext) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Gemm", "a w", "y", transB=1)]
    check(model(VALUES, nodes, [weight("w", WIDTH, 3 * WIDTH)]), preset, tmp_path, make_context)


def test_a_graph_that_was_quantized_before_is_refused(tmp_path: Path, make_context: MakeContext) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "y")]
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir()
    twice.mkdir()
    quantized, _ = check(model(VALUES, nodes, [weight("w", WIDTH, WIDTH)]), "INT8", once, make_context)
    with pytest.raises(Judged, match="1 weight was of integers before: take the model as it was"):
        check(quantized, "INT8", twice, make_context)


@pytest.mark.parametrize("preset", ["INT8", "INT8_DYNAMIC"])
def test_what_was_quantized_before_stays_as_it_is_beside_what_is_quantized_now(
    preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Relu", "a", "y")]
    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir()
    twice.mkdir()
    quantized, _ = check(model(VALUES, nodes, [weight("w", WIDTH, WIDTH)]), preset, once, make_context)
    for item in quantized.graph.node:
        item.output[:] = ["middle" if name == "y" else name for name in item.output]
    quantized.graph.node.append(node("MatMul", "middle later", "y"))
    quantized.graph.initializer.append(weight("later", WIDTH, WIDTH))
    _, context = check(quantized, preset, twice, make_context)
    assert context.notes[-1].startswith("1 weight is stored as integers")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("activation", ["Relu", "Clip"])
def test_branches_take_what_an_activation_made_not_what_it_took(
    activation: str, preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    answer = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    branches = {
        key: helper.make_graph([node("MatMul", f"h {key}", "z")], key, [], answer)
        for key in ("then_branch", "else_branch")
    }
    limits = [numpy_helper.from_array(np.float32(value), name) for name, value in (("low", 0), ("high", 3))]
    made = model(
        VALUES,
        [
            node("MatMul", "x w", "m"),
            node("Add", "m b", "a"),
            node(activation, "a low high" if activation == "Clip" else "a", "h"),
            node("ReduceSum", "x", "s", keepdims=0),
            node("Greater", "s low", "c"),
            node("If", "c", "i", **branches),
            node("MatMul", "i v", "y"),
        ],
        [*(weight(name, WIDTH, WIDTH) for name in ("w", "v", *branches)), weight("b", WIDTH), *limits],
    )
    check(made, preset, tmp_path, make_context)
