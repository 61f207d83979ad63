"""Weights by numbers of pods: every pod behind one Service gets the same share of new connections."""

from __future__ import annotations

import math

COARSE = 5
"""Percentage points by which the weight that is reached may differ from the one that is asked for, unsaid."""


def candidate_pods(full: int, weight: int) -> int:
    """Return how many pods beside `full` stable ones come closest to `weight` percent: `full`·w/(100-w), at least 1.

    At most `full`, which is half of all.
    """
    return min(full, max(1, math.floor(full * weight / (100 - weight) + 0.5)))


def reached(pods: int, full: int) -> int:
    """Return the percentage that `pods` beside `full` stable ones get."""
    return round(100 * pods / (pods + full)) if pods + full else 0


def is_coarse(wanted: int, got: int) -> bool:
    """Say whether the weight differs from the one that was asked for by more than people expect."""
    return abs(wanted - got) > COARSE
