"""A small ONNX model of embeddings and matrix products, with activations as transformers have them, and data for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelpress.api.source import TensorSpec
from modelpress.compress.models import GraphModel
from modelpress.compress.signature import Signature

SIGNATURE = Signature(
    (
        TensorSpec(name="input_ids", dtype="int64", shape=("batch", "sequence")),
        TensorSpec(name="attention_mask", dtype="int64", shape=("batch", "sequence")),
    ),
    (TensorSpec(name="answer"),),
)
VOCABULARY, WIDTH, INNER, LENGTH = 300, 64, 128, 12
PRODUCTS = ("up", "gate", "down", "head")


def build(*, opset: int = 20, ir: int = 10) -> Any:
    """Return the model: embedding, two products of one activation, one of their product, and a Gemm of the mean.

    Few channels of the embedding are much greater than the others, and channels go together: outliers and correlation
    as in trained transformers.
    """
    generator = np.random.default_rng(0)
    mixing = generator.standard_normal((6, WIDTH)) * 0.8
    table = generator.standard_normal((VOCABULARY, 6)) @ mixing + generator.standard_normal((VOCABULARY, WIDTH)) * 0.3
    table[:, [3, 17]] *= 25

    def weight(name: str, *shape: int) -> Any:
        values = generator.standard_normal(shape) / np.sqrt(shape[0])
        return numpy_helper.from_array(values.astype(np.float32), name)

    weights = [
        numpy_helper.from_array(table.astype(np.float32), "table"),
        weight("up_weight", WIDTH, INNER),
        weight("gate_weight", WIDTH, INNER),
        weight("down_weight", INNER, WIDTH),
        numpy_helper.from_array(np.asarray([1], np.int64), "axis"),
        weight("head_weight", 20, WIDTH),
        weight("head_bias", 20),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["embedded"], name="embedding"),
        helper.make_node("MatMul", ["embedded", "up_weight"], ["u"], name="up"),
        helper.make_node("MatMul", ["embedded", "gate_weight"], ["g"], name="gate"),
        helper.make_node("Sigmoid", ["g"], ["s"], name="sigmoid"),
        helper.make_node("Mul", ["u", "s"], ["inner"], name="product"),
        helper.make_node("MatMul", ["inner", "down_weight"], ["d"], name="down"),
        helper.make_node("Cast", ["attention_mask"], ["m"], name="mask", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "two"], ["wide"], name="widen"),
        helper.make_node("Mul", ["d", "wide"], ["masked"], name="masked"),
        helper.make_node("ReduceSum", ["masked", "axis"], ["pooled"], name="pool", keepdims=0),
        helper.make_node("Gemm", ["pooled", "head_weight", "head_bias"], ["answer"], name="head", transB=1),
    ]
    weights.append(numpy_helper.from_array(np.asarray([2], np.int64), "two"))
    axes = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 20])]
    made = helper.make_model(
        helper.make_graph(nodes, "small", inputs, outputs, weights), opset_imports=[helper.make_opsetid("", opset)]
    )
    made.ir_version = ir
    return made


def write(folder: Path, **options: Any) -> GraphModel:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(build(**options), folder / "model.onnx")
    return GraphModel(folder / "model.onnx", SIGNATURE)


def sentences(count: int = 64, seed: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, LENGTH + 1, (count, 1))
    mask = (np.arange(LENGTH) < lengths).astype(np.int64)
    return {"input_ids": generator.integers(1, VOCABULARY, (count, LENGTH)) * mask, "attention_mask": mask}
