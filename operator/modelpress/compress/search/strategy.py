"""What is tried next, by what was found so far. Pure: a generator that is told each outcome before it names the next.

Given the same outcomes it names the same recipes, so that a search that was killed goes on by being told again.

First the stores, on the model as it came: they cost seconds, and what they do to latency on this machine nobody knows
beforehand. Weights alone are tried from the mildest, then the boldest, then what lies between. Then the shapes of each
kind with the store that did best, by halving: bolder after a recipe whose quality passed, milder after one that lost
too much. Then the boldest shape that passed with the other stores, and the next bolder one without any. At last
the stores that were left out, and other shapes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence

from modelpress.api.auto import AutoObjective
from modelpress.api.evaluation import LATENCY_METRIC, SIZE_METRIC

from .front import Point
from .parts import NOTHING, Part
from .space import Candidate, Space

Steps = Generator[Candidate, Point | None, None]
"""Yields a recipe, and is sent what it came to; None: to nothing."""
Found = dict[str, Point | None]
"""What each recipe came to, by its name."""

GIVEN_UP = 2
"""Recipes of one shape that lost too much, after which no other store is tried with it."""


def strategy(space: Space, objective: AutoObjective, untouched: Point, trials: int) -> Steps:
    """Yield recipes, the most promising first, each once. `untouched`: the model as it came, which needs no trial."""
    walk = _Walk(objective, untouched, room=trials // 2 if space.shapes else trials)
    base = space.untouched
    for store in space.integers:
        yield from walk.attempt(base.stored(store))
    yield from walk.from_ends([base.stored(store) for store in space.weights])
    walk.room = trials
    if base.stages and objective is AutoObjective.LATENCY:  # folded normalization is no smaller
        yield from walk.attempt(base)
    for kind in space.shapes:
        store = walk.best([NOTHING, *space.integers, *space.weights], base.stored)
        boldest = yield from walk.halve([base.stored(store).shaped(shape) for shape in kind])
        if boldest is None:
            continue
        others = walk.ranked([NOTHING, *space.integers, *space.weights], base.stored)
        for other in others[:3]:
            yield from walk.attempt(boldest.stored(other))
        place = kind.index(boldest.shape)
        if place + 1 < len(kind):
            yield from walk.attempt(base.shaped(kind[place + 1]))
    for store in space.weights:  # they cost seconds, and the order of their bits is not always that of their bytes
        yield from walk.attempt(base.stored(store))
    for kind in space.shapes:
        for shape in kind:
            yield from walk.stores(base.shaped(shape), [*space.integers, *space.weights])


class _Walk:
    """Remembers what was tried."""

    def __init__(self, objective: AutoObjective, untouched: Point, room: int) -> None:
        self.objective = objective
        self.untouched = untouched
        self.room = room
        """How many recipes may be tried so far."""
        self.found: Found = {}
        self.lost = Counter[str]()
        """How many recipes of each shape came to nothing, or lost too much."""

    def attempt(self, candidate: Candidate) -> Generator[Candidate, Point | None, Point | None]:
        """Try a recipe unless it was tried; return what it came to, None if there is no room for it."""
        if candidate.name not in self.found:
            if len(self.found) >= self.room:
                return None
            self.found[candidate.name] = yield candidate
            if not self._good(self.found[candidate.name]):
                self.lost[candidate.shape.name] += 1
        return self.found[candidate.name]

    def stores(self, shaped: Candidate, stores: Sequence[Part]) -> Steps:
        """Try a shape with every store, until it has lost too much with some of them: it will with others."""
        for store in stores:
            if self.lost[shaped.shape.name] >= GIVEN_UP:
                return
            yield from self.attempt(shaped.stored(store))

    def from_ends(self, ladder: Sequence[Candidate]) -> Steps:
        """Try the mildest, the boldest, and, if quality is lost between them, halve what lies between."""
        if not ladder:
            return
        mildest = yield from self.attempt(ladder[0])
        if not self._good(mildest):
            return
        boldest = yield from self.attempt(ladder[-1])
        if not self._good(boldest):
            yield from self.halve(ladder[1:-1])

    def halve(self, ladder: Sequence[Candidate]) -> Generator[Candidate, Point | None, Candidate | None]:
        """Find the boldest recipe of the ladder, mildest first, whose quality passes; None if none does."""
        low, high, best = 0, len(ladder), None
        while low < high:
            middle = (low + high) // 2
            point = yield from self.attempt(ladder[middle])
            if self._good(point):
                low, best = middle + 1, ladder[middle]
            else:
                high = middle
        return best

    def best(self, stores: Sequence[Part], recipe: Callable[[Part], Candidate]) -> Part:
        """Return the store that did best."""
        return self.ranked(stores, recipe)[0]

    def ranked(self, stores: Sequence[Part], recipe: Callable[[Part], Candidate]) -> list[Part]:
        """Return the stores that kept quality, best by the objective first; those that miss the other gate last."""
        other = LATENCY_METRIC if self.objective is AutoObjective.SIZE else SIZE_METRIC
        known = [(store, self._point(store, recipe)) for store in stores]
        good = [(store, point) for store, point in known if point is not None and self._good(point)]
        good.sort(key=lambda item: (other in item[1].failing, item[1].score(self.objective)))
        return [store for store, _ in good] or [NOTHING]

    def _good(self, point: Point | None) -> bool:
        """Say whether a recipe came to something whose quality passed."""
        return point is not None and point.good(self.untouched)

    def _point(self, store: Part, recipe: Callable[[Part], Candidate]) -> Point | None:
        return self.found.get(recipe(store).name, self.untouched if store == NOTHING else None)
