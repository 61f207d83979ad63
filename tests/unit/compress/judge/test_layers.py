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


def layer(name: str, operator: str, *shape: int) -> Layer:
    return Layer(name, operator, size=1, largest=1, shape=tuple(sorted(shape)))


def test_layers_that_changed_places_are_told_by_their_shapes() -> None:
    """Keys and queries of an attention depend on nothing of each other: tools in between write them in any order."""
    block = [("q", 64, 64), ("k", 64, 16), ("v", 64, 16), ("o", 64, 64), ("up", 64, 160)]
    before = [layer(f"{name}{number}", "MatMul", *shape) for number in range(3) for name, *shape in block]
    before = [layer("table", "Gather", 260, 64), *before, layer("head", "Gemm", 64, 7)]
    order = [1, 0, 2, 3, 4]
    after = [
        layer(block[place][0] + str(number), "MatMulNBits", *block[place][1:]) for number in (0, 1) for place in order
    ]
    after = [layer("table", "GatherBlockQuantized", 64, 260), *after, layer("head", "MatMulNBits", 7, 64)]
    found = {one.name: other and other.name for one, other in pair(before, after)}
    gone = {f"{name}2": None for name, *_ in block}
    assert found == {one.name: one.name for one in before if one.name not in gone} | gone


def test_a_layer_that_kept_its_name_is_not_gone_though_a_block_that_was_cut_had_layers_of_its_shape() -> None:
    blocks = [layer(f"layer.{number}.query", "MatMul", 64, 64) for number in range(3)]
    before = [*blocks, layer("pooler", "Gemm", 64, 64), layer("classifier", "Gemm", 64, 3)]
    after = [layer(f"layer.{number}.query", "MatMulNBits", 64, 64) for number in range(2)]
    after += [layer("pooler", "MatMulNBits", 64, 64), layer("classifier", "Gemm", 64, 3)]
    found = {one.name: other and other.name for one, other in pair(before, after)}
    assert found == {one.name: one.name for one in before} | {"layer.2.query": None}


def test_numbers_that_only_choose_an_axis_are_no_layer(original: Path) -> None:
    made = onnx.load(original)
    made.graph.initializer.append(numpy_helper.from_array(np.array([0]), "axis"))
    made.graph.node.insert(0, helper.make_node("Gather", ["lengths", "axis"], ["length"]))
    made.graph.node.insert(0, helper.make_node("Shape", ["x"], ["lengths"]))
    onnx.save(made, original)
    assert [one.operator for one in layers_of(original)] == ["MatMul", "MatMul"]


@pytest.mark.parametrize("packed", ["MatMulNBits", "GatherBlockQuantized"])
def test_packed_weights_have_the_shape_they_had(tmp_path: Path, packed: str) -> None:
    if packed == "MatMulNBits":
        inputs, weights = ["x", "w", "s"], {"w": np.zeros((8, 1, 8), np.uint8), "s": np.ones(8, np.float32)}
        attributes = {"K": 16, "N": 8, "bits": 4, "block_size": 16}
    else:
        inputs, weights = ["w", "x", "s"], {"w": np.zeros((16, 4), np.uint8), "s": np.ones((16, 1), np.float32)}
        attributes = {"bits": 4, "block_size": 16}
    node = helper.make_node(packed, inputs, ["y"], domain="com.microsoft", **attributes)
    (found,) = layers_of(saved(tmp_path / "packed.onnx", [node], weights), values=False)
    assert found.shape == (8, 16)


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
