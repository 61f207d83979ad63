"""Format onnx: brought into the form that servers take, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.unit.compress.graphs import build, images

from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.formats import onnx_source
from modelpress.compress.models import GraphModel


def load(tmp_path: Path, made: Any, name: str = "model.onnx", **source: Any) -> GraphModel:
    folder = tmp_path / "in"
    folder.mkdir()
    onnx.save(made, folder / name)
    return onnx_source.load(Source(uri="s3://models/x", format="onnx", **source), folder, tmp_path)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (build(), "model.onnx"),
        (build(), "other.onnx"),
        (build(opset=22, ir=11), "model.onnx"),
        (build(weights_as_inputs=True), "model.onnx"),
    ],
    ids=["plain", "one file", "too new", "weights as inputs"],
)
def test_graphs_are_modernized_and_answer_as_before(tmp_path: Path, made: Any, name: str) -> None:
    found = load(tmp_path, made, name)
    written = onnx.load(found.path)
    assert written.ir_version <= graph.IR_VERSION
    assert written.opset_import[0].version <= graph.OPSET
    assert [(spec.name, spec.shape) for spec in found.signature.inputs] == [("image", ("batch", 3, 8, 8))]
    assert found.signature.batched
    plain = tmp_path / "plain.onnx"
    onnx.save(build(), plain)
    expected = graph.run(graph.open_session(plain), {"image": images(3)})["scores"]
    np.testing.assert_allclose(
        graph.run(graph.open_session(found.path), {"image": images(3)})["scores"], expected, rtol=1e-4
    )


def broken_node() -> Any:
    made = build()
    made.graph.node[0].input[1] = "nowhere"
    return made


@pytest.mark.parametrize(
    ("made", "source", "words"),
    [
        (broken_node(), {}, "no valid ONNX model"),
        (build(), {"inputs": ({"name": "picture"},)}, "the file has the inputs image"),
        (build(), {"outputs": ({"name": "scores"}, {"name": "more"})}, "the file has the outputs scores"),
        (build(), {"inputs": ({"name": "image", "dtype": "int64"},)}, "float32 in the file and int64"),
        (build(), {"inputs": ({"name": "image", "shape": ("batch", 3)},)}, "4 axes in the file and 2"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, made: Any, source: dict[str, Any], words: str) -> None:
    with pytest.raises(Judged) as caught:
        load(tmp_path, made, **source)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert words in caught.value.message


def test_rubbish_and_nothing_are_the_sources_fault(tmp_path: Path) -> None:
    source = Source(uri="s3://models/x", format="onnx")
    for content in (None, b"\x08\x07rubbish"):
        if content:
            (tmp_path / "model.onnx").write_bytes(content)
        with pytest.raises(Judged) as caught:
            onnx_source.load(source, tmp_path, tmp_path / "scratch")
        assert caught.value.reason is Reason.SOURCE_INVALID


def test_a_free_first_axis_is_no_batch_if_the_spec_calls_it_otherwise(tmp_path: Path) -> None:
    made = build()
    for item in [*made.graph.input, *made.graph.output]:
        item.type.tensor_type.shape.dim[0].dim_param = "nodes"
    found = load(tmp_path, made, inputs=({"name": "image", "shape": ("nodes", 3, 8, 8)},))
    assert not found.signature.batched
    assert found.signature.inputs[0].shape == ("nodes", 3, 8, 8)
    assert onnx.load(found.path).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "nodes"


def test_a_fixed_first_axis_is_no_batch(tmp_path: Path) -> None:
    made = build()
    for item in [*made.graph.input, *made.graph.output]:
        item.type.tensor_type.shape.dim[0].dim_value = 1
    found = load(tmp_path, made)
    assert not found.signature.batched
    assert found.signature.inputs[0].shape == (1, 3, 8, 8)
