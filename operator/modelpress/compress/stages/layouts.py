"""Where the axes of rows lie in what is made of them by reshaping and transposing alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OUTER, INNER, WHOLE = "outer", "inner", "whole"
"""The axes of rows: two over which they are counted, batch and sequence in either order, and their numbers."""
HEADS, WIDTH = "heads", "width"
"""What `WHOLE` becomes where it is split."""
UNKNOWN = 0
"""Length of an axis that nothing is known of."""

Length = int | str
"""Of an axis: a number, or the name of one."""
Axis = tuple[str, ...]
"""What an axis consists of, outermost first; nothing at all where it has length one."""


@dataclass(frozen=True)
class Layout:
    """What each axis of a value consists of, which holds the numbers of rows in some order."""

    axes: tuple[Axis, ...]
    lengths: Mapping[str, Length]

    @classmethod
    def of_rows(cls, lengths: Sequence[Length]) -> Layout:
        """Return the layout of rows themselves, three axes."""
        names = (OUTER, INNER, WHOLE)
        return cls(tuple((name,) for name in names), dict(zip(names, lengths, strict=True)))

    @property
    def parts(self) -> Axis:
        """What all axes consist of, outermost first."""
        return tuple(part for axis in self.axes for part in axis)

    def transposed(self, order: Sequence[int]) -> Layout | None:
        """Return the layout behind a transposition."""
        if sorted(order) != list(range(len(self.axes))):
            return None
        return Layout(tuple(self.axes[index] for index in order), self.lengths)

    def reshaped(self, lengths: Sequence[Length]) -> Layout | None:
        """Return the layout with axes of other lengths, None if it cannot be told.

        Parts go to axes from either end, as long as lengths are known to be the same; what is left in between is one
        axis, or as many as there are parts, none of which is known to be of another length.
        """
        known = dict(self.lengths)
        first, wanted, parts = _matched(lengths, self.parts, known, (HEADS, WIDTH))
        last, wanted, parts = _matched(wanted[::-1], parts[::-1], known, (WIDTH, HEADS))
        rest, parts = wanted[::-1], parts[::-1]
        middle: list[Axis] = [parts]
        if len(rest) != 1:
            if len(rest) != len(parts):
                return None
            for part, length in zip(parts, rest, strict=True):
                if UNKNOWN not in (known[part], length):
                    return None
                known[part] = known[part] or length
            middle = [(part,) for part in parts]
        return Layout((*first, *middle, *(axis[::-1] for axis in reversed(last))), known)


def _matched(
    lengths: Sequence[Length], parts: Axis, known: dict[str, Length], halves: tuple[str, str]
) -> tuple[list[Axis], Sequence[Length], Axis]:
    """Return the axes whose parts are sure, from the first on, and the lengths and parts that are left.

    `halves`: what `WHOLE` is split into, the nearer one first; `known` is told their lengths.
    """
    found: list[Axis] = []
    for position, length in enumerate(lengths):
        taken = _taken(length, parts, known, halves)
        if taken is None:
            return found, lengths[position:], parts
        axis, parts = taken
        found.append(axis)
    return found, (), parts


def _taken(length: Length, parts: Axis, known: dict[str, Length], halves: tuple[str, str]) -> tuple[Axis, Axis] | None:
    """Return the first parts, which together have that length, and those that are left; None if none have."""
    if isinstance(length, str) or length == UNKNOWN:
        same = length != UNKNOWN and bool(parts) and known[parts[0]] == length
        return (parts[:1], parts[1:]) if same else None
    axis: Axis = ()
    while length > 1 or (not axis and parts and known[parts[0]] == 1):
        one = known[parts[0]] if parts else UNKNOWN
        if isinstance(one, str) or one == UNKNOWN:
            return None
        if length % one == 0:
            axis, parts, length = (*axis, parts[0]), parts[1:], length // one
        elif parts[0] == WHOLE and one % length == 0:
            known.update(zip(halves, (length, one // length), strict=True))
            return (*axis, halves[0]), (halves[1], *parts[1:])
        else:
            return None
    return axis, parts
