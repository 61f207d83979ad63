"""`modelpress compress`, once it is known what is asked for."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode

from . import making, tables, wording
from .asking import Asked
from .estimating import Estimate, estimate
from .making import Made
from .showing import Screen, as_json, screen
from .steps import StepError
from .workspace import workspace


def compress(asked: Asked, out: Path, console: Console, log: str, *, replace: bool, dry_run: bool) -> int:
    """Make the artifact at `out`, or say what that would take; return the exit code. Raises AskedError, StepError."""
    with workspace(out, replace=replace or dry_run) as place:
        shown = screen(log, console)
        try:
            with shown:
                found = (estimate if dry_run else making.make)(asked, place, shown.tell)
        except StepError as error:
            if error.failure.reason in {Reason.CRASHED, Reason.ENTRYPOINT_FAILED}:
                print(wording.tail(place.log), file=sys.stderr)  # noqa: T201 - the traceback is for whoever wrote the code
            raise
    plain = not as_json(log, console)
    if isinstance(found, Estimate):
        return _planned(asked, found, console, shown, plain=plain)
    return _made(asked, found, console, shown, plain=plain)


def _made(asked: Asked, made: Made, console: Console, shown: Screen, *, plain: bool) -> int:
    if plain:
        tables.show(console, asked.name, made)
    shown.say(
        "done",
        out=str(made.out),
        accepted=made.verdict.accepted,
        reason=made.verdict.reason,
        message=made.verdict.message,
        figures=made.report.figures.to_wire(),
        gates=[gate.to_wire() for gate in made.gates],
        warnings=list(made.warnings),
    )
    return ExitCode.DONE if made.verdict.accepted else ExitCode.JUDGED


def _planned(asked: Asked, found: Estimate, console: Console, shown: Screen, *, plain: bool) -> int:
    short = found.disk > found.free_disk + found.disk // 2
    if plain:
        console.print(tables.plan_table(asked.name, found))
        console.print("Estimates, to within a factor of two; nothing was written.")
        if short:
            console.print(f"[yellow]! Only {tables.size(found.free_disk)} of disk are free.[/yellow]")
    shown.say(
        "plan",
        stages=[{"name": stage.name, "worksOn": stage.works_on, "seconds": stage.seconds} for stage in found.stages],
        seconds=found.seconds,
        memoryBytes=found.memory,
        diskBytes=found.disk,
        freeDiskBytes=found.free_disk,
    )
    return ExitCode.DONE
