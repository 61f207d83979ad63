"""Finding the one file that a source consists of."""

from __future__ import annotations

from pathlib import Path

from modelpress.api.reasons import Reason

from ..errors import Judged


def single(folder: Path, name: str) -> Path:
    """Return the source itself if it is a file, `name` in its folder, or the only file of that ending. Raises Judged.

    The ending is that of `name`.
    """
    if folder.is_file():
        return folder
    if (folder / name).is_file():
        return folder / name
    others = sorted(folder.glob(f"*{Path(name).suffix}"))
    if len(others) == 1:
        return others[0]
    found = ", ".join(item.name for item in others) or "none"
    raise Judged(
        Reason.SOURCE_INVALID, f"The source needs {name} or a single {Path(name).suffix} file, and has {found}."
    )
