"""Calling a tenant's entrypoint: isolated names, and sentences about whatever it does wrong. Runs tenants' code."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from modelpress.api.reasons import Reason

from ..errors import Judged

PACKAGE = "modelpress_source"
"""Package under which the source's files are imported, so that none takes the name of another module."""


def build(
    folder: Path,
    entrypoint: str,
    kwargs: dict[str, Any],
    field: str = "source.entrypoint",
    package: str = PACKAGE,
) -> nn.Module:
    """Import `file` out of the folder, call `function(**kwargs)` and return the module. Raises Judged.

    `field` of the spec names the entrypoint; `package`: under which name files are imported.
    """
    function = find(folder, entrypoint, field, anew=True, package=package)
    with Guard(folder, f"entrypoint {entrypoint}"):
        result = function(**kwargs)
    if not isinstance(result, nn.Module):
        file, _, name = entrypoint.partition(":")
        raise Judged(
            Reason.ENTRYPOINT_FAILED,
            f"{name} of {file}.py returned {type(result).__name__}: it must return a torch.nn.Module.",
        )
    return result


def find(
    folder: Path, entrypoint: str, field: str, *, anew: bool = False, package: str = PACKAGE
) -> Callable[..., Any]:
    """Import `file` out of the folder and return `function`; `field` of the spec names it. Raises Judged.

    `anew`: what was imported out of a source before is forgotten.
    """
    file, _, name = entrypoint.partition(":")
    if not (folder / f"{file}.py").is_file():
        raise Judged(Reason.SOURCE_INVALID, f"The source has no {file}.py, which {field} {entrypoint} names.")
    with Guard(folder, f"entrypoint {entrypoint}"):
        module = _import(folder, file, package, anew=anew)
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        raise Judged(Reason.ENTRYPOINT_FAILED, f"{file}.py has no function {name}, which {field} names.")
    return function


def _import(folder: Path, file: str, package: str, *, anew: bool) -> ModuleType:
    """Import below `package`, so that relative imports work; for absolute ones the folder comes first on sys.path."""
    sys.dont_write_bytecode = True
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    known = sys.modules.get(package)
    if anew or known is None or list(known.__path__) != [str(folder)]:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]
        made = ModuleType(package)
        made.__path__ = [str(folder)]
        made.__spec__ = importlib.machinery.ModuleSpec(package, None, is_package=True)
        sys.modules[package] = made
    importlib.invalidate_caches()
    return importlib.import_module(f"{package}.{file.replace('/', '.')}")


@contextlib.contextmanager
def apart(folder: Path, other: Path) -> Iterator[None]:
    """Have absolute imports find the files of `folder` and none of `other`, and afterwards what they found before.

    Two sources may have files of the same name.
    """
    path = list(sys.path)
    hidden = _imported(other)
    for name in hidden:
        del sys.modules[name]
    sys.path[:] = [item for item in path if item != str(other)]
    try:
        yield
    finally:
        for name in _imported(folder):
            del sys.modules[name]
        sys.modules.update(hidden)
        sys.path[:] = path


def _imported(folder: Path) -> dict[str, ModuleType]:
    """Return the modules out of a folder that were imported by absolute names."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if not name.startswith(PACKAGE)
        and (file := getattr(module, "__file__", None))
        and Path(file).is_relative_to(folder)
    }


class Guard:
    """Turns what tenants' code raises into Judged with file, line and text. MemoryError and Judged pass."""

    def __init__(self, folder: Path, what: str, reason: Reason = Reason.ENTRYPOINT_FAILED) -> None:
        self.folder = folder
        self.what = what
        self.reason = reason

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, Judged | MemoryError | KeyboardInterrupt):
            return
        traceback.print_exception(error)
        raise Judged(self.reason, explain(error, self.folder, self.what)) from error


def explain(error: BaseException, folder: Path, what: str) -> str:
    """Return one sentence: what failed, in which file and line of the source, with which text."""
    where = place(error, folder)
    at = f" at {where}" if where else ""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        return (
            f"The {what}{at} imports {error.name}, which is neither in the source nor in the compressor's image: "
            f"put it into the source, or use an image with the package {package}."
        )
    if isinstance(error, SystemExit):
        return f"The {what}{at} ended the process with sys.exit({error.code!r}): it must return."
    text = " ".join(str(error).split())
    return f"The {what} failed{at}: {type(error).__name__}{': ' if text else ''}{text[:600]}"


def place(error: BaseException, folder: Path) -> str:
    """Return `file:line` of the innermost frame inside the source, or nothing."""
    root = folder.resolve()
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_relative_to(root):
        return f"{Path(error.filename).relative_to(root)}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_absolute() and path.resolve().is_relative_to(root):
            return f"{path.resolve().relative_to(root)}:{frame.lineno}"
    return ""
