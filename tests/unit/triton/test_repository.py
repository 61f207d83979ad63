from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelpress.triton import repository
from modelpress.triton.config import Backend

Put = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "model.onnx.data").write_bytes(b"weights")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "repository"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def put(models: Path, files: Path) -> Put:
    """Put a version of `m` into the repository, and return the model's folder."""

    def put(version: int, config: str, backend: Backend = Backend.ONNXRUNTIME) -> Path:
        repository.put(models, "m", version, config=config, files=files, backend=backend, mark=f"mark {version}")
        return models / "m"

    return put


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_onnxruntime_finds_the_model_and_its_data_in_the_version_folder(put: Put) -> None:
    assert content(put(2, "c")) == {"config.pbtxt": b"c", "2/model.onnx": b"graph", "2/model.onnx.data": b"weights"}


def test_nothing_that_lies_beside_the_model_can_be_imported_by_the_python_backend(put: Put, files: Path) -> None:
    (files / "numpy.py").write_text("raise SystemExit")
    found = put(1, "c", Backend.PYTHON)
    assert {path.name for path in found.rglob("*.py")} == {"model.py"}
    assert (found.parents[1] / "versions" / "m" / "1" / "model.onnx").read_bytes() == b"graph"


def test_another_version_of_the_python_backend_changes_no_file_but_the_configuration(put: Put, models: Path) -> None:
    """Triton would load all versions anew."""
    folder = put(100, "old", Backend.PYTHON)
    before = times(folder)
    put(99, "new", Backend.PYTHON)
    repository.take(models, "m", 100)
    assert {path.name for path, time in times(folder).items() if before.get(path) != time} == {"config.pbtxt"}
    assert times(folder).keys() == before.keys()
    assert (folder / "99" / "__pycache__").is_file(), "running it cannot add a folder"
    assert repository.configuration(models, "m") == "new"
    assert repository.marks(models, "m") == {99: "mark 99"}


def test_a_version_is_added_for_onnxruntime_and_what_was_there_is_not_touched(put: Put, models: Path) -> None:
    before = times(put(5, "old") / "5")
    put(4, "new")
    assert repository.configuration(models, "m") == "new"
    assert repository.marks(models, "m") == {5: "mark 5", 4: "mark 4"}
    assert times(models / "m" / "5") == before


@pytest.mark.parametrize("backend", Backend)
def test_a_version_is_not_replaced(put: Put, backend: Backend) -> None:
    before = content(put(1, "old", backend))
    with pytest.raises(FileExistsError, match="has a version 1"):
        put(1, "new", backend)
    assert content(put(2, "old", backend)).items() >= before.items()


def test_a_write_that_fails_leaves_what_was_there(put: Put, models: Path, tmp_path: Path) -> None:
    before = content(put(1, "old"))
    with pytest.raises(FileNotFoundError):
        repository.put(
            models, "m", 2, config="new", files=tmp_path / "absent", backend=Backend.ONNXRUNTIME, mark="mark"
        )
    assert content(models / "m") == before
    assert list(repository.marks(models, "m")) == [1]


def test_the_files_are_not_copied(put: Put, files: Path) -> None:
    assert (put(1, "c") / "1" / "model.onnx").samefile(files / "model.onnx")


@pytest.mark.parametrize("backend", Backend)
def test_versions_and_models_go_and_what_is_not_there_may_go_too(put: Put, models: Path, backend: Backend) -> None:
    put(1, "c", backend)
    put(2, "c", backend)
    repository.take(models, "m", 1)
    repository.take(models, "m", 1)
    assert list(repository.marks(models, "m")) == [2]
    repository.remove(models, "m")
    repository.remove(models, "m")
    assert (repository.marks(models, "m"), repository.configuration(models, "m")) == ({}, "")
    put(1, "c", backend)
