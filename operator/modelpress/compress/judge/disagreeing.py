"""How often a server answers otherwise than another one, sample by sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from modelpress.api.reasons import Reason
from modelpress.api.tasks import Comparison
from modelpress.api.verification import Compare, DisagreementFigure

from ..datasets import Samples
from ..errors import Judged
from . import agreement
from .answers import ask
from .classes import middle
from .served import Served

Arrays = dict[str, NDArray[Any]]

KINDS: Mapping[Compare, str] = MappingProxyType(
    {
        Compare.ARGMAX: "argmax",
        Compare.COSINE: "cosine",
        Compare.ALLCLOSE: "allclose",
        Compare.EXACT_MATCH: "exact",
    }
)
"""Names of the same kinds of sameness in `agreement`."""


@dataclass
class Disagreeing:
    """Counts the samples on which another server answers otherwise."""

    stable: Served
    samples: Samples
    asked: Comparison
    output: str
    compared: int = 0
    different: int = 0
    unanswered: int = 0
    _single: list[tuple[NDArray[Any], NDArray[Any]]] = field(default_factory=list)
    """Single scores of both, batch by batch."""

    def add(self, rows: slice, answers: Arrays) -> None:
        """Ask the other server for samples `rows` too, and count where it differs from `answers`."""
        for start in range(rows.start, rows.stop, self.stable.most):
            part = slice(start, min(start + self.stable.most, rows.stop))
            self._compare(part, answers[self.output][part.start - rows.start : part.stop - rows.start])

    def _compare(self, rows: slice, ours: NDArray[Any]) -> None:
        """Count the samples `rows`; what the other server cannot answer, not even by itself, is left out."""
        try:
            theirs = ask(self.stable, self.samples.inputs, rows)
        except Judged as error:
            if error.reason is Reason.SERVER_UNAVAILABLE:
                raise
            if len(ours) == 1:
                self.unanswered += 1
                return
            for place in range(len(ours)):
                row = rows.start + place
                self._compare(slice(row, row + 1), ours[place : place + 1])
            return
        arguments = {"kind": KINDS[self.asked.compare], "at_least": self.asked.at_least}
        if agreement.are_single(ours, arguments) and ours.shape == theirs[self.output].shape:
            self._single.append((theirs[self.output], ours))
        else:
            self._count(agreement.same(theirs[self.output], ours, arguments))

    def _count(self, same: NDArray[Any]) -> None:
        self.compared += len(same)
        self.different += int((same < 0.5).sum())

    def figure(self) -> DisagreementFigure:
        """Return what was counted; what divides single scores is known only now."""
        half = middle(theirs for theirs, _ in self._single)
        for theirs, ours in self._single:
            self._count(agreement.same(theirs, ours, {}, half))
        self._single.clear()
        return DisagreementFigure(
            stable=self.asked.revision,
            compare=self.asked.compare,
            samples=self.compared,
            different=self.different,
            unanswered=self.unanswered,
        )
