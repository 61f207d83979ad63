"""A model that looks rows up in a table, as an embedding does: versions that differ in what they answer, or know less.

Triton's runtime refuses an index beyond the table, so a version with fewer rows fails exactly the requests that ask for
the missing ones, while it answers all of the test data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

COLUMNS = 3
ASKED_IN_TESTS = 4
"""Rows that the test data ask for; every version has them."""


def table(seed: int, rows: int = 8) -> NDArray[Any]:
    """Return a table (rows, 3) of numbers of its own for each `seed`."""
    return numpy.random.default_rng(seed).normal(size=(rows, COLUMNS)).astype(numpy.float32)


def write(folder: Path, rows: NDArray[Any], output: str = "scores", noise: float = 0.0) -> None:
    """Write source/model.onnx, scores (batch, 3) = rows[index (batch, 1)], and data/test.npz to `folder`.

    `output`: another name for the scores. `noise`: what is added to them, other numbers for each request.
    """
    (folder / "source").mkdir(parents=True)
    (folder / "data").mkdir()
    disturbing: list[tuple[str, list[str], str, dict[str, float]]] = []
    if noise:
        disturbing += [("RandomNormalLike", ["exact"], "noise", {"scale": noise})]
        disturbing += [("Add", ["exact", "noise"], output, {})]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "index"], ["found"], axis=0),
            helper.make_node("Squeeze", ["found", "axes"], ["exact" if noise else output]),
            *(helper.make_node(kind, taken, [given], **more) for kind, taken, given, more in disturbing),
        ],
        "lookup",
        [helper.make_tensor_value_info("index", TensorProto.INT64, ["batch", 1])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", COLUMNS])],
        [numpy_helper.from_array(rows, "table"), numpy_helper.from_array(numpy.array([1]), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "source" / "model.onnx"))
    index = numpy.arange(60).reshape(60, 1) % ASKED_IN_TESTS
    labels = rows[index[:, 0]].argmax(axis=1)
    numpy.savez(folder / "data" / "test.npz", index=index, label=labels)
