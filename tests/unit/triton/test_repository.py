from __future__ import annotations

from pathlib import Path

import pytest

from modelpress.triton import repository
from modelpress.triton.config import Backend


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "model.onnx.data").write_bytes(b"weights")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_onnxruntime_finds_the_model_and_its_data_in_the_version_folder(tmp_path: Path, files: Path) -> None:
    found = repository.write(tmp_path / "models", "m", 2, config="c", files=files, backend=Backend.ONNXRUNTIME)
    assert content(found) == {"config.pbtxt": b"c", "2/model.onnx": b"graph", "2/model.onnx.data": b"weights"}


def test_nothing_that_lies_beside_the_model_can_be_imported_by_the_python_backend(tmp_path: Path, files: Path) -> None:
    (files / "numpy.py").write_text("raise SystemExit")
    found = repository.write(tmp_path / "models", "m", 1, config="c", files=files, backend=Backend.PYTHON)
    assert sorted(path.name for path in (found / "1").iterdir()) == ["model-files", "model.py"]
    assert not "model-files".isidentifier()


def test_a_model_is_replaced_whole_and_what_was_staged_is_gone(tmp_path: Path, files: Path) -> None:
    models = tmp_path / "models"
    repository.write(models, "m", 1, config="old", files=files, backend=Backend.ONNXRUNTIME)
    (files / "model.onnx.data").unlink()
    found = repository.write(models, "m", 2, config="new", files=files, backend=Backend.ONNXRUNTIME)
    assert content(found) == {"config.pbtxt": b"new", "2/model.onnx": b"graph"}
    assert not list((models / repository.STAGING).iterdir())


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, files: Path) -> None:
    models = tmp_path / "models"
    found = repository.write(models, "m", 1, config="old", files=files, backend=Backend.ONNXRUNTIME)
    before = content(found)
    with pytest.raises(FileNotFoundError):
        repository.write(models, "m", 2, config="new", files=tmp_path / "absent", backend=Backend.ONNXRUNTIME)
    assert content(found) == before


def test_the_files_are_not_copied(tmp_path: Path, files: Path) -> None:
    found = repository.write(tmp_path / "models", "m", 1, config="c", files=files, backend=Backend.ONNXRUNTIME)
    assert (found / "1" / "model.onnx").samefile(files / "model.onnx")
