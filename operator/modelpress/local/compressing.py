"""`modelpress compress`, once it is known what is asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode

from . import caching, making, tables, wording
from .asked_error import AskedError
from .asking import Asked
from .making import Made
from .showing import Screen, as_json, screen
from .steps import StepError
from .workspace import Workspace, workspace


def compress(asked: Asked, out: Path, console: Console, log: str, *, replace: bool, cache: Path | None = None) -> int:
    """Make the artifact at `out` and show what it brought; return the exit code. Raises AskedError, StepError.

    `cache`: what earlier runs left for this one, and this one leaves for later ones; None: nothing.
    """
    refuse_inside(asked, out)
    try:
        with workspace(out, replace=replace, cache=cache) as place, screen(log, console) as shown, _tail_of(place):
            made = making.make(asked, place, shown.tell)
    finally:
        if cache is not None:
            caching.trim(cache)
    return told(asked.name, made, console, shown, plain=not as_json(log, console))


def plan(asked: Asked, out: Path, console: Console, log: str) -> int:
    """Show what a compression to `out` would take; return the exit code. Raises AskedError, Judged, StepError."""
    from .estimating import estimate  # noqa: PLC0415 - torch takes seconds

    refuse_inside(asked, out)
    with workspace(out, replace=True) as place, screen(log, console) as shown, _tail_of(place):
        found = estimate(asked, place, shown.tell)
    if not as_json(log, console):
        console.print(tables.plan_table(asked.name, found))
        console.print("Rough estimates; nothing was written.")
        if found.disk > found.free_disk:
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


def refuse_inside(asked: Asked, out: Path) -> None:
    """Raise AskedError if the artifact would appear inside of a source or teacher, which would then be another one."""
    for read in (asked.spec.source, *asked.spec.compression.taught_by().values()):
        folder = read.uri.removeprefix("file://")
        if out.resolve().is_relative_to(folder) and Path(folder).is_dir():
            raise AskedError(f"--out {out} lies inside of the source {folder}: name a folder beside it.")


def told(name: str, made: Made, console: Console, shown: Screen, *, plain: bool) -> int:
    """Show what was measured to whoever watches, and return the exit code that it amounts to."""
    if plain:
        tables.show(console, name, made)
    shown.say(
        "done",
        out=str(made.out) if made.out else None,
        accepted=made.verdict.accepted,
        reason=made.verdict.reason,
        message=made.verdict.message,
        figures=made.report.figures.to_wire(),
        gates=[gate.to_wire() for gate in made.gates],
        warnings=list(made.warnings),
        **({} if made.report.search is None else {"search": made.report.search.to_wire()}),
        **({} if made.rung is None else {"rung": made.rung, "refused": list(made.refused)}),
    )
    return ExitCode.DONE if made.verdict.accepted else ExitCode.JUDGED


@contextmanager
def _tail_of(place: Workspace) -> Iterator[None]:
    """Print the end of the steps' log if code of ours or of the source's crashed: the traceback is in it."""
    try:
        yield
    except StepError as error:
        if error.failure.reason in {Reason.CRASHED, Reason.ENTRYPOINT_FAILED}:
            print(wording.tail(place.log), file=sys.stderr)  # noqa: T201
        raise
