"""One picture a row: contestants as bars of the row's figure, with the line that is to be reached. Plain SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from .protocol import Contestant, Row


@dataclass(frozen=True)
class Axis:
    """What the bars of a row show."""

    figure: str
    bound: str | None
    """Figure whose value is marked on the bar."""
    reach: float | None = None
    """None: what is to be reached is no figure of these bars."""
    beyond: float | None = None


AXES = {
    "simplenet": Axis("ratio", None, 15, 20),
    "residual": Axis("MACs, times fewer", None, 2.5, 4),
    "minilm-bytes": Axis("ratio", None, 5.5, 6.5),
    "minilm-latency": Axis("speedup at 32", "bound at 32", 3, 4),
    "int8": Axis("speedup", "bound", None, 3),
    "gcn": Axis("speedup", "bound", 2, 4),
    "sensitivity": Axis("passes a layer", None, 1.5, 0.5),
    "auto": Axis("ratio", None),
}
WIDTH, LEFT, BAR, GAP, TOP = 760, 300, 20, 10, 40
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.bar{fill:#9aa4b2}.ours{fill:#1f6feb}.mark{stroke:#24292f;"
    "stroke-width:2}.line{stroke:#b35900;stroke-dasharray:5 4}@media(prefers-color-scheme:dark){text{fill:#e6edf3}"
    ".bar{fill:#59636e}.mark{stroke:#e6edf3}}"
)


def write(row: Row, path: Path) -> None:
    """Write the picture."""
    path.write_text(picture(row, AXES[row.name]), encoding="utf-8")


def picture(row: Row, axis: Axis) -> str:
    """Return the SVG."""
    shown = [one for one in row.contestants if isinstance(one.figures.get(axis.figure), float | int)]
    lines = [(value, name) for value, name in ((axis.reach, "to reach"), (axis.beyond, "beyond")) if value is not None]
    most = max([value for value, _ in lines] + [float(one.figures[axis.figure]) for one in shown]) * 1.12
    height = TOP + len(shown) * (BAR + GAP) + 30
    scale = (WIDTH - LEFT - 20) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(row.title)}: {escape(axis.figure)}</title><style>{STYLE}</style>",
        f'<text x="{LEFT}" y="16">{escape(row.title)}: {escape(axis.figure)}</text>',
    ]
    for number, one in enumerate(shown):
        parts += _bar(one, axis, TOP + number * (BAR + GAP), scale)
    for value, name in lines:
        x = LEFT + value * scale
        parts.append(f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 24}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{name} {value:g}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(one: Contestant, axis: Axis, y: float, scale: float) -> list[str]:
    value = float(one.figures[axis.figure])
    kind = "bar ours" if one.ours else "bar"
    name = f"modelpress, {one.name}" if one.ours else one.name
    parts = [
        f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR}"/>',
        f'<text x="{LEFT + value * scale + 6:.1f}" y="{y + 15}">{value:.2f}</text>',
    ]
    if axis.bound is not None and isinstance(one.figures.get(axis.bound), float | int):
        x = LEFT + float(one.figures[axis.bound]) * scale
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + BAR}"/>')
    return parts
