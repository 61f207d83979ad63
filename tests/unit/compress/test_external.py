"""Weights beside an ONNX file are read where they lie, and written one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelpress.compress import external, graph
from modelpress.compress.external import Spool

SHAPE = (40, 50)


def a_model(*tensors: onnx.TensorProto) -> onnx.ModelProto:
    """Return a graph that adds up its input and tensors of one shape."""
    names = [tensor.name for tensor in tensors]
    body = helper.make_graph(
        [helper.make_node("Sum", ["x", *names], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        list(tensors),
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def a_tensor(name: str, value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.full(SHAPE, value, np.float32), name)


def answer(path: Path) -> float:
    found = graph.run(graph.open_session(path), {"x": np.zeros(SHAPE, np.float32)})["y"]
    assert (found == found[0, 0]).all()
    return float(found[0, 0])


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights are large enough to lie beside the model."""
    monkeypatch.setattr(graph, "EXTERNAL_FROM", 0)


@pytest.mark.usefixtures("beside")
def test_weights_go_beside_the_model_and_are_mapped_from_there(tmp_path: Path) -> None:
    path = tmp_path / "first" / "model.onnx"
    graph.save(a_model(a_tensor("a", 1), a_tensor("b", 2)), path)
    assert [file.name for file in graph.files_of(path)] == ["model.onnx", "model.onnx.data"]
    assert (path.stat().st_size < 1000, answer(path)) == (True, 3)
    onnx.checker.check_model(str(path))
    weights = {item.name: item for item in graph.load(path).graph.initializer}
    assert not any(item.raw_data for item in weights.values())
    assert isinstance(external.array(weights["b"]), np.memmap)
    assert np.array_equal(external.array(weights["b"]), np.full(SHAPE, 2, np.float32))


@pytest.mark.usefixtures("beside")
def test_an_open_graph_may_be_changed_and_saved_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    graph.save(a_model(a_tensor("a", 1), a_tensor("b", 2)), path)
    proto = graph.load(path)
    proto.graph.initializer[0].CopyFrom(Spool(tmp_path / "spool").tensor(a_tensor("a", 5)))
    graph.save(proto, path)
    assert answer(path) == 7
    graph.save(proto, tmp_path / "other" / "model.onnx")
    (tmp_path / "spool").unlink()
    assert answer(tmp_path / "other" / "model.onnx") == 7


def test_small_models_are_one_file_wherever_their_weights_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    with monkeypatch.context() as patched:
        patched.setattr(graph, "EXTERNAL_FROM", 0)
        graph.save(a_model(a_tensor("a", 1)), path)
    graph.save(graph.load(path), tmp_path / "whole.onnx")
    assert graph.files_of(tmp_path / "whole.onnx") == [tmp_path / "whole.onnx"]
    assert answer(tmp_path / "whole.onnx") == 1


def test_a_spool_gives_back_what_was_put_into_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    arrays = [np.arange(5000, dtype=np.uint8), np.arange(3), np.arange(900.0).reshape(30, 30)]
    kept = [spool.keep(array) for array in arrays]
    assert all(np.array_equal(before, after) for before, after in zip(arrays, kept, strict=True))
    nibbles = helper.make_tensor("n", TensorProto.UINT4, [4000], bytes(range(200)) * 10, raw=True)
    expected = numpy_helper.to_array(nibbles)
    assert np.array_equal(external.array(spool.tensor(nibbles)), expected)


@pytest.mark.parametrize(
    ("location", "length", "words"),
    [
        ("../outside.data", "8000", "no file beside the model"),
        ("none.data", "8000", "no file beside the model"),
        ("model.data", "9000", "has 8000 bytes"),
        ("model.data", "4000", "should be 8000"),
    ],
)
def test_weights_that_are_not_there_or_elsewhere_are_refused(
    tmp_path: Path, location: str, length: str, words: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (folder / "model.data", tmp_path / "outside.data"):
        path.write_bytes(bytes(8000))
    tensor = TensorProto(name="a", data_type=TensorProto.FLOAT, dims=SHAPE, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", length)):
        tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(a_model(tensor).SerializeToString())
    with pytest.raises(ValueError, match=words):
        graph.load(folder / "model.onnx")


def test_constants_of_nodes_are_read_in_and_never_from_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.data").write_bytes(np.full(SHAPE, 4, np.float32).tobytes())
    tensor = TensorProto(name="a", data_type=TensorProto.FLOAT, dims=SHAPE, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="model.data")
    proto = a_model()
    proto.graph.node[0].input.append("constant")
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["constant"], value=tensor))
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    graph.save(graph.load(folder / "model.onnx"), tmp_path / "whole.onnx")
    assert answer(tmp_path / "whole.onnx") == 4
    proto.graph.node[0].attribute[0].t.external_data[0].value = str(folder / "model.data")
    (folder / "inner").mkdir()
    (folder / "inner" / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match="no file beside the model"):
        graph.load(folder / "inner" / "model.onnx")
