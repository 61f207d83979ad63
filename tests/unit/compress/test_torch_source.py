"""Format torch: what is wrong with a source is said in one sentence that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.compress.sources import CASES, model, task, write_source

from modelpress.api.reasons import Reason
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
            "forward of Net with row [6] failed at model.py:8",
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
    assert judged(tmp_path).reason is Reason.SOURCE_INVALID


@pytest.mark.parametrize("name", ["weights.safetensors", "model.pt", "pytorch_model.bin"])
def test_a_pickle_is_refused_without_reading_it(tmp_path: Path, source: Path, name: str) -> None:
    (source / "weights.safetensors").unlink()
    torch.save({"first": torch.zeros(1)}, source / name)
    error = judged(tmp_path)
    assert error.reason is Reason.PICKLE_REFUSED
    assert "safetensors.torch.save_file" in error.message


def test_missing_weights_are_the_sources_fault(tmp_path: Path, source: Path) -> None:
    (source / "weights.safetensors").unlink()
    assert judged(tmp_path).reason is Reason.SOURCE_INVALID


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
