"""Format torch: what is wrong with a source is said in one sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.compress.sources import CASES, model, task, write_source

from modelpress.api.reasons import Reason
from modelpress.api.source import TensorSpec
from modelpress.compress.errors import Judged
from modelpress.compress.formats import torch_source
from modelpress.compress.models import fit_outputs


def load(tmp_path: Path, name: str = "Single", **source: Any) -> Any:
    wire = task(name, []).source.model_copy(update=source)
    found = torch_source.load(wire, tmp_path / "source", tmp_path)
    torch_source.probe(found, tmp_path / "source", None, 0)
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_source(tmp_path / "source", "Single")
    return tmp_path / "source"


def judged(tmp_path: Path, **source: Any) -> Judged:
    with pytest.raises(Judged) as caught:
        load(tmp_path, **source)
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_modules_of_all_kinds_are_loaded_with_their_weights(tmp_path: Path, name: str) -> None:
    write_source(tmp_path / "source", name)
    found = load(tmp_path, name)
    expected = model(name).module.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in found.module.state_dict().items())


def test_a_source_may_import_its_own_files_relatively_and_absolutely(tmp_path: Path, source: Path) -> None:
    (source / "net").mkdir()
    (source / "model.py").rename(source / "net" / "inner.py")
    (source / "names.py").write_text("DEFAULT = 'Single'\n")
    (source / "net" / "model.py").write_text(
        "import names\nfrom .inner import build as inner\n\ndef build(name=names.DEFAULT):\n    return inner(name)\n"
    )
    assert load(tmp_path, entrypoint="net/model:build", kwargs=None).signature.outputs[0].name == "scores"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def build(name):\n    return {}[name]\n", "model.py:2: KeyError: 'Single'"),
        ("import sys\ndef build(name):\n    sys.exit(4)\n", "model.py:3 ended the process with sys.exit(4)"),
        ("import nowhere_to_be_found.inner\n", "model.py:1 imports nowhere_to_be_found"),
        ("def build(name:\n", "model.py:1: SyntaxError"),
        ("def build(name):\n    return 5\n", "returned int"),
        ("def other(name):\n    return 5\n", "no function build"),
        ("def build():\n    return 5\n", "TypeError"),
        (
            "from torch import nn\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "        self.first, self.second = nn.Linear(6, 32), nn.Linear(32, 2)\n    def forward(self, row):\n"
            "        return self.second(row)\n\ndef build(name):\n    return Net()\n",
            "forward of Net with row [6] (made up, since no data is given) failed at model.py:8",
        ),
    ],
)
def test_code_that_fails_is_named_with_file_and_line(tmp_path: Path, source: Path, code: str, words: str) -> None:
    (source / "model.py").write_text(code)
    error = judged(tmp_path)
    assert error.reason is Reason.ENTRYPOINT_FAILED
    assert words in error.message


def test_weights_that_do_not_fit_are_named_with_their_shapes(tmp_path: Path, source: Path) -> None:
    weights = load_file(source / "weights.safetensors")
    weights["first.weight"] = torch.zeros(32, 7)
    weights["third.bias"] = weights.pop("second.bias")
    save_file(weights, source / "weights.safetensors")
    error = judged(tmp_path)
    assert error.reason is Reason.WEIGHTS_DO_NOT_FIT
    assert "missing: second.bias" in error.message
    assert "unexpected: third.bias" in error.message
    assert "first.weight is [32, 7] and should be [32, 6]" in error.message


def test_truncated_weights_are_the_sources_fault(tmp_path: Path, source: Path) -> None:
    path = source / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    error = judged(tmp_path)
    assert error.reason is Reason.SOURCE_INVALID
    assert error.message.startswith("weights.safetensors cannot be read (")
    assert error.message.endswith("upload it again, it may be truncated.")


def test_a_file_of_code_that_is_not_there_is_named_with_the_field(tmp_path: Path, source: Path) -> None:
    error = judged(tmp_path, entrypoint="models/net:build")
    assert error.reason is Reason.SOURCE_INVALID
    assert error.message == "The source has no models/net.py, which source.entrypoint models/net:build names."


@pytest.mark.parametrize("name", ["weights.safetensors", "model.pt", "pytorch_model.bin"])
def test_a_pickle_is_refused_without_reading_it(tmp_path: Path, source: Path, name: str) -> None:
    (source / "weights.safetensors").unlink()
    torch.save({"first": torch.zeros(1)}, source / name)
    error = judged(tmp_path)
    assert error.reason is Reason.PICKLE_REFUSED
    assert "safetensors.torch.save_file" in error.message


def test_missing_weights_are_the_sources_fault(tmp_path: Path, source: Path) -> None:
    (source / "weights.safetensors").unlink()
    error = judged(tmp_path)
    assert error.reason is Reason.SOURCE_INVALID
    assert "has no weights.safetensors: save the module's state there with safetensors.torch.save_file" in error.message


def test_weights_of_another_name_are_pointed_at(tmp_path: Path, source: Path) -> None:
    (source / "weights.safetensors").rename(source / "model.safetensors")
    assert "if its state is in model.safetensors, call that weights.safetensors, or save" in judged(tmp_path).message


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"kind": torch.zeros(1)}, "names amount"),
        ((torch.zeros(1),), "returns 1 outputs, but source.outputs names 2"),
        ((torch.zeros(1), "text"), "Output amount is str"),
        ("text", "must return a tensor"),
        (torch.zeros(1), "returns 1 outputs"),
    ],
)
def test_outputs_that_do_not_fit_the_spec_are_named(result: Any, words: str) -> None:
    with pytest.raises(Judged) as caught:
        fit_outputs(result, CASES["Pair"].signature.outputs)
    assert caught.value.reason is Reason.SOURCE_INVALID
    assert words in caught.value.message


def test_an_output_without_a_batch_axis_is_refused(tmp_path: Path) -> None:
    write_source(tmp_path / "source", "Normalized")
    code = (
        (tmp_path / "source" / "model.py")
        .read_text()
        .replace("return self.layers(row)", "return self.layers(row).mean(0)")
    )
    (tmp_path / "source" / "model.py").write_text(code)
    with pytest.raises(Judged, match="its first axis must count samples"):
        load(tmp_path, "Normalized")


def test_whole_numbers_in_the_place_of_weights_are_refused(tmp_path: Path, source: Path) -> None:
    weights = load_file(source / "weights.safetensors")
    weights["first.weight"] = weights["first.weight"].mul(100).to(torch.int8)
    save_file(weights, source / "weights.safetensors")
    error = judged(tmp_path)
    assert error.reason is Reason.WEIGHTS_DO_NOT_FIT
    assert "of another type: first.weight is int8 and should be float32" in error.message


def test_weights_of_half_precision_are_taken(tmp_path: Path, source: Path) -> None:
    weights = {name: value.half() for name, value in load_file(source / "weights.safetensors").items()}
    save_file(weights, source / "weights.safetensors")
    assert load(tmp_path).module.first.weight.dtype == torch.float32


def test_weights_that_were_never_brought_along_are_told_from_damaged_ones(tmp_path: Path, source: Path) -> None:
    (source / "weights.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "fetch it with `git lfs pull`" in judged(tmp_path).message


POSITIONS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.positions, self.out = nn.Embedding(12, 4), nn.Linear(4, 2)

    def forward(self, row):
        return self.out(self.positions(torch.arange(row.shape[1])).mean(0) + row[:, :1])

def build(name):
    return Net()
"""


def test_a_table_of_positions_that_a_made_up_length_exceeds_is_not_blamed_on_data(tmp_path: Path, source: Path) -> None:
    (source / "model.py").write_text(POSITIONS)
    scope: dict[str, Any] = {}
    exec(POSITIONS, scope)
    save_file(scope["build"]("").state_dict(), source / "weights.safetensors")
    error = judged(tmp_path, inputs=(TensorSpec(name="row", shape=("batch", "sequence")),))
    assert error.reason is Reason.SOURCE_INVALID
    assert "Table positions has the ids 0 to 11, and it is given 12: give compression.data.calibration" in error.message
    assert "correct the data" not in error.message
