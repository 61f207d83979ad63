"""What is built once for all clones: folders in the user's cache folder, named by the key of their content."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from localcluster.paths import CACHE
from localcluster.progress import step


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of this name against every other process of this user, other clones' too."""
    folder = CACHE / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def cached(name: str, key: str) -> Path:
    """Return where the thing of this name and key lies, built or not."""
    return CACHE / f"{name}-{key}"


def build_once(name: str, key: str, title: str, build: Callable[[Path, Path], None]) -> Path:
    """Return the folder of this name and key, built first if it is missing.

    `build(folder, log)` fills a folder beside the wanted one, which is then renamed: a build that was killed leaves
    nothing that looks finished.
    """
    folder = cached(name, key)
    if folder.exists():
        return folder
    with locked(name):
        if folder.exists():
            return folder
        log = CACHE / "logs" / f"{name}-{key}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        unfinished = CACHE / f"{name}-{key}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with step(title, log):
            build(unfinished, log)
        unfinished.rename(folder)
    return folder
