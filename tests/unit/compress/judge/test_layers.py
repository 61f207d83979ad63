"""Which layer each byte belongs to, across what quantization and cutting do to names and shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from modelpress.compress.judge.layers import Layer, compare_layers, layers_of, pair

RANDOM = np.random.default_rng(3)
FIRST, SECOND = (RANDOM.normal(size=shape).astype(np.float32) for shape in ((16, 64), (64, 8)))


def saved(path: Path, nodes: list[Any], weights: dict[str, Any]) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return saved(
        tmp_path / "original.onnx",
        [
            helper.make_node("MatMul", ["x", "encoder.first.weight"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("MatMul", ["b", "encoder.second.weight"], ["y"]),
        ],
        {"encoder.first.weight": FIRST, "encoder.second.weight": SECOND},
    )


def test_dynamic_quantization_keeps_the_order_and_the_values(original: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.onnx"
    quantize_dynamic(original, result, weight_type=QuantType.QInt8, per_channel=True)
    figures, weights = compare_layers(original, result)
    assert [figure.name for figure in figures] == ["encoder.first", "encoder.second"]
    assert [figure.original_bytes for figure in figures] == [FIRST.nbytes, SECOND.nbytes]
    assert all(figure.compressed_bytes and figure.compressed_bytes < figure.original_bytes / 3 for figure in figures)
    assert weights is not None
    spread = np.array([weights.original, weights.compressed])
    assert spread.sum(axis=1) == pytest.approx([1, 1], abs=1e-4)
    assert abs(spread[0] - spread[1]).sum() < 0.1


@pytest.mark.parametrize("block", [0, 16])
def test_weights_that_are_dequantized_belong_to_what_computes_with_them(tmp_path: Path, block: int) -> None:
    blocked = FIRST.reshape(-1, block, 64) if block else FIRST[None]
    scale = (abs(blocked).max(axis=1) / 127).astype(np.float32)
    wide = scale.repeat(block, axis=0) if block else scale
    integers = (FIRST / wide).round().astype(np.int8)
    settings = {"axis": 0, "block_size": block} if block else {"axis": 1}
    path = saved(
        tmp_path / "m.onnx",
        [
            helper.make_node("DequantizeLinear", ["w", "s"], ["float"], **settings),
            helper.make_node("MatMul", ["x", "float"], ["y"]),
        ],
        {"w": integers, "s": scale if block else scale[0]},
    )
    (layer,) = layers_of(path)
    assert (layer.operator, layer.size) == ("MatMul", integers.nbytes + scale.nbytes)
    assert layer.main is not None
    assert layer.main == pytest.approx(FIRST.reshape(-1), abs=0.03)


def test_four_bits_in_blocks_are_unpacked(tmp_path: Path) -> None:
    columns = FIRST.T.reshape(64, 1, 16)
    scale = (abs(columns).max(axis=2, keepdims=True) / 7).astype(np.float32)
    codes = ((columns / scale).round() + 8).astype(np.uint8)
    packed = codes[..., 0::2] | (codes[..., 1::2] << 4)
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=16, N=64, bits=4, block_size=16
    )
    (layer,) = layers_of(saved(tmp_path / "m.onnx", [node], {"w": packed, "s": scale.reshape(-1)}))
    assert layer.main is not None
    assert layer.main == pytest.approx(FIRST.T.reshape(-1), abs=0.3)
    assert layer.size == packed.nbytes + scale.nbytes


def test_a_layer_that_was_cut_is_gone_and_the_others_keep_their_partners() -> None:
    before = [Layer(str(number), operator) for number, operator in enumerate(("Gather", "Conv", "MatMul", "Gemm"))]
    after = [Layer("x", "GatherBlockQuantized"), Layer("y", "MatMulNBits"), Layer("z", "Gemm")]
    found = [other.name if other else None for _, other in pair(before, after)]
    assert found == ["x", None, "y", "z"]
