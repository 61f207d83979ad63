"""8-bit products answer the same on every processor: no pair of products overflows 16 bits."""

from __future__ import annotations

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
from modelpress.compress.errors import Judged
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature
from modelpress.compress.stages import quantize
from modelpress.compress.stages.quantize.pairs import round_pairs

WIDTH = 65
"""Odd, so that one input has no neighbour."""
LARGEST_SUM, LARGEST_ACTIVATION = 2**15 - 1, 255
DYNAMIC = ("MatMul", "Gemm", "turned Gemm", "LSTM")
STATIC = ("MatMul", "Gemm", "turned Gemm", "Conv", "grouped Conv")
GRANULARITIES = pytest.mark.parametrize("granularity", ["Tensor", "Channel"])


def weight(name: str, *shape: int) -> Any:
    """Return weights nearly all as large as any, whose codes overflow in pairs."""
    values = np.random.default_rng(sum(shape)).choice([-1.0, 1.0, 0.9], shape)
    return numpy_helper.from_array(values.astype(np.float32), name)


def write(folder: Path, kind: str, *, stack: bool = False) -> GraphModel:
    """Write a graph of one operator with weights, and a bias where it can have one."""
    folder.mkdir()
    operator = kind.rsplit(maxsplit=1)[-1]
    node = helper.make_node(operator, ["x", "w"], ["y"], name="dense")
    shape: list[str | int] = ["batch", 3, WIDTH]
    weights = [weight("w", *(3,) * stack, WIDTH, 32)]
    if stack:
        shape = ["batch", 3, 2, WIDTH]
    elif operator == "LSTM":
        node.attribute.append(helper.make_attribute("hidden_size", 16))
        weights = [weight("w", 1, 64, WIDTH), weight("r", 1, 64, 16)]
    elif operator == "Gemm":
        turned = kind == "turned Gemm"
        node.attribute.append(helper.make_attribute("transB", int(turned)))
        shape, weights = ["batch", WIDTH], [weight("w", *((32, WIDTH) if turned else (WIDTH, 32))), weight("b", 32)]
    elif operator == "Conv":
        groups = 2 if kind == "grouped Conv" else 1
        node.attribute.append(helper.make_attribute("group", groups))
        shape, weights = ["batch", 6, 5, 5], [weight("w", 8, 6 // groups, 3, 3), weight("b", 8)]
    del node.input[1:]
    node.input.extend(item.name for item in weights)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_empty_tensor_value_info("y")]
    outputs[0].type.tensor_type.elem_type = TensorProto.FLOAT
    made = helper.make_model(
        helper.make_graph([node], "pairs", inputs, outputs, weights), opset_imports=[helper.make_opsetid("", 17)]
    )
    made.ir_version = 9
    onnx.save(onnx.shape_inference.infer_shapes(made), folder / "model.onnx")
    named = Signature((TensorSpec(name="x", shape=tuple(shape)),), (TensorSpec(name="y"),))
    return GraphModel(folder / "model.onnx", named)


def samples(model: GraphModel) -> dict[str, np.ndarray[Any, Any]]:
    """Return inputs that leave nothing of the range of unsigned activations out."""
    return {"x": np.random.default_rng(1).random((40, *model.signature.inputs[0].shape[1:]), np.float32)}


def products(path: Path) -> list[np.ndarray[Any, Any]]:
    """Return the codes of all weights of products, [inputs, outputs], in the orders in which kernels take them."""
    proto = onnx.load(path)
    tensors = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    makers = {name: node for node in proto.graph.node for name in node.output}
    found = []
    for node in proto.graph.node:
        if node.op_type in ("MatMulInteger", "DynamicQuantizeLSTM"):
            for place in (1, 2) if node.op_type == "DynamicQuantizeLSTM" else (1,):
                codes = tensors[node.input[place]]
                found += list(codes.reshape(-1, *codes.shape[-2:]))
        elif node.op_type in ("MatMul", "Gemm"):
            codes = tensors[makers[node.input[1]].input[0]]
            found.append(codes.T if any(item.name == "transB" and item.i for item in node.attribute) else codes)
        elif node.op_type == "Conv":
            codes = tensors[makers[node.input[1]].input[0]]
            found += [each.reshape(len(codes), -1).T for each in (codes, np.moveaxis(codes, 1, -1))]
    return found


def largest_pair(codes: np.ndarray[Any, Any]) -> int:
    """Return the largest sum that two neighbouring inputs reach, whatever the activations."""
    padded = np.pad(codes.astype(np.int32), ((0, len(codes) % 2), (0, 0)))
    sums = [np.maximum(sign * padded, 0).reshape(-1, 2, codes.shape[1]).sum(1).max() for sign in (1, -1)]
    return int(max(sums)) * LARGEST_ACTIVATION


def check(before: GraphModel, after: GraphModel) -> None:
    for codes in products(after.path):
        assert codes.dtype == np.int8, "with VNNI the kernel of unsigned weights takes three times as long"
        assert largest_pair(codes) <= LARGEST_SUM
    inputs = samples(before)
    wanted, got = (graph.run(graph.open_session(item.path), inputs)["y"] for item in (before, after))
    assert np.abs(got - wanted).mean() < 0.005 * np.abs(wanted).max()


@GRANULARITIES
@pytest.mark.parametrize("kind", DYNAMIC)
def test_no_pair_of_a_dynamic_graph_overflows(
    kind: str, granularity: str, tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in", kind)
    settings = Quantize.model_validate({"preset": "INT8_DYNAMIC", "granularity": granularity})
    after = quantize.run(before, settings, make_context())
    assert len(products(after.path)) == (2 if kind == "LSTM" else 1)
    check(before, after)


@GRANULARITIES
@pytest.mark.parametrize("kind", STATIC)
def test_no_pair_of_a_static_graph_overflows(
    kind: str, granularity: str, tmp_path: Path, make_context: MakeContext
) -> None:
    """Biases keep their value: beside weights of one sign a change of theirs would be seen."""
    before = write(tmp_path / "in", kind)
    settings = Quantize.model_validate({"preset": "INT8", "granularity": granularity})
    after = quantize.run(before, settings, make_context({"calibration": samples_of(samples(before))}))
    assert len(products(after.path)) == (2 if "Conv" in kind else 1)
    check(before, after)


def test_a_scale_grows_as_far_as_its_own_channel_needs() -> None:
    even, single = np.full(64, 0.5), np.full(64, 0.1)
    single[7] = -1.0
    codes, scales = round_pairs(np.stack([even, single, np.zeros(64)], 1).astype(np.float32), (3,))
    assert codes[:, 0].tolist() == [63, 64] * 32
    assert codes[7, 1] == -127
    assert scales == pytest.approx([1 / 127, 1 / 127, 1])
    assert not codes[:, 2].any()


@pytest.mark.parametrize("shape", [(), (40,)])
def test_rounding_again_changes_nothing(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(0).normal(size=(WIDTH, 40)).astype(np.float32)
    codes, scales = round_pairs(weights, shape)
    again, same = round_pairs((codes * scales).astype(np.float32), shape)
    np.testing.assert_array_equal(again, codes)
    np.testing.assert_allclose(same, scales, rtol=1e-6)


def test_neighbours_of_opposite_signs_need_nothing() -> None:
    weights = np.tile(np.array([[1.0], [-1.0]], np.float32), (8, 1))
    codes, _ = round_pairs(weights, ())
    assert codes.T.tolist() == [[127, -127] * 8]


@pytest.mark.parametrize("preset", ["INT8", "INT8_DYNAMIC"])
def test_stacks_of_matrices_share_a_scale(preset: str, tmp_path: Path, make_context: MakeContext) -> None:
    before = write(tmp_path / "in", "MatMul", stack=True)
    context = make_context({"calibration": samples_of(samples(before))})
    after = quantize.run(before, Quantize.model_validate({"preset": preset, "granularity": "Tensor"}), context)
    inputs = samples(before)
    wanted, got = (graph.run(graph.open_session(item.path), inputs)["y"] for item in (before, after))
    assert np.abs(got - wanted).mean() < 0.005 * np.abs(wanted).max()
    assert not context.warnings


@pytest.mark.parametrize("preset", ["INT8", "INT8_DYNAMIC"])
def test_with_a_scale_for_each_channel_stacks_stay_in_float(
    preset: str, tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in", "MatMul", stack=True)
    context = make_context({"calibration": samples_of(samples(before))})
    with pytest.raises(Judged, match="stored no weight as integers"):
        quantize.run(before, Quantize.model_validate({"preset": preset}), context)
    assert context.warnings[0].startswith("dense multiply with stacks of matrices and compute in float")
