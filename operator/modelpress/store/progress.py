"""How far a transfer is: a bar where a person watches, a JSON line every few seconds where a log does."""

from __future__ import annotations

import json
import sys
import threading
import time
from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

PAUSE_SECONDS = 5.0
"""Least time between two lines of a log."""


class Transfer:
    """Counts bytes of one transfer; a context manager; may be told from several threads."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._next_line = time.monotonic() + PAUSE_SECONDS
        self._lock = threading.Lock()
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(*columns) if sys.stdout.isatty() else None
        self._task = self._bar.add_task(what, total=total) if self._bar else None

    def __enter__(self) -> Transfer:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """Count `count` more bytes."""
        with self._lock:
            self._done += count
            if self._bar and self._task is not None:
                self._bar.update(self._task, completed=self._done)
            elif time.monotonic() >= self._next_line:
                self._next_line = time.monotonic() + PAUSE_SECONDS
                line = {"event": "transfer", "what": self._what, "bytes": self._done, "of": self._total}
                sys.stdout.write(json.dumps(line) + "\n")
                sys.stdout.flush()
