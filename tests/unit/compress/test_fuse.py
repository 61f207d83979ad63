"""Stage fuse on modules and graphs: the answers stay, the normalizations go, and what cannot go stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from tests.unit.compress.conftest import MakeContext
from tests.unit.compress.graphs import SIGNATURE, images, write
from tests.unit.compress.sources import model
from torch import nn

from modelpress.api.source import TensorSpec
from modelpress.api.stages import Fuse
from modelpress.compress import graph
from modelpress.compress.models import GraphModel, ModuleModel
from modelpress.compress.signature import Signature, example
from modelpress.compress.stages import fuse, fuse_graph


def shake(module: nn.Module) -> None:
    """Give normalizations statistics of their own: fresh ones change nothing."""
    for layer in module.modules():
        if isinstance(layer, fuse.NORMALIZATIONS):
            for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
                assert tensor is not None
                nn.init.uniform_(tensor, 0.5, 1.5)


def normalizations(module: nn.Module) -> int:
    return sum(isinstance(layer, fuse.NORMALIZATIONS) for layer in module.modules())


@pytest.mark.parametrize(("name", "there"), [("Digits", 1), ("Normalized", 2), ("Residual", 4), ("Wave", 1)])
def test_normalizations_go_and_the_answers_stay(name: str, there: int, make_context: MakeContext) -> None:
    found, context = model(name), make_context()
    shake(found.module)
    inputs = example(found.signature, 3, 1)
    expected = found.run(inputs)
    assert normalizations(found.module) == there
    fuse.run(found, Fuse(), context)
    assert normalizations(found.module) == 0
    for output, value in found.run(inputs).items():
        np.testing.assert_allclose(value, expected[output], rtol=1e-3, atol=1e-4)


def test_nothing_to_fold_is_a_warning(make_context: MakeContext) -> None:
    context = make_context()
    fuse.run(model("Single"), Fuse(), context)
    assert context.warnings == ["There was no batch normalization to fold."]


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        hidden = self.layer(row)
        return torch.as_tensor(self.norm(hidden) + hidden)


def test_a_layer_whose_output_is_used_elsewhere_too_is_left_alone(make_context: MakeContext) -> None:
    signature = Signature((TensorSpec(name="row", shape=("batch", 4)),), (TensorSpec(name="sum"),))
    found, context = ModuleModel(Reused().eval(), signature), make_context()
    shake(found.module)
    inputs = example(signature, 3, 1)
    expected = found.run(inputs)["sum"]
    fuse.run(found, Fuse(), context)
    np.testing.assert_array_equal(found.run(inputs)["sum"], expected)
    assert "used elsewhere" in context.warnings[0]


def test_a_graphs_normalizations_go_and_its_answers_stay(tmp_path: Path, make_context: MakeContext) -> None:
    before = write(tmp_path / "in")
    after = fuse_graph.run(before, Fuse(), make_context())
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(after.path).graph.node}
    answers = [graph.run(graph.open_session(item.path), {"image": images(3)})["scores"] for item in (before, after)]
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-3, atol=1e-5)


def test_a_graph_whose_convolution_is_used_elsewhere_too_is_left_alone(
    tmp_path: Path, make_context: MakeContext
) -> None:
    found = write(tmp_path / "in")
    proto = onnx.load(found.path)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("c1", onnx.TensorProto.FLOAT, ["batch", 12, 8, 8]))
    onnx.save(proto, found.path)
    context = make_context()
    fuse_graph.run(GraphModel(found.path, SIGNATURE), Fuse(), context)
    assert context.warnings


def test_a_bias_with_an_axis_more_than_channels_is_folded_too(tmp_path: Path) -> None:
    proto = onnx.load(write(tmp_path / "in").path)
    dense = next(node for node in proto.graph.node if node.op_type == "Gemm")
    bias = next(item for item in proto.graph.initializer if item.name == dense.input[2])
    bias.dims.insert(0, 1)
    dense.output[0] = "raw"
    names = ["raw", "scale5", "shift5", "mean5", "variance5"]
    proto.graph.node.append(onnx.helper.make_node("BatchNormalization", names, ["scores"], name="last"))
    five = np.linspace(0.5, 2, 5, dtype=np.float32)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(five, name) for name in names[1:])
    wanted = graph.run(ort.InferenceSession(proto.SerializeToString()), {"image": images(3)})["scores"]
    assert fuse_graph.fold(proto) == ["norm into conv1", "last into dense"]
    got = graph.run(ort.InferenceSession(proto.SerializeToString()), {"image": images(3)})["scores"]
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)
