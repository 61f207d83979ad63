"""Queries, keys and values of an attention, and the rows that they are before they are split into heads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any

from .layouts import HEADS, INNER, OUTER, UNKNOWN, WHOLE, WIDTH, Axis, Layout
from .values import Values, permutation

ORDERING = ("Reshape", "Transpose", "Squeeze", "Unsqueeze")
"""Operators that only order numbers anew."""
BATCHES: Mapping[Axis, str] = MappingProxyType({(OUTER,): INNER, (INNER,): OUTER})
"""Which axis of rows is the batch, by the one that is the sequence."""
ROWS = 3
"""Axes of rows: batch and sequence in either order, heads x width."""


class OtherFormError(Exception):
    """An attention cannot be computed by one operator: says why."""


@dataclass(frozen=True)
class Operand:
    """Queries, keys or values."""

    rows: str
    first: str
    """What is first made of the rows; empty: they are taken as they are."""
    layout: Layout
    """[batch, heads, sequence, width], or the first two as one axis."""
    scale: float

    @property
    def batch(self) -> str:
        """Which axis of the rows is the batch."""
        return BATCHES[self.layout.axes[-2]]

    @property
    def heads(self) -> int:
        """How many there are."""
        return int(self.layout.lengths.get(HEADS, 1))

    @property
    def width(self) -> int | None:
        """How wide all heads are together, None if that is not known."""
        lengths = self.layout.lengths
        width = lengths.get(WIDTH, lengths[WHOLE])
        return self.heads * width if isinstance(width, int) and width else None


class Operands(Values):
    """Finds the rows that are split into heads."""

    def operands(self, queries: str, keys: str, values: str) -> tuple[Operand, ...]:
        """Return queries, keys and values in one order. Raises OtherFormError."""
        found = {
            "queries": list(self._read(queries, scalable=True)),
            "keys": list(self._read(keys, scalable=True, swapped=True)),
            "values": list(self._read(values, scalable=False)),
        }
        for (name, items), value in zip(found.items(), (queries, keys, values), strict=True):
            if not items:
                source = self._path(value, scalable=name != "values")[0][0]
                raise OtherFormError(f"its {name} are {self._kind(source)}, not just rows that are split into heads")
        for chosen in product(*found.values()):
            if _together(chosen):
                return chosen
        if len({items[0].heads for items in found.values()}) > 1:
            raise OtherFormError("its queries have other heads than its keys and values")
        raise OtherFormError("its queries are not of the same batch as its keys and values, or in another order")

    def behind(self, layout: Layout, node: Any) -> Layout | None:
        """Return the layout of what a node makes that orders numbers anew, None if it cannot be told."""
        if node.op_type == "Transpose":
            return layout.transposed(permutation(node))
        return layout.reshaped(self.lengths(node.output[0]))

    def _read(self, value: str, *, scalable: bool, swapped: bool = False) -> Iterator[Operand]:
        """Yield what rows a value could be, those first that lie furthest away; `swapped`: its last axes are."""
        path = self._path(value, scalable=scalable)
        for position, (rows, scale) in enumerate(path):
            layout = self._followed(rows, [made for made, _ in path[position + 1 :]])
            if layout is not None and swapped:
                layout = layout.transposed([*range(len(layout.axes) - 2), len(layout.axes) - 1, len(layout.axes) - 2])
            if layout is not None and _split(layout):
                yield Operand(rows, path[position + 1][0] if position + 1 < len(path) else "", layout, scale)

    def _path(self, value: str, *, scalable: bool) -> list[tuple[str, float]]:
        """Return a value and what it was before numbers were ordered or scaled, first things first.

        Beside each stands by what it is scaled on its way.
        """
        path = [(value, 1.0)]
        while (node := self.makers.get(path[0][0])) is not None:
            before, scale = self.scaled(path[0][0]) if scalable else (path[0][0], 1.0)
            before = str(node.input[0]) if node.op_type in ORDERING else before
            if before == path[0][0]:
                break
            path.insert(0, (before, scale * path[0][1]))
        return path

    def _kind(self, value: str) -> str:
        """Return what a value is, for sentences."""
        if value in self.makers:
            return f"what {self.makers[value].op_type} makes"
        return "a constant" if value in self.tensors else "an input"

    def _followed(self, rows: str, path: Sequence[str]) -> Layout | None:
        """Return the layout at the end of a path that starts at rows, None if it cannot be told."""
        lengths = self.lengths(rows)
        layout = Layout.of_rows(lengths) if len(lengths) == ROWS else None
        for made in path:
            node = self.makers[made]
            if layout is not None and node.op_type in ORDERING:
                layout = self.behind(layout, node)
        return layout


def _split(layout: Layout) -> bool:
    """Whether its axes are batch, heads, sequence and width, the first two of them perhaps as one."""
    *outer, sequence, width = layout.axes if len(layout.axes) > 2 else ((), (), ())
    batch = BATCHES.get(sequence)
    before = (batch, HEADS) if width == (WIDTH,) else (batch,) if width == (WHOLE,) else None
    return batch is not None and tuple(part for axis in outer for part in axis) == before


def _together(operands: Sequence[Operand]) -> bool:
    """Whether they have the same heads and the same batch, none of them broadcast."""
    batches = {item.layout.lengths[item.batch] for item in operands}
    return len({(item.heads, item.layout.axes[:-2]) for item in operands}) == 1 and (
        len(batches) == 1 or (UNKNOWN in batches and len(batches) == 2 and 1 not in batches)
    )
