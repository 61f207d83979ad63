"""Triton's model repository on disk, which Triton looks through every second, and follows.

    <repository>/<name>/config.pbtxt
    <repository>/<name>/<version>/model.onnx      and what lies beside it: external data
or, for the Python backend, whose interpreter could import what lies beside model.py:
    <repository>/<name>/<version>/model.py
and for both, beside the repository and on the same file system:
    versions/<name>/<version>/model.onnx          what model.py opens

Which versions are loaded, config.pbtxt says. Everything is put together in `staging` and renamed: a version appears
whole, and before it is named. When files of any version come, Triton loads all versions of the model anew, each beside
itself. So model.py of all NUMBERS is there from the beginning, and config.pbtxt is all that ever changes.
"""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

from modelpress.api.servingpod import HIGHEST_VERSION

from .config import Backend

NUMBERS = range(1, HIGHEST_VERSION + 1)
"""Numbers of versions of the Python backend that can be loaded while others stay as they are."""
STAGING, VERSIONS = "staging", "versions"
CONFIG_FILE = "config.pbtxt"
CODE_FILE = "model.py"
BYTECODE_FOLDER = "__pycache__"
MARK = "served.json"
"""In the folder of a version: what it was made from."""


def put(repository: Path, name: str, version: int, *, config: str, files: Path, backend: Backend, mark: str) -> None:
    """Add a version of the model `name`, whose ONNX files lie in the folder `files`, and have `config` hold from then.

    The files are linked, not copied, where the file system can. `mark` is kept beside them, see `marks`. Raises
    FileExistsError if there is such a version.
    """
    model, content, staged = repository / name, _content(repository, name, version), _staging(repository) / name
    if content.exists():
        raise FileExistsError(f"{model} has a version {version}")
    shutil.rmtree(staged, ignore_errors=True)
    _link(files, staged / VERSIONS)
    (staged / VERSIONS / MARK).write_text(mark, encoding="utf-8")
    if backend is Backend.ONNXRUNTIME:
        _link(files, staged / str(version))
    if backend is Backend.ONNXRUNTIME and model.exists():
        shutil.rmtree(model / str(version), ignore_errors=True)  # half of a version that somebody was killed over
        (staged / str(version)).rename(model / str(version))
    content.parent.mkdir(parents=True, exist_ok=True)
    (staged / VERSIONS).rename(content)
    if model.exists():
        configure(repository, name, config)
        return
    for number in NUMBERS if backend is Backend.PYTHON else ():
        _write_code(staged / str(number))
    (staged / CONFIG_FILE).write_text(config, encoding="utf-8")
    staged.rename(model)


def configure(repository: Path, name: str, config: str) -> None:
    """Have `config` hold for the model `name` from now on."""
    staged = _staging(repository) / f"{name}.{CONFIG_FILE}"
    staged.parent.mkdir(exist_ok=True)
    staged.write_text(config, encoding="utf-8")
    staged.rename(repository / name / CONFIG_FILE)


def configuration(repository: Path, name: str) -> str:
    """Return the config.pbtxt of the model `name`, empty if there is no such model."""
    try:
        return (repository / name / CONFIG_FILE).read_text(encoding="utf-8")
    except OSError:
        return ""


def marks(repository: Path, name: str) -> dict[int, str]:
    """Return the versions of the model `name` that are there, each with what was kept beside it."""
    found = (repository.parent / VERSIONS / name).glob(f"*/{MARK}")
    return {int(file.parent.name): file.read_text(encoding="utf-8") for file in found}


def take(repository: Path, name: str, version: int) -> None:
    """Take away a version that Triton holds no longer. Nothing happens if it is not there."""
    folder = repository / name / str(version)
    if not (folder / CODE_FILE).exists():
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(_content(repository, name, version), ignore_errors=True)


def remove(repository: Path, name: str) -> None:
    """Take a model away, which Triton then unloads. Nothing happens if it is not there."""
    leaving = _staging(repository) / f"{name}.removed"
    shutil.rmtree(leaving, ignore_errors=True)
    if (repository / name).exists():
        leaving.parent.mkdir(exist_ok=True)
        (repository / name).rename(leaving)
    shutil.rmtree(leaving, ignore_errors=True)
    shutil.rmtree(repository.parent / VERSIONS / name, ignore_errors=True)


def _write_code(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / CODE_FILE).write_bytes(_python_backend_model())
    (folder / BYTECODE_FOLDER).touch()  # a file where the interpreter would make a folder, later


def _content(repository: Path, name: str, version: int) -> Path:
    return repository.parent / VERSIONS / name / str(version)


def _staging(repository: Path) -> Path:
    return repository.parent / STAGING


def _link(files: Path, folder: Path) -> None:
    shutil.copytree(files, folder, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _python_backend_model() -> bytes:
    return (resources.files("modelpress.triton") / "python_backend" / CODE_FILE).read_bytes()
