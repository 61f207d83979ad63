"""What a Prometheus says of the candidate: queries of the spec, asked again and again while a step lasts. Pure.

A figure out of its bounds fails the step when it was so READINGS times in a row: one reading may fall on a scrape that
has just begun. A query that cannot be asked, or whose answer is no one number, decides nothing, and so passes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelpress.api.analysis import PLACEHOLDERS, AnalysisQuery

from .analysis import Verdict
from .situation import Outcome

READINGS = 2
"""Readings in a row out of bounds that fail a step."""
SHORTEST_WINDOW = 1
"""Seconds of `{{window}}` at least."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one query gave. `window`: the step it was asked for; `query`: as it stands in the spec.

    `values`: the last READINGS figures, the latest last; `error`: why the last reading gave none.
    """

    window: str
    query: str
    values: tuple[float, ...] = ()
    error: str = ""


def place(query: str, values: Mapping[str, str]) -> str:
    """Return `query` with its placeholders filled in, each of PLACEHOLDERS by its value."""
    for name in PLACEHOLDERS:
        query = query.replace("{{" + name + "}}", values[name])
    return query


def answered(before: Answered | None, window: str, query: str, read: float | str) -> Answered:
    """Return what is known after `read`: a figure, or a sentence that says why there is none."""
    values = before.values if before is not None and (before.window, before.query) == (window, query) else ()
    if isinstance(read, str):
        return Answered(window, query, (), read)
    if not math.isfinite(read):
        return Answered(window, query, (), f"it gave {read}, which is no number")
    return Answered(window, query, (*values, read)[-READINGS:])


def judge(queries: Iterable[AnalysisQuery], answers: Mapping[str, Answered], window: str) -> Verdict:
    """Return whether all figures keep within their bounds; the worst of them decides. Without queries, they do."""
    verdicts = [_judged(query, answers.get(query.name), window) for query in queries]
    return worst(*verdicts) if verdicts else Verdict(Outcome.PASSED, "")


def worst(*verdicts: Verdict) -> Verdict:
    """Return the verdict that decides: a failure first, then what is not known yet, then a doubt.

    Verdicts that come to the same are told together.
    """
    order = (Outcome.FAILED, Outcome.UNASKED, Outcome.INCONCLUSIVE, Outcome.PASSED)
    decides = min((verdict.outcome for verdict in verdicts), key=order.index)
    told = (verdict.message for verdict in verdicts if verdict.outcome is decides and verdict.message)
    return Verdict(decides, " ".join(told))


def _judged(query: AnalysisQuery, answer: Answered | None, window: str) -> Verdict:
    name = f"Query {query.name}"
    if answer is None or (answer.window, answer.query) != (window, query.query):
        return Verdict(Outcome.UNASKED, f"{name} has not been asked yet.")
    if answer.error:
        return Verdict(Outcome.INCONCLUSIVE, f"{name} tells nothing: {answer.error}.")
    out = [not _within(query, value) for value in answer.values]
    told = f"{name} is {answer.values[-1]:g}, {_bounds(query)}."
    if not out[-1]:
        return Verdict(Outcome.PASSED, told)
    return Verdict(Outcome.FAILED if len(out) == READINGS and all(out) else Outcome.UNASKED, told)


def _within(query: AnalysisQuery, value: float) -> bool:
    too_low = query.min is not None and value < query.min
    return not too_low and not (query.max is not None and value > query.max)


def _bounds(query: AnalysisQuery) -> str:
    low = f"at least {query.min:g}" if query.min is not None else ""
    high = f"at most {query.max:g}" if query.max is not None else ""
    return " and ".join(part for part in (low, high) if part) + " is asked for"
