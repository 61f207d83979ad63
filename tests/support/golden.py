"""Golden files: what was once looked at and found right. `UPDATE_GOLDEN=1 pytest tests/golden` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path


def assert_golden(file: Path, text: str) -> None:
    """Fail if `text` is not what `file` holds; or make it so, if the variable UPDATE_GOLDEN is set."""
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    wanted = file.read_text(encoding="utf-8") if file.exists() else ""
    assert text == wanted, f"differs from {file.name}; if that is meant: UPDATE_GOLDEN=1 pytest tests/golden"
