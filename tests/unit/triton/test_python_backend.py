"""The model of Triton's Python backend, with a stand-in for Triton's own module and real onnxruntime."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from modelpress.triton.metrics import FAILED_AS_SUCCESS

Array = NDArray[Any]
SOURCE = Path(__file__).parents[3] / "operator/modelpress/triton/python_backend/model.py"


class Tensor:
    def __init__(self, name: str, array: Array) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Array:
        return self._array


class Request:
    def __init__(self, *outputs: str, **inputs: Array) -> None:
        self._inputs, self._outputs = inputs, outputs

    def inputs(self) -> list[Tensor]:
        return [Tensor(name, array) for name, array in self._inputs.items()]

    def requested_output_names(self) -> Sequence[str]:
        return self._outputs


class Response:
    def __init__(self, tensors: Sequence[Tensor] = (), error: Exception | None = None) -> None:
        self.outputs = {tensor.name(): tensor.as_numpy() for tensor in tensors}
        self.error = error


class Family:
    """A figure that the model counts, and its metrics by label `reason`."""

    COUNTER = "counter"
    counted: ClassVar[dict[tuple[str, str], float]] = {}

    def __init__(self, name: str, description: str, kind: str) -> None:
        self._name = name

    def Metric(self, labels: dict[str, str]) -> Family:  # noqa: N802 - Triton's name
        self._key = (self._name, labels["reason"])
        return self

    def increment(self, by: float) -> None:
        self.counted[self._key] = self.counted.get(self._key, 0) + by


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """picked = table[index], text = text: raises where the index is out of range."""
    triton = types.ModuleType("triton_python_backend_utils")
    vars(triton).update(
        Tensor=Tensor,
        InferenceResponse=Response,
        TritonError=RuntimeError,
        MetricFamily=Family,
        Logger=types.SimpleNamespace(log_warn=lambda text: None),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton)
    spec = importlib.util.spec_from_file_location("backend_model", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _write(tmp_path / "versions" / "picker" / "1" / "model.onnx")
    config = {
        "max_batch_size": 8,
        "input": [{"name": "index"}, {"name": "text"}],
        "output": [{"name": "picked"}, {"name": "same"}],
        "parameters": {"intra_op_thread_count": {"string_value": "1"}},
    }
    found = module.TritonPythonModel()
    arguments = {
        "model_name": "picker",
        "model_repository": str(tmp_path / "repository" / "picker"),
        "model_version": "1",
    }
    found.initialize({"model_config": json.dumps(config), **arguments})
    return found


def ask(*index: int, outputs: tuple[str, ...] = ()) -> Request:
    text = np.array([f"ü{i}".encode() for i in index], dtype=np.object_)
    return Request(*outputs, index=np.array(index, dtype=np.int64), text=text)


def test_joined_requests_get_each_its_own_answers_in_order(model: Any) -> None:
    first, second = model.execute([ask(0, 2), ask(1)])
    assert first.outputs["picked"].tolist() == [10, 30]
    assert second.outputs["picked"].tolist() == [20]
    assert second.outputs["same"].tolist() == ["ü1".encode()]


def test_a_bad_input_fails_alone_and_in_words(model: Any) -> None:
    good, bad = model.execute([ask(1), ask(99)])
    assert good.error is None and good.outputs["picked"].tolist() == [20]
    assert "the model refused the input" in str(bad.error) and "99" in str(bad.error)


def test_a_failure_is_counted_where_triton_counts_failures(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Family, "counted", {})
    model.execute([ask(1), ask(99)])
    assert Family.counted == {("nv_inference_request_failure", FAILED_AS_SUCCESS): 1}


def test_only_what_was_asked_for_is_sent(model: Any) -> None:
    (response,) = model.execute([ask(0, outputs=("picked",))])
    assert list(response.outputs) == ["picked"]


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True)
    table = helper.make_tensor("table", TensorProto.INT64, [3], [10, 20, 30])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "index"], ["picked"]), helper.make_node("Identity", ["text"], ["same"])],
        "g",
        [
            helper.make_tensor_value_info("index", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("text", TensorProto.STRING, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("picked", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("same", TensorProto.STRING, ["batch"]),
        ],
        [table],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    onnx.save(model, path)
