"""What a person sees while a step runs, and how a failed one is told: which step, why, and where its log is."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_HEARTBEAT_SECONDS = 30.0
_print_lock = threading.Lock()


class StepFailed(Exception):  # noqa: N818 (an outcome that is told, not an error in the code)
    """A step of the set-up failed; the message is for a person."""

    def __init__(self, reason: str, log: Path | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.log = log


def say(line: str) -> None:
    """Print one line at once, whole even when two steps run side by side."""
    with _print_lock:
        print(line, flush=True)


@contextlib.contextmanager
def step(title: str, log: Path | None = None) -> Iterator[None]:
    """Announce a step, say every half minute that it still runs, and how long it took."""
    started = time.monotonic()
    finished = threading.Event()

    def beat() -> None:
        while not finished.wait(_HEARTBEAT_SECONDS):
            say(f"  … {title}: {time.monotonic() - started:.0f} s" + (f"  (log: {log})" if log else ""))

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    except StepFailed as failure:
        raise StepFailed(f"{title}: {failure.reason}", failure.log or log) from failure
    finally:
        finished.set()
    say(f"  ✓ {title}: {time.monotonic() - started:.1f} s")


def report(failure: StepFailed) -> int:
    """Tell a failed step on standard error and return the exit status for it."""
    print(
        f"\n  ✗ {failure.reason}" + (f"\n    its log: {failure.log}" if failure.log else ""),
        file=sys.stderr,
        flush=True,
    )
    return 1
