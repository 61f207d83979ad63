"""What stays in float in a static graph: what lies between convolutions is quantized, a transformer's stream is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load_file, save_file
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.sources import samples_of
from tests.unit.compress.test_transformers_source import question, source, write

from modelpress.api.stages import Quantize
from modelpress.compress import graph
from modelpress.compress.export import export
from modelpress.compress.formats import transformers_source
from modelpress.compress.stages import quantize
from modelpress.compress.stages.quantize.elementwise import left_in_float
from modelpress.compress.stages.quantize.integers import STATIC_TYPES


def left(nodes: list[Any], *constants: str) -> set[str]:
    values = [numpy_helper.from_array(np.ones((2, 2), np.float32), name) for name in constants]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    outputs = [helper.make_empty_tensor_value_info(nodes[-1].output[0])]
    for number, node in enumerate(nodes):
        node.name = node.name or f"{node.op_type}{number}"
    made = helper.make_model(helper.make_graph(nodes, "some", inputs, outputs, values))
    return set(left_in_float(onnx.load_from_string(made.SerializeToString()), STATIC_TYPES))


def node(kind: str, inputs: str, output: str) -> Any:
    return helper.make_node(kind, inputs.split(), [output], name=output)


def test_what_lies_between_convolutions_has_8_bits() -> None:
    nodes = [
        node("Conv", "x w", "c1"),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w", "c2"),
        node("Add", "c2 r1", "sum"),
        node("Sigmoid", "sum", "gate"),
        node("Mul", "sum gate", "gated"),
        node("Concat", "gated c1", "both"),
        node("GlobalAveragePool", "both", "pool"),
        node("Gemm", "pool w b", "y"),
    ]
    assert not left(nodes, "w", "b")


def test_the_stream_and_the_scores_of_a_transformer_stay_in_float() -> None:
    nodes = [
        node("Gather", "table x", "embedded"),
        node("Add", "embedded positions", "stream"),
        node("LayerNormalization", "stream scale", "norm"),
        node("MatMul", "norm w", "query"),
        node("Add", "query b", "biased"),
        node("Reshape", "biased shape", "heads"),
        node("MatMul", "heads heads", "scores"),
        node("Add", "scores mask", "masked"),
        node("Softmax", "masked", "weights"),
        node("MatMul", "weights heads", "mixed"),
        node("MatMul", "mixed w", "out"),
        node("Add", "out stream", "y"),
    ]
    constants = ("table", "positions", "scale", "w", "b", "shape", "mask")
    assert left(nodes, *constants) == {"stream", "biased", "heads", "scores", "masked", "mixed", "y"}


def test_a_transformer_with_outliers_answers_as_before_under_static_int8(
    tmp_path: Path, make_context: MakeContext
) -> None:
    task, folder, calibration = "SentenceEmbedding", tmp_path / "source", question(32, 11)
    write(folder, task)
    weights = load_file(folder / "model.safetensors")
    for name, values in weights.items():
        if name.endswith("LayerNorm.weight"):
            values[:2] *= 40  # channels that dwarf the others, as trained ones have
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    found = transformers_source.load(source(task), folder, tmp_path)
    before = export(found, tmp_path / "before.onnx", folder, calibration, 0)
    context = make_context({"calibration": samples_of(calibration)})
    after = quantize.run(before, Quantize.model_validate({"preset": "INT8"}), context)
    inputs = question(16, 9)
    wanted, got = (next(iter(graph.run(graph.open_session(item.path), inputs).values())) for item in (before, after))
    small = np.s_[:, 2:]
    assert np.square(got[small] - wanted[small]).sum() < 0.01 * np.square(wanted[small]).sum()
