"""Files that were never brought along: empty ones, and what Git LFS leaves in the place of a large one."""

from __future__ import annotations

from pathlib import Path

POINTER = b"version https://git-lfs.github.com/spec/"


def hollow(path: Path) -> str | None:
    """Return why there is nothing in the file, as a sentence; None if there may be something."""
    with path.open("rb") as opened:
        start = opened.read(len(POINTER))
    if not start:
        return f"{path.name} is empty (0 bytes): bring it again."
    if start == POINTER:
        return f"{path.name} is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`."
    return None
