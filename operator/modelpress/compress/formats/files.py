"""Finding the one file that a source consists of, and seeing whether it was brought along at all."""

from __future__ import annotations

from pathlib import Path

from modelpress.api.reasons import Reason

from ..errors import Judged
from ..hollow import hollow


def single(folder: Path, name: str) -> Path:
    """Return the source itself if it is a file, `name` in its folder, or the only file of that ending. Raises Judged.

    The ending is that of `name`.
    """
    if folder.is_file():
        return folder
    if (folder / name).is_file():
        return folder / name
    others = sorted(item for item in folder.glob(f"*{Path(name).suffix}") if item.is_file())
    if len(others) == 1:
        return others[0]
    found = ", ".join(item.name for item in others) or "none"
    advice = f": call one {name}, or name the file itself" if others else ""
    raise Judged(
        Reason.SOURCE_INVALID,
        f"The source needs {name} or a single {Path(name).suffix} file, and has {found}{advice}.",
    )


def refuse_hollow(path: Path) -> None:
    """Raise Judged with SourceInvalid if nothing is in a file of the source."""
    complaint = hollow(path)
    if complaint is not None:
        raise Judged(Reason.SOURCE_INVALID, complaint)
