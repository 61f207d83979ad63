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


def of_a_stranger() -> Any:
    made = build()
    made.graph.node[0].op_type, made.graph.node[0].domain = "Spin", "acme"
    made.opset_import.add(domain="acme", version=1)
    return made


def of_words() -> Any:
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.STRING, ["batch"]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "words", tensors[:1], tensors[1:])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def without_output() -> Any:
    made = build()
    del made.graph.output[:]
    return made


def of_the_future() -> Any:
    made = build()
    made.opset_import[0].version = 99
    return made


def broken_node() -> Any:
    made = build()
    made.graph.node[0].input[1] = "nowhere"
    return made


@pytest.mark.parametrize(
    ("made", "source", "words"),
    [
        (broken_node(), {}, "no valid ONNX model"),
        (of_a_stranger(), {}, "acme:Spin(-1) is not a registered function/op: export it without operators of your own"),
        (of_words(), {}, "'x' of the file holds string, and models are served with bool, uint8"),
        (without_output(), {}, "has no output: export it with what it is to answer"),
        (of_the_future(), {}, "uses operator set 99, and 26 is the newest known: export it with opset_version=21"),
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "model.onnx is empty (0 bytes): bring it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS, not the file itself"),
    ],
)
def test_a_file_that_was_never_brought_along_is_told_from_a_damaged_one(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(Judged) as caught:
        onnx_source.load(Source(uri="s3://models/x", format="onnx"), tmp_path, tmp_path / "scratch")
    assert caught.value.reason is Reason.SOURCE_INVALID and words in caught.value.message


def test_two_files_are_named_with_the_way_out(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        onnx.save(build(), tmp_path / name)
    with pytest.raises(Judged, match=r"has a\.onnx, b\.onnx: call one model\.onnx, or name the file itself"):
        onnx_source.load(Source(uri="s3://models/x", format="onnx"), tmp_path, tmp_path / "scratch")


def test_weights_that_were_left_behind_are_named_and_no_folder_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    onnx.save(build(), folder / "model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    (folder / "w.bin").unlink()
    with pytest.raises(Judged) as caught:
        onnx_source.load(Source(uri="s3://models/x", format="onnx"), folder, tmp_path)
    words = "lies in 'w.bin', no file beside the model: bring both, in one folder, and name that folder"
    assert words in caught.value.message
    assert str(tmp_path) not in caught.value.message


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
