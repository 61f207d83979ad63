"""Triton's model repository on disk: a model appears in it whole or not at all.

    <repository>/<name>/config.pbtxt
    <repository>/<name>/<version>/model.onnx      and what lies beside it: external data
or, for the Python backend, whose interpreter could import what lies beside model.py:
    <repository>/<name>/<version>/model.py
    <repository>/<name>/<version>/model-files/model.onnx

Everything is put together below `.staging` on the same file system and renamed. Triton loads nothing by itself, so what
it has loaded is not disturbed.
"""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

from .config import Backend

STAGING = ".staging"
CONFIG_FILE = "config.pbtxt"
FILES_FOLDER = "model-files"


def write(repository: Path, name: str, version: int, *, config: str, files: Path, backend: Backend) -> Path:
    """Put the model whose ONNX files lie in the folder `files` into `repository`; return its folder.

    The files are linked, not copied, where the file system can. A model of that name that was there is replaced.
    """
    staged = repository / STAGING / name
    shutil.rmtree(staged, ignore_errors=True)
    versioned = staged / str(version)
    shutil.copytree(
        files, versioned / FILES_FOLDER if backend is Backend.PYTHON else versioned, copy_function=_link_or_copy
    )
    if backend is Backend.PYTHON:
        (versioned / "model.py").write_bytes(_python_backend_model())
    (staged / CONFIG_FILE).write_text(config)
    final = repository / name
    replaced = repository / STAGING / f"{name}.replaced"
    shutil.rmtree(replaced, ignore_errors=True)
    if final.exists():
        final.rename(replaced)
    staged.rename(final)
    shutil.rmtree(replaced, ignore_errors=True)
    return final


def remove(repository: Path, name: str) -> None:
    """Take a model out of `repository`; nothing happens if it is not there."""
    shutil.rmtree(repository / name, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _python_backend_model() -> bytes:
    return (resources.files("modelpress.triton") / "python_backend" / "model.py").read_bytes()
