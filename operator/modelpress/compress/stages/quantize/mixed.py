"""Which node gets how many bits: the greatest fall of the loss for each bit first. Pure.

Losses of single nodes are added up, as in Dong et al. 2019 (HAWQ-V2, arXiv:1911.03852, section 3.2); here they are
measured at the outputs and not estimated from a Hessian. The order of all upgrades is a path from the fewest bits
everywhere to float everywhere; a budget of bits, or of measured loss, says how far to go on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FLOAT = 32
"""Bits of a weight that stays as it is."""


@dataclass(frozen=True)
class Option:
    """One way to store the weights of a node."""

    bits: int
    """4, 8, or FLOAT."""
    cost: float
    """Bits in the file, for all weights of the node together."""
    loss: float
    """Of the outputs, if only this node is stored so."""


Choice = Mapping[str, Option]


def path(options: Mapping[str, Sequence[Option]]) -> list[tuple[str, Option]]:
    """Return all upgrades, best first. The options of a node are in order of rising cost.

    Of each node only the lower convex hull of (cost, loss) is of use: another option is dearer than a mixture.
    """
    upgrades = []
    for node, choices in options.items():
        hull = _hull(choices)
        for place in range(1, len(hull)):
            before, after = hull[place - 1], hull[place]
            gain = (before.loss - after.loss) / (after.cost - before.cost)
            upgrades.append((gain, node, place, after))
    upgrades.sort(key=lambda item: (-item[0], item[1], item[2]))
    return [(node, option) for _, node, _, option in upgrades]


def _hull(choices: Sequence[Option]) -> list[Option]:
    hull: list[Option] = []
    for option in choices:
        if hull and option.loss >= hull[-1].loss:
            continue
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-2], option):
            hull.pop()
        hull.append(option)
    return hull


def _gain(before: Option, after: Option) -> float:
    return (before.loss - after.loss) / (after.cost - before.cost)


def within_bits(options: Mapping[str, Sequence[Option]], most: float) -> Choice | None:
    """Return a choice of little summed loss whose cost is at most `most` bits in all; None if there is none."""
    chosen = {node: choices[0] for node, choices in options.items()}
    left = most - sum(option.cost for option in chosen.values())
    if left < 0:
        return None
    skipped: set[str] = set()
    for node, option in path(options):
        if node in skipped:
            continue
        more = option.cost - chosen[node].cost
        if more > left:
            skipped.add(node)
            continue
        left -= more
        chosen[node] = option
    return chosen


def within_loss(options: Mapping[str, Sequence[Option]], most: float, measure: Callable[[Choice], float]) -> Choice:
    """Return the first choice on the path whose measured loss is at most `most`, found by halving."""
    upgrades = path(options)

    def after(count: int) -> Choice:
        return {node: choices[0] for node, choices in options.items()} | dict(upgrades[:count])

    low, high = 0, len(upgrades)
    while low < high:
        middle = (low + high) // 2
        if measure(after(middle)) <= most:
            high = middle
        else:
            low = middle + 1
    return after(low)
