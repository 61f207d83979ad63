"""Files that others may be reading."""

from __future__ import annotations

import os
from pathlib import Path


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """Have `path` hold `text`: who reads it meanwhile sees the old text or the new one, never a part."""
    if path.exists() and path.read_text() == text:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.touch(mode)
    beside.write_text(text)
    beside.replace(path)
