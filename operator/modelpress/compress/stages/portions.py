"""Items cut into portions whose needs together fit a budget. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def portions(items: Iterable[Item], need: Callable[[Item], int], budget: int) -> Iterator[list[Item]]:
    """Yield the items in order, as many at a time as the budget allows; one that needs more comes alone."""
    portion: list[Item] = []
    held = 0
    for item in items:
        if portion and held + need(item) > budget:
            yield portion
            portion, held = [], 0
        portion.append(item)
        held += need(item)
    if portion:
        yield portion
