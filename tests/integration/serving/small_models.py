"""Small ONNX models with known answers, and artifacts of them in a store that is a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from modelpress.api.servingpod import ServedModel
from modelpress.api.tasks import Location
from modelpress.store import artifacts, manifest, reference
from modelpress.store.manifest import Manifest, Tensor
from modelpress.store.reference import Reference

Array = NDArray[Any]
NAME = "linear"
ROWS = numpy.arange(12, dtype=numpy.float32).reshape(3, 4) / 10
INPUTS = {"rows": ROWS}
LIMIT = 1000
"""A row that begins with this number is refused."""


def answers(factor: float, rows: Array = ROWS) -> dict[str, Array]:
    """Return what the model with this factor answers: scores, and the number of the best."""
    scores = rows @ (_weights() * numpy.float32(factor))
    return {"scores": scores, "best": scores.argmax(axis=1)}


def write_onnx(path: Path, factor: float) -> None:
    """Write a model: scores = rows · weights · factor, best = argmax, whose shape is [batch] alone.

    It refuses rows that begin with LIMIT or more: that is an index beyond a table of zeros.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "weights"], ["products"]),
            helper.make_node("Gather", ["rows", "first"], ["numbers"], axis=1),
            helper.make_node("Cast", ["numbers"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["zeros", "index"], ["nothing"]),
            helper.make_node("Add", ["products", "nothing"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        ],
        NAME,
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 4])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("best", TensorProto.INT64, ["batch"]),
        ],
        [
            numpy_helper.from_array(_weights() * numpy.float32(factor), "weights"),
            numpy_helper.from_array(numpy.array([0]), "first"),
            numpy_helper.from_array(numpy.zeros(LIMIT, dtype=numpy.float32), "zeros"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    onnx.save(model, path)


def publish(
    store: Path, name: str = NAME, *, factor: float = 1.0, judged: float | None = None, dtype: str = "float32"
) -> ServedModel:
    """Put an artifact into the folder `store` and say how it is served.

    `judged` is the factor of the reference answers, where it differs from the model's; `dtype` is what the manifest
    says of the input.
    """
    folder = store / f"{name}-{factor}-{judged}"
    write_onnx(folder / manifest.ONNX / manifest.MODEL_FILE, factor)
    expected = answers(factor if judged is None else judged)
    reference.write(Reference(INPUTS, expected), folder / manifest.REFERENCE_FILE)
    paths: Sequence[str] = (f"{manifest.ONNX}/{manifest.MODEL_FILE}", manifest.REFERENCE_FILE)
    described = Manifest(
        artifact=name,
        files=manifest.describe(folder, tuple(paths)),
        variants={manifest.ONNX: manifest.ONNX},
        batched=True,
        inputs=(Tensor(name="rows", dtype=dtype, shape=(-1, 4)),),
        outputs=(
            Tensor(name="scores", dtype="float32", shape=(-1, 3)),
            Tensor(name="best", dtype="int64", shape=(-1,)),
        ),
    )
    uri = f"file://{store}/published/{folder.name}"
    (store / "published" / folder.name).mkdir(parents=True, exist_ok=True)
    digest = artifacts.publish({path: folder / path for path in paths}, described, Location(uri=uri))
    return ServedModel(name=name, uri=uri, manifest_digest=digest, max_batch_size=8, max_queue_delay_microseconds=2000)


def _weights() -> Array:
    return numpy.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1], [0.5, 0.25, 0.125]], dtype=numpy.float32)
