"""An earlier search for the same source, data and metrics, of which only the gates were others.

What it tried was measured, and gates only judge figures: so the recipe is chosen anew among its trials. Its report lies
where the Job's first container put it. Written beside tenants' code, it is believed as much as a search of one's own:
what is chosen is carried out and measured again here, and judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from modelpress.api.auto import AutoObjective
from modelpress.api.stages import Stage
from modelpress.store.report import Report
from modelpress.store.search import Search, Trial

from .measuring import Measured, Measuring
from .records import Record
from .telling import Entry, chosen


def read(path: Path, environment: Mapping[str, str]) -> Search | None:
    """Return the search of the report at `path`, None if there is none or it was measured elsewhere.

    `environment`: what is measured on here; latencies of another processor or version say nothing.
    """
    try:
        report = Report.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return report.search if report.environment == environment else None


def entries(search: Search, measuring: Measuring) -> list[Entry] | None:
    """Return its trials, judged by the gates of today; None if they are not what this version would make of them."""
    try:
        return [_entry(trial, measuring) for trial in search.trials]
    except (ValidationError, ValueError, IndexError):
        return None


def choose(
    entries: list[Entry], objective: AutoObjective, carry_out: Callable[[Entry], Entry | None]
) -> tuple[int, int] | None:
    """Return the place of the best entry, carried out again, and how many were; None if none passes the gates.

    A gate that this data cannot decide even of the original, which is the first entry, no other search could pass.
    What is carried out takes the place of what it was, measured anew: so another may be best then. None is carried out
    twice. None is also returned if `carry_out` gives up.
    """
    made: set[int] = set()
    while True:
        place = chosen(entries, objective)
        best, original = entries[place].point, entries[0].point
        if best is None or original is None or not best.failing <= best.undecided & original.undecided:
            return None
        if place in made or not entries[place].stages:
            return place, len(made)
        again = carry_out(entries[place])
        if again is None:
            return None
        made.add(place)
        entries[place] = again


def _entry(trial: Trial, measuring: Measuring) -> Entry:
    stages = tuple(Stage.model_validate(stage) for stage in trial.stages)
    record = Record(
        seconds=trial.seconds,
        figures=trial.figures,
        speedup=trial.speedup or 1.0,
        speedup_low=trial.speedup_low or 1.0,
        speedup_high=trial.speedup_high or 1.0,
        failure=trial.failure,
    )
    if trial.figures is None:
        return Entry(trial.name, stages, record, None)
    if [figure.name for figure in trial.figures.metrics] != [metric.name for metric in measuring.metrics]:
        raise ValueError("other metrics")
    measured = Measured(trial.figures, record.speedup, record.speedup_low, record.speedup_high)
    judged = measuring.point if stages else measuring.untouched
    return Entry(trial.name, stages, record, judged(measured))
