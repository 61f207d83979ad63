"""Where one run works, and how its result appears: whole or not at all, whatever ends the run.

Everything lies in one hidden folder beside the result, on the same disk, laid out as a pod's disks are. At the end one
rename makes the artifact appear. Whoever holds the folder's lock owns it; what a killed run left is cleared by the next
one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelpress.api.tasks import (
    ANSWERS_FOLDER,
    DATA_FOLDER,
    OUT_FOLDER,
    REPORT_FOLDER,
    SCORES_FOLDER,
    SCRATCH_FOLDER,
    SOURCE_FOLDER,
    TERMINATION_MESSAGE_PATH,
    TEST_FOLDER,
)
from modelpress.compress.layout import Layout
from modelpress.store.manifest import FILE_NAME

from .asked_error import AskedError

MADE = (OUT_FOLDER, ANSWERS_FOLDER, SCORES_FOLDER, REPORT_FOLDER)
"""Folders of what a recipe makes, and of what comes of measuring it."""


@dataclass(frozen=True)
class Workspace:
    """One run's folders."""

    root: Path
    """What a pod has as its root."""
    out: Path
    """Where the artifact is to appear."""
    cache: Path | None = None
    """What stood after stages, what searches tried and what originals answered. None: nothing is kept."""

    def folder(self, name: str) -> Path:
        """Return where a pod's folder `name` lies."""
        return self.root / name.lstrip("/")

    @property
    def artifact(self) -> Path:
        """Where the artifact is put together."""
        return self.root / "artifact"

    @property
    def message(self) -> Path:
        """Where a step leaves its answer."""
        return self.folder(TERMINATION_MESSAGE_PATH)

    @property
    def log(self) -> Path:
        """What the steps print."""
        return self.root / "log"

    def layout(self) -> Layout:
        """Return the folders of the step that compresses."""
        return Layout(
            source=self.folder(SOURCE_FOLDER),
            data=self.folder(DATA_FOLDER),
            out=self.folder(OUT_FOLDER),
            answers=self.folder(ANSWERS_FOLDER),
            scores=self.folder(SCORES_FOLDER),
            scratch=self.folder(SCRATCH_FOLDER),
            message=self.message,
            cache=self.cache,
            port=0,
        )

    def refuse(self) -> None:
        """Keep the artifact that was put together, in place of one that was kept before, but let none appear."""
        shutil.rmtree(self._refused, ignore_errors=True)
        self.artifact.rename(self._refused)

    def take_back(self) -> None:
        """Have the artifact that was kept in the place where it is put together."""
        shutil.rmtree(self.artifact, ignore_errors=True)
        self._refused.rename(self.artifact)

    def clear_results(self) -> None:
        """Remove what a recipe left, so that the next one may begin. What was brought in stays."""
        for folder in map(self.folder, MADE):
            shutil.rmtree(folder)
            folder.mkdir()
        shutil.rmtree(self.artifact, ignore_errors=True)

    @property
    def _refused(self) -> Path:
        return self.root / "refused"

    def appear(self) -> None:
        """Let the artifact appear at `out`, in place of what was there."""
        replaced = self.root / "replaced"
        if self.out.exists():
            self.out.rename(replaced)
        try:
            self.artifact.rename(self.out)
        except BaseException:  # an interrupt too: what was there is not lost for nothing
            if replaced.exists() and not self.out.exists():
                replaced.rename(self.out)
            raise


@contextmanager
def workspace(out: Path, *, replace: bool, cache: Path | None = None) -> Iterator[Workspace]:
    """Yield a run's folders; they are gone when it is over, but for the cache. Raises AskedError if `out` is taken or
    being written.
    """
    out = out.resolve()
    try:
        _check(out, replace=replace)
        out.parent.mkdir(parents=True, exist_ok=True)
        root = out.with_name(f".{out.name}.modelpress")
        descriptor = _own(root)
    except OSError as error:
        raise AskedError(f"--out {out} cannot be written ({error.strerror}): name a folder that can.") from error
    try:
        for item in root.iterdir():
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        yield prepared(Workspace(root, out, cache))
    finally:
        shutil.rmtree(root, ignore_errors=True)
        os.close(descriptor)


def prepared(place: Workspace) -> Workspace:
    """Make the folders of `place` and return it."""
    for name in (SOURCE_FOLDER, DATA_FOLDER, TEST_FOLDER, *MADE, SCRATCH_FOLDER):
        place.folder(name).mkdir(parents=True, exist_ok=True)
    place.message.parent.mkdir(parents=True, exist_ok=True)
    return place


def _check(out: Path, *, replace: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise AskedError(f"--out {out} is a file: name a folder.")
    if not any(out.iterdir()):
        out.rmdir()
    elif not (out / FILE_NAME).is_file():
        raise AskedError(f"--out {out} holds something that is no artifact: name another folder.")
    elif not replace:
        raise AskedError(f"--out {out} holds an artifact already: name another folder, or replace it with --force.")


def _own(root: Path) -> int:
    """Make the folder `root` and return a descriptor that holds its lock. Raises AskedError if another run does."""
    while True:
        root.mkdir(exist_ok=True)
        descriptor = os.open(root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise AskedError(f"another modelpress is writing to {root}: wait for it, or name another --out.") from error
        if root.exists() and os.fstat(descriptor).st_ino == root.stat().st_ino:
            return descriptor
        os.close(descriptor)  # another run removed the folder between the two calls
