"""From the real judge through the store to real Triton: what was judged here is reproduced there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.http as triton_http
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from tests.support.servingpod import Pod
from tritonclient.utils import np_to_triton_dtype

from modelpress.api.evaluation import Evaluation
from modelpress.api.servingpod import ServedModel
from modelpress.api.tasks import OUT_FOLDER, REPORT_FOLDER, JudgeTask, Location, PublishTask
from modelpress.compress.judge.judging import judge
from modelpress.tasks.publish import publish

from .conftest import MakePod

Arrays = dict[str, NDArray[Any]]
RANDOM = np.random.default_rng(0)
QUESTIONS: dict[str, Arrays] = {
    "quantized": {
        "wide": RANDOM.normal(size=(4, 64)).astype(np.float32),
        "bias": RANDOM.normal(size=(4,)).astype(np.float32),
    },
    "unbatched": {"image": RANDOM.normal(size=(6, 5)).astype(np.float32), "gain": np.array([2.0], dtype=np.float32)},
}


def write_batched(path: Path) -> None:
    """Two inputs, one of shape [batch]; two outputs, one of another type."""
    weights = numpy_helper.from_array(RANDOM.normal(size=(64, 128)).astype(np.float32), "weights")
    axes = numpy_helper.from_array(np.array([1]), "axes")
    nodes = [
        helper.make_node("MatMul", ["wide", "weights"], ["product"]),
        helper.make_node("Unsqueeze", ["bias", "axes"], ["column"]),
        helper.make_node("Add", ["product", "column"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("ArgMax", ["hidden"], ["best"], axis=1, keepdims=0),
    ]
    inputs = {"wide": (TensorProto.FLOAT, ["batch", 64]), "bias": (TensorProto.FLOAT, ["batch"])}
    outputs = {"hidden": (TensorProto.FLOAT, ["batch", 128]), "best": (TensorProto.INT64, ["batch"])}
    _save(path, nodes, inputs, outputs, [weights, axes])


def write_unbatched(path: Path) -> None:
    """A fixed shape, a scalar, and no batch axis."""
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["bright"]),
        helper.make_node("ReduceMax", ["bright"], ["most"], keepdims=0),
    ]
    inputs = {"image": (TensorProto.FLOAT, [6, 5]), "gain": (TensorProto.FLOAT, [])}
    outputs = {"bright": (TensorProto.FLOAT, [6, 5]), "most": (TensorProto.FLOAT, [])}
    _save(path, nodes, inputs, outputs, [])


def judged(root: Path, name: str) -> ServedModel:
    """Have the real judge look at the model, publish it to a folder, and say how it is served."""
    out = root / OUT_FOLDER.lstrip("/")
    (root / REPORT_FOLDER.lstrip("/")).mkdir(parents=True)
    original, compressed = out / "original" / "model.onnx", out / "compressed" / "model.onnx"
    for path in (original, compressed):
        path.parent.mkdir(parents=True)
        (write_unbatched if name == "unbatched" else write_batched)(path)
    if name == "quantized":
        quantize_dynamic(original, compressed)
    (root / "store").mkdir()
    judge(JudgeTask(evaluation=Evaluation()))
    result = publish(PublishTask(destination=Location(uri=f"file://{root}/store"), artifact=name))
    assert result.batched is (name == "quantized")
    return ServedModel(
        name=name,
        uri=f"file://{root}/store",
        manifest_digest=result.manifest_digest,
        max_batch_size=8 if result.batched else 0,
        max_queue_delay_microseconds=2000,
    )


@pytest.fixture(scope="module")
def serving(make_pod: MakePod, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pod, dict[str, Path]]:
    """A pod with both models, and the file of each."""
    models, files = [], {}
    for name in QUESTIONS:
        root = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MODELPRESS_ROOT", str(root))
            models.append(judged(root, name))
        files[name] = root / "store" / "onnx" / "model.onnx"
    pod = make_pod(*models)
    pod.start()
    pod.await_ready()
    return pod, files


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_judged_model_is_reproduced_and_served(serving: tuple[Pod, dict[str, Path]], name: str) -> None:
    pod, files = serving
    question = QUESTIONS[name]
    client = triton_http.InferenceServerClient(f"127.0.0.1:{pod.ports.http}")
    metadata = client.get_model_metadata(name)
    tensors = []
    for tensor in metadata["inputs"]:
        array = question[tensor["name"]]
        if tensor["shape"][0] == -1:
            array = array.reshape(-1, *tensor["shape"][1:])
        tensors.append(triton_http.InferInput(tensor["name"], list(array.shape), np_to_triton_dtype(array.dtype)))
        tensors[-1].set_data_from_numpy(array)
    answer = client.infer(name, tensors)
    session = onnxruntime.InferenceSession(files[name])
    fed = {key: array.reshape(()) if key == "gain" else array for key, array in question.items()}
    for output, expected in zip(session.get_outputs(), session.run(None, fed), strict=True):
        given = answer.as_numpy(output.name).reshape(np.shape(expected))
        np.testing.assert_allclose(given, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max())


def _save(path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], tensors: list[Any]) -> None:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    onnx.save(model, path)
