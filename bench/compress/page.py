"""Results as JSON, one file a row, and the page and plots that are made of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from . import plots
from .protocol import Contestant, Row

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE / "RESULTS.md"
HEAD = """# What compression reaches

Made by `make bench-compress`; how it is measured is in [README.md](README.md). All figures of a row come from one run,
side by side. A row is reached only if the bounds of our figures reach it; absolute times are those of a shared machine,
and ratios are what counts.

| row | to reach | reached | beyond | reached |
| --- | --- | --- | --- | --- |
"""


def keep(row: Row) -> None:
    """Write a row's results."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{row.name}.json").write_text(json.dumps(asdict(row), indent=1, ensure_ascii=False) + "\n")


def read(name: str) -> Row | None:
    """Return a row's results, None if it was never measured."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    found["contestants"] = [Contestant(**item) for item in found["contestants"]]
    return Row(**found)


def write(names: list[str]) -> None:
    """Write the page and the plots of what was ever measured."""
    rows = [row for name in names if (row := read(name)) is not None]
    lines = [
        f"| {row.title} | {row.reach} | {_yes(row.reached)} | {row.beyond} | {_yes(row.surpassed)} |" for row in rows
    ]
    missing = [name for name in names if read(name) is None]
    lines += [f"| {name} | not measured yet | | | |" for name in missing]
    for row in rows:
        plots.write(row, RESULTS / f"{row.name}.svg")
    PAGE.write_text(HEAD + "\n".join(lines) + "\n\n" + "\n".join(section(row) for row in rows), encoding="utf-8")


def section(row: Row) -> str:
    """Return what the page says of one row."""
    names = list(dict.fromkeys(name for one in row.contestants for name in one.figures))
    lines = [f"## {row.title}", ""]
    lines += [f"To reach: {row.reach}: **{_yes(row.reached)}**. Beyond: {row.beyond}: **{_yes(row.surpassed)}**.", ""]
    lines += [f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for one in row.contestants:
        lines.append(f"| {_name(one)} | {' | '.join(shown(one.figures.get(key)) for key in names)} |")
    lines += ["", *(f"- {remark}" for remark in row.remarks), f"- {_machine(row)}", ""]
    if not row.smoke:
        lines += [f"![{row.title}](results/{row.name}.svg)", ""]
    return "\n".join(lines)


def shown(value: float | str | None) -> str:
    """Return a figure as it is printed."""
    if value is None or isinstance(value, str):
        return value or ""
    if value == int(value) and abs(value) >= 100:
        return f"{int(value):,}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def _name(one: Contestant) -> str:
    if not one.ours:
        return one.name
    written = (HERE / "recipes" / f"{one.name}.yaml").is_file()
    return f"**modelpress, [{one.name}](recipes/{one.name}.yaml)**" if written else f"**modelpress, {one.name}**"


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"


def _machine(row: Row) -> str:
    found = row.machine
    kept = [f"{name} {found[name]}" for name in ("python", "numpy", "onnx", "onnxruntime") if name in found]
    return (
        f"{found.get('processor', 'unknown processor')} ({found.get('instructions', '')}), load "
        f"{found.get('load', 'unknown')}; {', '.join(kept)}; {row.seconds:,.0f} s. All flags are in "
        f"[the JSON](results/{row.name}.json)."
    )
