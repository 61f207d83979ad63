"""What was measured, one row a case: printed as it comes, and kept in .cluster/rollout-matrix.md."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from pathlib import Path

TABLE = Path(__file__).resolve().parents[2] / ".cluster" / "rollout-matrix.md"


@dataclass(frozen=True)
class Row:
    """One case. `seconds`: from what happened until the model stood as it must.

    `last_answer`: from what happened until the last answer of the version that had to go; None: it never answered.
    """

    strategy: str
    case: str
    ends: str
    requests: int
    failed: int
    seconds: float
    last_answer: float | None = None


def begin() -> None:
    """Start the table anew."""
    TABLE.parent.mkdir(exist_ok=True)
    names = [field.name.replace("_", " ") for field in fields(Row)]
    TABLE.write_text(f"{_line(names)}\n{_line(['---'] * len(names))}\n", encoding="utf-8")


def add(row: Row) -> None:
    """Add a row, and print it."""
    if not TABLE.exists():
        begin()
    line = _line([_shown(cell) for cell in astuple(row)])
    with TABLE.open("a", encoding="utf-8") as table:
        table.write(line + "\n")
    print(line)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(cell: object) -> str:
    if cell is None:
        return "never"
    if isinstance(cell, float):
        return f"{cell:.1f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
