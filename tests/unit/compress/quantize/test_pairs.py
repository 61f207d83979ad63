"""Dynamic 8-bit products answer the same on every processor: no pair of products overflows 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.unit.compress.conftest import MakeContext

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
KINDS = ("MatMul", "Gemm", "turned Gemm", "LSTM")
LARGEST_SUM, LARGEST_ACTIVATION = 2**15 - 1, 255


def write(folder: Path, kind: str, *, stack: bool = False) -> GraphModel:
    """Write a product or an LSTM with weights nearly all as large as any, whose codes overflow in pairs."""
    folder.mkdir()
    generator = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(generator.choice([-1.0, 1.0, 0.9], shape).astype(np.float32), name)

    shape: list[str | int] = ["batch", WIDTH] if "Gemm" in kind else ["batch", 3, WIDTH]
    if kind == "LSTM":
        node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="cell", hidden_size=16)
        weights = [weight("w", 1, 64, WIDTH), weight("r", 1, 64, 16)]
    else:
        turned = kind == "turned Gemm"
        node = helper.make_node(kind.rsplit(maxsplit=1)[-1], ["x", "w"], ["y"], name="dense")
        if turned:
            node.attribute.append(helper.make_attribute("transB", 1))
        matrix = (32, WIDTH) if turned else (WIDTH, 32)
        weights = [weight("w", *(3,) * stack, *matrix)]
        shape = ["batch", 3, 2, WIDTH] if stack else shape
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


def products(path: Path) -> list[np.ndarray[Any, Any]]:
    """Return the codes of all weights of products, [inputs, outputs]."""
    proto = onnx.load(path)
    tensors = {item.name: numpy_helper.to_array(item) for item in proto.graph.initializer}
    found = []
    for node in proto.graph.node:
        places = {"MatMulInteger": (1,), "DynamicQuantizeLSTM": (1, 2)}.get(node.op_type, ())
        found += [tensors[node.input[place]].reshape(-1, *tensors[node.input[place]].shape[-2:]) for place in places]
    return [matrix for stack in found for matrix in stack]


def largest_pair(codes: np.ndarray[Any, Any]) -> int:
    """Return the largest sum that two neighbouring inputs reach, whatever the activations."""
    padded = np.pad(codes.astype(np.int32), ((0, len(codes) % 2), (0, 0)))
    sums = [np.maximum(sign * padded, 0).reshape(-1, 2, codes.shape[1]).sum(1).max() for sign in (1, -1)]
    return int(max(sums)) * LARGEST_ACTIVATION


@pytest.mark.parametrize("granularity", ["Tensor", "Channel"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_pair_overflows_and_answers_are_exact(
    kind: str, granularity: str, tmp_path: Path, make_context: MakeContext
) -> None:
    before = write(tmp_path / "in", kind)
    settings = Quantize.model_validate({"preset": "INT8_DYNAMIC", "granularity": granularity})
    after = quantize.run(before, settings, make_context())
    found = products(after.path)
    assert len(found) == (2 if kind == "LSTM" else 1)
    for codes in found:
        assert codes.dtype == np.int8, "with VNNI the kernel of unsigned weights takes three times as long"
        assert largest_pair(codes) <= LARGEST_SUM
    inputs = {"x": np.random.default_rng(1).random((5, *before.signature.inputs[0].shape[1:]), np.float32)}
    wanted, got = (graph.run(graph.open_session(item.path), inputs)["y"] for item in (before, after))
    assert np.abs(got - wanted).mean() < 0.005 * np.abs(wanted).max()


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


def test_stacks_of_matrices_share_a_scale(tmp_path: Path, make_context: MakeContext) -> None:
    before, context = write(tmp_path / "in", "MatMul", stack=True), make_context()
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8_DYNAMIC", "granularity": "Tensor"}), context)
    assert [largest_pair(codes) <= LARGEST_SUM for codes in products(after.path)] == [True] * 3
    assert not context.warnings


def test_with_a_scale_for_each_channel_stacks_stay_in_float(tmp_path: Path, make_context: MakeContext) -> None:
    before, context = write(tmp_path / "in", "MatMul", stack=True), make_context()
    with pytest.raises(Judged, match="stored no weight as integers"):
        quantize.run(before, Quantize.model_validate({"preset": "INT8_DYNAMIC"}), context)
    assert context.warnings[0].startswith("dense multiply with stacks of matrices and stay in float")
