"""How the candidate of a canary gets its share of requests, and how many pods it needs for that.

By replicas: every pod behind one Service gets the same share of new connections, so the weight is a number of pods. By
a Gateway: the weight is the Gateway's business, and pods are as many as that much of the load needs.
"""

from __future__ import annotations

import math

from .situation import Decision, Routing, Situation

COARSE = 5
"""Percentage points by which the weight that is reached may differ from the one that is asked for, unsaid."""


def candidate_pods(full: int, weight: int, routing: Routing = Routing.REPLICAS) -> int:
    """Return how many pods the candidate has at `weight` percent, beside `full` stable ones: at least 1.

    By replicas as many as come closest to the weight, `full`·w/(100-w), and at most `full`, which is half of all. By a
    Gateway as many of a full set as serve that part of all requests, `full`·w/100, rounded up.
    """
    if routing is Routing.GATEWAY:
        return max(1, math.ceil(full * weight / 100))
    return min(full, max(1, math.floor(full * weight / (100 - weight) + 0.5)))


def share(situation: Situation, decision: Decision) -> int | None:
    """Return the percentage that routes at a Gateway are to give the candidate; None: it is not let in.

    Where the decision leaves it as it is and there is none yet, as when replicas made its share until now, it is that
    of the first step.
    """
    if decision.beside is None:
        return None
    known = decision.weight if decision.weight is not None else situation.traffic.weight
    return known if known is not None else situation.steps[0].weight


def reached(pods: int, full: int) -> int:
    """Return the percentage that `pods` beside `full` stable ones get."""
    return round(100 * pods / (pods + full)) if pods + full else 0


def is_coarse(wanted: int, got: int) -> bool:
    """Say whether the weight differs from the one that was asked for by more than people expect."""
    return abs(wanted - got) > COARSE
