"""What little data says of a gate that it cannot decide. Pure.

A few dozen samples bound no loss tightly, so that not even the original, against itself, would pass. Then it matters
how likely a recipe keeps the gate: whoever judges it afterwards, on the test data, may well be able to tell.
"""

from __future__ import annotations

from modelpress.api import gates
from modelpress.api.defaults import with_defaults
from modelpress.api.evaluation import Gate
from modelpress.api.figures import Figures

EVEN = 0.5
"""Chance of a recipe of which no more is known than that its estimate keeps the gate."""
MANY = 10**9
"""Samples of a figure that is taken as exact."""
STEPS = 12
"""Halvings by which the confidence is found: to one in ten thousand."""


def chance(figures: Figures, gate: Gate) -> float:
    """Return how likely `gate` is kept, 0 if even the estimate does not keep it.

    It is the greatest confidence with which the gate would pass, which is what a bound means, and at least EVEN; at
    most the gate's own, since a gate that passes is decided.
    """
    if not _passes(_exact(figures), gate):
        return 0.0
    low, high = EVEN, with_defaults(gate).confidence
    if _passes(figures, gate):
        return max(low, high)
    for _ in range(STEPS):
        middle = (low + high) / 2
        passes = _passes(figures, gate.model_copy(update={"confidence": middle}))
        low, high = (middle, high) if passes else (low, middle)
    return low


def _passes(figures: Figures, gate: Gate) -> bool:
    return gates.judge(figures, [gate])[0].outcome == "Pass"


def _exact(figures: Figures) -> Figures:
    """Return the figures as if estimates had no error."""
    sure = {"pairs": None, "groups": None, "samples": MANY, "standard_error": 0.0, "compressed_standard_error": 0.0}
    return figures.model_copy(update={"metrics": tuple(one.model_copy(update=sure) for one in figures.metrics)})
