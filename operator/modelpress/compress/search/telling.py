"""What is said of a search: its trials, the front, and why one of them was chosen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelpress.api.auto import AutoObjective
from modelpress.api.readable import figure
from modelpress.api.stages import Stage
from modelpress.store.search import Trial

from .front import Point, choose, pareto
from .measuring import loss_of
from .records import Record


class Named(Protocol):
    """A recipe that can be carried out."""

    @property
    def name(self) -> str:
        """In a few words."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its steps."""


@dataclass(frozen=True)
class Entry:
    """One recipe that was tried; the first is the model as it came."""

    name: str
    stages: tuple[Stage, ...]
    record: Record
    point: Point | None
    """None: it came to nothing."""


def chosen(entries: Sequence[Entry], objective: AutoObjective) -> int:
    """Return the place of the best entry."""
    measured = [(place, entry.point) for place, entry in enumerate(entries) if entry.point is not None]
    return measured[choose([point for _, point in measured], objective)][0]


def trials(entries: Sequence[Entry]) -> tuple[Trial, ...]:
    """Return every entry as the report has it."""
    points = [entry.point for entry in entries if entry.point is not None]
    front = iter(pareto(points))
    return tuple(
        _trial(number, entry, front=entry.point is not None and next(front)) for number, entry in enumerate(entries)
    )


def reason(entries: Sequence[Entry], place: int, objective: AutoObjective) -> str:
    """Return why the entry at that place was chosen, as a sentence."""
    entry, tried = entries[place], len(entries) - 1
    assert entry.point is not None, "what is chosen was measured"
    of = f"of {tried} trial{'s' if tried != 1 else ''} and the model as it came"
    passing = sum(other.point is not None and not other.point.failing for other in entries)
    if entry.point.promising:
        return _promise(entry.point, of, "time" if objective is AutoObjective.LATENCY else "bytes")
    if entry.point.failing:
        failing = ", ".join(sorted(entry.point.failing))
        return f"None {of} passed the gates on this data: this one fails the fewest ({failing}) and loses the least."
    least = "the fastest" if objective is AutoObjective.LATENCY else "the smallest"
    among = f"the {passing} that passed the gates" if passing > 1 else "the only one that passed the gates"
    word = f"{least} among {among}" if passing > 1 else among
    figures = f"{entry.point.bytes:,} bytes, a loss of at most {figure(entry.point.loss)}, {1 / entry.point.time:.2f}x"
    return f"It is {word}, {of}: {figures} the speed, on this data."


def _promise(point: Point, of: str, saved: str) -> str:
    chance = f"{point.chance:.0%}".replace("%", " %")
    return (
        f"No change {of} was sure to pass the gates: this data cannot decide {', '.join(sorted(point.failing))}. "
        f"Of those that keep them by estimate this one saves the most {saved}, weighed by the chance to pass: {chance}."
    )


def _trial(number: int, entry: Entry, *, front: bool) -> Trial:
    record, point = entry.record, entry.point
    common = Trial(
        number=number,
        name=entry.name,
        stages=tuple(stage.to_wire() for stage in entry.stages),
        seconds=round(record.seconds, 3),
        front=front,
        failure=record.failure,
    )
    if point is None or record.figures is None:
        return common
    return common.model_copy(
        update={
            "figures": record.figures,
            "loss": loss_of(record.figures.metrics[0]),
            "loss_bound": point.loss,
            "speedup": record.speedup,
            "speedup_low": record.speedup_low,
            "speedup_high": record.speedup_high,
            "failing": tuple(sorted(point.failing)),
            "undecided": tuple(sorted(point.failing & point.undecided)),
            "chance": round(point.chance, 3) if point.failing & point.undecided else None,
        }
    )
