"""Format torch-export: answers as the module did, and nothing planted in an archive runs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.compress.sources import layout
from torch import nn

from modelpress.api.reasons import Reason
from modelpress.api.source import Source
from modelpress.api.tasks import CompressTask
from modelpress.compress import graph
from modelpress.compress.errors import Judged
from modelpress.compress.export import quiet
from modelpress.compress.formats import torch_export_source
from modelpress.compress.run import Compression

Members = dict[str, bytes]
PROGRAM, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
CONSTANTS, EXAMPLE = "data/constants/model_constants_config.json", "data/sample_inputs/model.pt"


class Scores(nn.Module):
    """A convolution with batch norm and dropout, a constant, two outputs, one input by name."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout())
        self.head = nn.Linear(4, 3)
        self.steps = torch.arange(3.0)

    def forward(self, signal: torch.Tensor, *, shift: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.head(self.features(signal).mean(2)) + self.steps
        return {"scores": scores + shift, "total": scores.sum(1)}


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.path)!r}, 'w')",)


@pytest.fixture(scope="module")
def module() -> Scores:
    torch.manual_seed(0)
    return Scores().eval()


@pytest.fixture(scope="module")
def saved(module: Scores, tmp_path_factory: pytest.TempPathFactory) -> Path:
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        module,
        (torch.rand(2, 2, 8),),
        {"shift": torch.rand(2, 3)},
        dynamic_shapes={"signal": {0: batch, 2: torch.export.Dim("time")}, "shift": {0: batch}},
    )
    path = tmp_path_factory.mktemp("saved") / "model.pt2"
    torch.export.save(program, path)
    return path


def source(**more: Any) -> Source:
    return Source.model_validate({"uri": "s3://models/x.pt2", "format": "torch-export", **more})


def question(count: int, length: int) -> dict[str, Any]:
    random = np.random.default_rng(length)
    return {
        "signal": random.random((count, 2, length)).astype(np.float32),
        "shift": random.random((count, 3)).astype(np.float32),
    }


def members(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write(folder: Path, content: Members, root: str = "model/") -> Path:
    path = folder / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"{root}{name}", data)
    return path


def pickled(value: Any, *, saved_by_torch: bool) -> bytes:
    if not saved_by_torch:
        return pickle.dumps(value)
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_program_is_compressed_without_being_trusted(module: Scores, saved: Path, tmp_path: Path) -> None:
    where = layout(tmp_path)
    where.source.mkdir()
    (where.source / "net.pt2").write_bytes(saved.read_bytes())
    wire = {"source": source().to_wire(), "stages": [{"fuse": {}}, {"quantize": {"preset": "INT8_DYNAMIC"}}]}
    facts = Compression(CompressTask.model_validate(wire), where, lambda _progress: None).run()
    assert facts.batched
    session = graph.open_session(where.out / "original" / "model.onnx")
    assert [item.shape[0] for item in session.get_inputs()] == ["batch", "batch"]
    for count, length in ((1, 5), (7, 12)):
        inputs = question(count, length)
        with torch.no_grad():
            wanted = module(torch.from_numpy(inputs["signal"]), shift=torch.from_numpy(inputs["shift"]))
        answers = graph.run(session, inputs)
        assert list(answers) == ["scores", "total"]
        for name, answer in answers.items():
            np.testing.assert_allclose(answer, wanted[name].numpy(), atol=1e-5)
    assert graph.open_session(where.out / "compressed" / "model.onnx").get_outputs()[0].name == "scores"


def test_names_and_axes_may_be_said(saved: Path, tmp_path: Path) -> None:
    spec = source(
        inputs=[{"name": "wave", "shape": ["batch", 2, "time"]}, {"name": "offset"}],
        outputs=[{"name": "first"}, {"name": "second"}],
    )
    signature = torch_export_source.load(spec, saved, tmp_path).signature
    assert [(item.name, item.dtype, item.shape) for item in signature.inputs] == [
        ("wave", "float32", ("batch", 2, "time")),
        ("offset", "float32", ("batch", 3)),
    ]
    assert [item.name for item in signature.outputs] == ["first", "second"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"inputs": [{"name": "signal"}]}, "takes signal, shift"),
        ({"inputs": [{"name": "signal", "shape": ["batch", 3, 8]}, {"name": "shift"}]}, "in the file and"),
        ({"inputs": [{"name": "signal", "dtype": "int64"}, {"name": "shift"}]}, "float32 in the file"),
        ({"outputs": [{"name": "scores"}]}, "answers 2"),
    ],
)
def test_a_spec_that_differs_from_the_file_is_refused(more: Any, words: str, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(Judged, match=words):
        torch_export_source.load(source(**more), saved, tmp_path)


def test_the_payload_would_run(saved: Path, tmp_path: Path) -> None:
    """The control: torch itself runs what the next tests plant."""
    content = members(saved) | {EXAMPLE: pickled(Payload(tmp_path / "ran"), saved_by_torch=True)}
    with quiet(), pytest.raises(AssertionError):
        torch.export.load(write(tmp_path, content))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("saved_by_torch", [True, False])
def test_a_pickle_in_any_member_does_not_run(saved: Path, tmp_path: Path, saved_by_torch: bool) -> None:
    original = members(saved)
    payload = pickled(Payload(tmp_path / "ran"), saved_by_torch=saved_by_torch)
    extra = ["data/weights/model.pt", "data/constants/model.pt", "data/constants/custom_obj_0", "extra/notes.pt"]
    refused = []
    for name in [*original, *extra]:
        try:
            torch_export_source.load(source(), write(tmp_path, original | {name: payload}), tmp_path / "scratch")
        except Judged:
            refused.append(name)
        assert not (tmp_path / "ran").exists(), name
    assert {PROGRAM, WEIGHTS, CONSTANTS, *extra[:2]} <= set(refused)
    assert EXAMPLE not in refused


def with_json(name: str, change: Callable[[Any, str], None]) -> Callable[[Members, str], Members]:
    def apply(content: Members, code: str) -> Members:
        value = json.loads(content[name])
        change(value, code)
        return content | {name: json.dumps(value).encode()}

    return apply


def entry(value: Any, file: str, **more: Any) -> None:
    next(iter(value["config"].values())).update({"path_name": file, **more})


def sized(value: Any, code: str) -> None:
    for tensor in value["graph_module"]["graph"]["tensor_values"].values():
        for size in tensor["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = code


def calling(target: str) -> Callable[[Any, str], None]:
    return lambda value, _code: value["graph_module"]["graph"]["nodes"][0].update(target=target)


def packed(value: Any, _code: str) -> None:
    spec = value["graph_module"]["module_call_graph"][0]["signature"]
    spec["in_spec"] = spec["in_spec"].replace("builtins.dict", "collections.defaultdict")


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (with_json(WEIGHTS, lambda value, _: entry(value, "weight_0", use_pickle=True)), "as the pickled object"),
        (with_json(CONSTANTS, lambda value, _: entry(value, "tensor_0", use_pickle=True)), "as the pickled object"),
        (with_json(CONSTANTS, lambda value, _: entry(value, "custom_obj_0")), "as the pickled object custom_obj_0"),
        (with_json(CONSTANTS, lambda value, _: entry(value, "opaque_obj_0")), "as the pickled object opaque_obj_0"),
        (with_json(WEIGHTS, lambda value, _: entry(value, "../../x")), "as the pickled object"),
        (with_json(PROGRAM, sized), "which is no arithmetic"),
        (with_json(PROGRAM, calling("torch.serialization.os.system")), "no operator of torch"),
        (with_json(PROGRAM, calling("torch.ops.load_library")), "no operator of torch"),
        (with_json(PROGRAM, calling("_operator.getitem.__self__")), "no operator of torch"),
        (with_json(PROGRAM, packed), "collections.defaultdict"),
    ],
)
def test_what_would_run_code_is_refused_with_the_way_out(
    plant: Callable[[Members, str], Members], words: str, saved: Path, tmp_path: Path
) -> None:
    code = f"open({str(tmp_path / 'ran')!r}, 'w')"
    payload = pickled(Payload(tmp_path / "ran"), saved_by_torch=True)
    content = members(saved) | {"data/constants/custom_obj_0": payload, "data/constants/opaque_obj_0": payload}
    with pytest.raises(Judged) as caught:
        torch_export_source.load(source(), write(tmp_path, plant(content, code)), tmp_path / "scratch")
    assert caught.value.reason is Reason.PICKLE_REFUSED
    assert words in caught.value.message
    assert "save it again with torch.export.save" in caught.value.message
    assert not (tmp_path / "ran").exists()


def test_a_trusted_archive_is_read_as_torch_reads_it(saved: Path, tmp_path: Path) -> None:
    class Marked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, row: torch.Tensor) -> torch.Tensor:
            return row * self.weight

    program = torch.export.export(Marked().eval(), (torch.rand(3),))
    torch.export.save(program, tmp_path / "model.pt2")
    content = members(tmp_path / "model.pt2")
    value = json.loads(content[WEIGHTS])
    entry(value, "weight_0", use_pickle=True)
    pickle_of_it = pickled(nn.Parameter(torch.full((3,), 2.0)), saved_by_torch=True)
    path = write(tmp_path, content | {WEIGHTS: json.dumps(value).encode(), "data/weights/weight_0": pickle_of_it})
    with pytest.raises(Judged):
        torch_export_source.load(source(), path, tmp_path / "scratch")
    found = torch_export_source.load(source(trustCode=True), path, tmp_path / "scratch")
    assert not found.signature.batched
    assert found.run({"row": np.ones(3, np.float32)})["output"].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("content", [b"", b"PK", pickle.dumps({"a": 1}), b'{"a": 1}'])
def test_what_is_no_archive_is_the_sources_fault(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(Judged) as caught:
        torch_export_source.load(source(), tmp_path, tmp_path / "scratch")
    assert caught.value.reason is Reason.SOURCE_INVALID


def test_stages_that_need_layers_are_refused_before_work_starts(tmp_path: Path) -> None:
    prune = {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}}
    task = CompressTask.model_validate({"source": source().to_wire(), "stages": [prune]})
    with pytest.raises(Judged, match=r"which format torch-export has not: use source\.format torch") as caught:
        Compression(task, layout(tmp_path), lambda _progress: None).run()
    assert caught.value.reason is Reason.RECIPE_INVALID
