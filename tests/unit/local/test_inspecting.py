"""What is in a model, by headers alone, and what could be done to it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from safetensors.numpy import save_file
from tests.support.onnx_models import save_linear

from modelpress.api.reasons import Reason
from modelpress.compress.errors import Judged
from modelpress.local.asked_error import AskedError
from modelpress.local.inspecting import inspect

WEIGHT = np.ones((6, 3), np.float32)


def test_a_graph_shows_its_layers_and_what_applies(tmp_path: Path) -> None:
    save_linear(tmp_path, WEIGHT)
    found = inspect(tmp_path)
    assert [(layer.operator, layer.parameters, layer.size) for layer in found.layers] == [("MatMul", 18, 72)]
    assert found.inputs == ("image: float [batch, 6]",)
    assert found.size == (tmp_path / "model.onnx").stat().st_size
    possible = {one.name: one for one in found.possibilities}
    assert not possible["prune"].applies and "torch module" in possible["prune"].why
    assert possible["quantize INT8"].applies and "calibration" in possible["quantize INT8"].why


def test_weights_alone_are_read_by_their_header(tmp_path: Path) -> None:
    save_file(
        {"a.weight": WEIGHT, "a.bias": WEIGHT[0], "b.weight": WEIGHT.astype(np.float16)}, tmp_path / "w.safetensors"
    )
    found = inspect(tmp_path)
    assert [(layer.name, layer.parameters, layer.size) for layer in found.layers] == [("a", 21, 84), ("b", 18, 36)]
    refused = {one.name: one.why for one in found.possibilities if not one.applies}
    assert refused.keys() == {"cut", "quantize FP8_DYNAMIC"}
    assert "compute capability 8.9" in refused["quantize FP8_DYNAMIC"] and "no list" in refused["cut"]


def test_an_artifact_is_its_compressed_model(tmp_path: Path) -> None:
    save_linear(tmp_path / "onnx", WEIGHT)
    (tmp_path / "manifest.json").touch()
    assert inspect(tmp_path).path == tmp_path / "onnx" / "model.onnx"


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(Judged, match=r"pytorch_model\.bin is a pickle") as caught:
        inspect(tmp_path)
    assert caught.value.reason is Reason.PICKLE_REFUSED


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.onnx", b"no model", "no valid ONNX model"),
        ("w.safetensors", b"\x10\x00", "may be truncated"),
        ("readme.md", b"#", "holds no model"),
        ("model.pt2", b"PK", "whose layers no header tells: modelpress compress .* --preset INT8_DYNAMIC --dry-run"),
        ("model.onnx", b"", "is empty"),
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    ],
)
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((Judged, AskedError), match=words):
        inspect(tmp_path)


def test_external_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    save_linear(tmp_path, WEIGHT, external="weights.data")
    with pytest.raises(Judged, match=r"weights\.data, which is not beside it"):
        inspect(tmp_path)


def test_layers_of_a_transformer_are_called_as_stages_know_them_and_blocks_are_found(tmp_path: Path) -> None:
    parts = [f"bert.encoder.layer.{number}.dense" for number in (0, 1, 2, 10)]
    weights = {f"{part}.weight": WEIGHT for part in parts} | {f"{part}.bias": WEIGHT[0] for part in parts}
    first = {"bert.encoder.layer.0.bias.weight": WEIGHT[:2], "bert.embeddings.words.weight": WEIGHT}
    save_file(weights | first, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    found = inspect(tmp_path)
    dense = [layer.name for layer in found.layers if layer.name.endswith("dense")]
    assert dense == [f"model.bert.encoder.layer.{number}.dense" for number in (0, 1, 2, 10)]
    possible = {one.name: one.why for one in found.possibilities}
    assert possible["cut"] == "before quantize; blocks: model.bert.encoder.layer (4 alike)"
    assert possible["quantize INT8_DYNAMIC"] == "on 5 dense, 1 table layers"


def test_no_stage_quantizes_what_no_preset_does(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", value[:1], value[1:])), tmp_path / "m.onnx")
    found = inspect(tmp_path)
    assert not any(one.applies for one in found.possibilities if one.name.startswith("quantize"))


@pytest.mark.parametrize(("kind", "why"), [(np.int8, "quantized already"), (np.float32, "comes last")])
def test_weights_that_are_integers_are_quantized_already(kind: type, why: str, tmp_path: Path) -> None:
    save_file({"a.weight": WEIGHT.astype(kind)}, tmp_path / "w.safetensors")
    assert why in {one.name: one.why for one in inspect(tmp_path).possibilities}["quantize"]
