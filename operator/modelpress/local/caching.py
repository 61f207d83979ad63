"""What earlier runs left for later ones: what stood after each stage, what searches tried, what originals answered."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from modelpress.compress.layout import BASELINES, STAGES, TRIALS

MOST = 4_000_000_000
"""Bytes that are kept."""


def cache_folder() -> Path:
    """Return where they lie: below XDG_CACHE_HOME, or `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "modelpress" / "compress"


def trim(folder: Path, most: int = MOST) -> None:
    """Remove what was written first, until no more than `most` bytes are left."""
    entries = [entry for kind in (STAGES, TRIALS, BASELINES) for entry in (folder / kind).glob("*") if entry.is_dir()]
    sizes = {entry: sum(file.stat().st_size for file in entry.rglob("*") if file.is_file()) for entry in entries}
    left = sum(sizes.values())
    for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime):
        if left <= most:
            break
        shutil.rmtree(entry, ignore_errors=True)
        left -= sizes[entry]
