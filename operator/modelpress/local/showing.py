"""Progress, per stage with the time left: bars where a person watches, lines of JSON where a program reads."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from modelpress.api.results import Progress

PAUSE_SECONDS = 2.0
"""Least time between two lines of one stage."""
WORDS = {
    "resolve": "look up",
    "fetch": "bring in",
    "load": "load",
    "judge": "measure",
    "publish": "write",
    "look": "measure sensitivities",
}
"""What a person reads for steps that are no stages."""
EXPORT = "export"


class Screen(AbstractContextManager["Screen"]):
    """Takes progress and says it to somebody."""

    def tell(self, progress: Progress) -> None:
        """Take one message."""

    def say(self, event: str, **fields: Any) -> None:
        """Say something that a program should know; a person sees it elsewhere."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say nothing more."""


class Terminal(Screen):
    """A bar for each stage."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
            console=console,
        )
        self._name = ""
        self._current: TaskID | None = None

    def __enter__(self) -> Terminal:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        self._bars.stop()

    def tell(self, progress: Progress) -> None:
        """Move the stage's bar; a new stage ends the one before."""
        name = title(progress)
        if name != self._name:
            self._finish()
            self._name = name
            self._current = self._bars.add_task(name, total=None, detail="")
        assert self._current is not None
        detail = "" if progress.stage == EXPORT else progress.detail
        total = 1.0 if progress.fraction else None
        self._bars.update(self._current, completed=progress.fraction, total=total, detail=detail)

    def _finish(self) -> None:
        if self._current is not None:
            self._bars.update(self._current, total=1.0, completed=1.0, detail="")
            self._current = None


class Lines(Screen):
    """A line of JSON for each stage, and every few seconds within one."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._name = ""
        self._began = self._said = 0.0

    def tell(self, progress: Progress) -> None:
        """Write a line if the stage is new or some time went by."""
        now, name = self._clock(), title(progress)
        if name != self._name:
            self._name, self._began = name, now
        elif now - self._said < PAUSE_SECONDS:
            return
        self._said = now
        left = seconds_left(now - self._began, progress.fraction)
        self.say("progress", **progress.to_wire(), **({} if left is None else {"secondsLeft": round(left, 1)}))

    def say(self, event: str, **fields: Any) -> None:
        """Write a line."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        self._stream.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        self._stream.flush()


def as_json(log: str, console: Console) -> bool:
    """Return whether lines of JSON are wanted: `log` is text, json, or auto (where standard output is no terminal)."""
    return log == "json" or (log == "auto" and not console.is_terminal)


def screen(log: str, console: Console) -> Screen:
    """Return who is told."""
    return Lines() if as_json(log, console) else Terminal(console)


def title(progress: Progress) -> str:
    """Return what a person reads for a stage: `2/4 finetune`, `export original`."""
    if progress.stage == EXPORT:
        return f"export {progress.detail}".rstrip()
    if progress.stage in WORDS:
        return WORDS[progress.stage]
    return f"{progress.position}/{progress.of} {progress.stage}" if progress.position else progress.stage


def seconds_left(elapsed: float, fraction: float) -> float | None:
    """Return how long a stage still takes if it goes on as it went; None: it has not said how far it is."""
    return elapsed / fraction * (1 - fraction) if 0 < fraction <= 1 else None
