"""The tables and the plot of gates.md, computed exactly: `PYTHONPATH=operator python docs/gates_figures.py`.

Nothing is simulated: for a number of samples, every possible count of samples that only the original or only the result
got right is looked at, and the chances of those that pass are added up. Needs numpy and scipy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import binom

from modelpress.api.intervals import tango

Z = 1.6448536269514722
MARGIN = 0.02
Rule = Callable[[int, int, int], bool]
PAGE = Path(__file__).parent / "gates.md"
PLOT = Path(__file__).parent / "gates.svg"


def corrected(first: int, second: int, samples: int) -> bool:
    """Ours: Tango's score test with a continuity correction of one sample."""
    return tango(first, second, samples, MARGIN) <= -Z


def uncorrected(first: int, second: int, samples: int) -> bool:
    """Tango's score test as published."""
    return tango(first, second, samples, MARGIN, correction=0) <= -Z


def wald(first: int, second: int, samples: int) -> bool:
    """The textbook interval: estimate ± z standard errors."""
    p, q = first / samples, second / samples
    error = math.sqrt(max(p + q - (p - q) ** 2, 0) / samples)
    return p - q + Z * error <= MARGIN


def most_allowed(rule: Rule, samples: int) -> np.ndarray:
    """Return how many samples only the original may get right, by how many only the result did; -1: it cannot pass."""
    found = []
    for second in range(samples + 1):
        low, high = -1, samples - second + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if rule(middle, second, samples) else (low, middle)
        found.append(low)
    return np.array(found)


def chance(allowed: np.ndarray, samples: int, loss: float, discordance: float) -> float:
    """Return the chance to pass if the true loss is `loss` and the two differ on a share `discordance` of samples."""
    p, q = (discordance + loss) / 2, (discordance - loss) / 2
    seconds = np.arange(samples + 1)
    given = binom.cdf(allowed, samples - seconds, min(p / (1 - q), 1.0))
    return float((binom.pmf(seconds, samples, q) * np.where(allowed >= 0, given, 0)).sum())


def worst(rule: Rule, samples: int) -> float:
    """Return the greatest chance to pass with a loss of exactly the margin, over all discordances."""
    allowed = most_allowed(rule, samples)
    return max(chance(allowed, samples, MARGIN, share) for share in np.geomspace(MARGIN, 0.98, 60))


def false_passes() -> str:
    """Return the table of false passes."""
    rows = ["| samples | ± z standard errors | Tango | Tango, corrected (ours) |", "| --- | --- | --- | --- |"]
    for samples in (50, 100, 200, 300, 500, 1000):
        rates = [f"{100 * worst(rule, samples):.1f} %" for rule in (wald, uncorrected, corrected)]
        rows.append(f"| {samples} | {' | '.join(rates)} |")
    return "\n".join(rows)


def power() -> str:
    """Return the table of chances to pass with a result that is exactly as good as the original."""
    shares = (0.005, 0.01, 0.02, 0.05, 0.1)
    rows = [f"| samples | {' | '.join(f'{100 * share:g} %' for share in shares)} |", "| --- |" + " --- |" * len(shares)]
    for samples in (100, 200, 500, 1000, 2000, 5000):
        allowed = most_allowed(corrected, samples)
        cells = [f"{100 * chance(allowed, samples, 0.0, share):.0f} %" for share in shares]
        rows.append(f"| {samples:,} | {' | '.join(cells)} |")
    return "\n".join(rows)


def plot() -> str:
    """Return the chance to pass by true loss, for three numbers of samples, as SVG."""
    losses = np.linspace(0, 0.04, 41)
    lines = []
    for samples, colour in ((500, "#d95f02"), (1000, "#7570b3"), (5000, "#1b9e77")):
        allowed = most_allowed(corrected, samples)
        chances = [chance(allowed, samples, loss, 0.05) for loss in losses]
        points = " ".join(f"{60 + 12000 * x:.0f},{280 - 240 * y:.1f}" for x, y in zip(losses, chances, strict=True))
        label = 60 + 12000 * float(losses[np.argmin(np.abs(np.array(chances) - 0.5))])
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="{label + 8:.0f}" y="160" fill="{colour}">n={samples}</text>')
    marks = (0, 0.01, 0.02, 0.03, 0.04)
    ticks = [f'<text x="{60 + 12000 * x:.0f}" y="298" text-anchor="middle">{x:g}</text>' for x in marks]
    ticks += [f'<text x="52" y="{284 - 240 * y:.0f}" text-anchor="end">{y:g}</text>' for y in (0, 0.5, 1)]
    margin = 60 + 12000 * MARGIN
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 570 330" font-family="sans-serif" font-size="13">',
            '<rect width="570" height="330" fill="white"/>',
            '<path d="M60 40V280H540" fill="none" stroke="black"/>',
            f'<path d="M{margin:.0f} 40V280" stroke="grey" stroke-dasharray="4"/>',
            f'<text x="{margin:.0f}" y="32" text-anchor="middle">limit 0.02</text>',
            '<text x="300" y="320" text-anchor="middle">true loss of accuracy</text>',
            '<text x="16" y="160" text-anchor="middle" transform="rotate(-90 16 160)">chance to pass</text>',
            *ticks,
            *lines,
            "</svg>\n",
        ]
    )


def main() -> None:
    """Write the tables into the page, between their marks, and the plot beside it."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("false passes", false_passes()), ("power", power())):
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}<!-- {name} -->\n{table}\n{end}{after}"
    PAGE.write_text(text, encoding="utf-8")
    PLOT.write_text(plot(), encoding="utf-8")


if __name__ == "__main__":
    main()
