"""Small charts as SVG without a word in it: words stand beside them in HTML, and stay readable at any width.

Pure functions of numbers; colours come from the page's style by class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from modelpress.store.report import Histogram

WIDTH, HEIGHT = 100.0, 40.0
"""Of a histogram, in its own units; it is stretched to its place."""
INSET = 7.0
"""Percent of a scatter plot that are left free at each side."""


def histogram(values: Histogram, label: str, marks: Sequence[tuple[float, str]] = ()) -> Markup:
    """Return both distributions one over the other, with upright `marks`, as (value, class)."""
    top = max((*values.original, *values.compressed, 1e-12))
    width = values.high - values.low
    areas = [
        Markup('<path class="{} area" d="{}"/>').format(name, steps(parts, top))
        for name, parts in (("before", values.original), ("after", values.compressed))
        if parts
    ]
    lines = [
        Markup('<line class="{} mark" x1="{x}" x2="{x}" y1="0" y2="{y}"/>').format(
            name, x=_number(min(max((value - values.low) / width, 0), 1) * WIDTH), y=_number(HEIGHT)
        )
        for value, name in marks
        if width > 0
    ]
    return Markup(
        '<svg class="histogram" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(_number(WIDTH), _number(HEIGHT), label, Markup("").join([*areas, *lines]))


def steps(parts: Sequence[float], top: float) -> str:
    """Return the outline of a histogram as the data of a path, closed along the ground; `top` reaches the ceiling."""
    if not parts:
        return ""
    each = WIDTH / len(parts)
    words = [f"M0 {_number(HEIGHT)}"]
    for place, part in enumerate(parts):
        height = _number(HEIGHT - part / top * (HEIGHT - 1))
        words.append(f"L{_number(place * each)} {height}L{_number((place + 1) * each)} {height}")
    return "".join([*words, f"L{_number(WIDTH)} {_number(HEIGHT)}Z"])


def interval(low: float, middle: float, high: float, reach: float, limit: float | None, label: str) -> Markup:
    """Return a value and its bounds on an axis from -reach to reach, 0 in the middle, and the limit of a gate."""

    def at(value: float) -> str:
        return f"{_number(50 + 50 * max(-1.0, min(value / reach, 1.0)))}%"

    refused = '<rect class="wall" x="0" width="{}" y="0" height="100%"/>'
    wall = Markup(refused).format(at(limit)) if limit is not None else ""
    return Markup(
        '<svg class="interval" role="img" aria-label="{label}">{wall}'
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="100%"/>'
        '<line class="reach" x1="{low}" x2="{high}" y1="50%" y2="50%"/>'
        '<line class="reach end" x1="{low}" x2="{low}" y1="34%" y2="66%"/>'
        '<line class="reach end" x1="{high}" x2="{high}" y1="34%" y2="66%"/>'
        '<circle class="dot" cx="{middle}" cy="50%" r="6"/></svg>'
    ).format(label=label, wall=wall, low=at(low), middle=at(middle), high=at(high))


@dataclass(frozen=True)
class Dot:
    """One point of a scatter plot; both places are parts of the way, 0 to 1, from left and from below."""

    number: int
    x: float
    y: float
    mood: str
    """Class: `chosen`, `front`, `refused` or nothing."""


def scatter(dots: Sequence[Dot], line: Sequence[Dot], label: str) -> Markup:
    """Return numbered dots and the staircase of the front, in an area that is stretched to its place."""

    def at(dot: Dot) -> tuple[str, str]:
        return f"{_number(INSET + (100 - 2 * INSET) * dot.x)}%", f"{_number(100 - INSET - (100 - 2 * INSET) * dot.y)}%"

    stairs: list[tuple[str, str, str, str]] = []
    for before, after in pairwise(line):
        (left, high), (right, low) = at(before), at(after)
        stairs += [(left, high, right, high), (right, high, right, low)]
    stair = Markup("").join(
        Markup('<line class="stair" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(*ends) for ends in stairs
    )
    trial = Markup(
        '<g class="trial {mood}"><circle cx="{x}" cy="{y}" r="11"/><text x="{x}" y="{y}" dy=".35em">{number}</text></g>'
    )
    shown = Markup("").join(trial.format(mood=dot.mood, x=at(dot)[0], y=at(dot)[1], number=dot.number) for dot in dots)
    return Markup('<svg class="scatter" role="img" aria-label="{}">{}{}</svg>').format(label, stair, shown)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
