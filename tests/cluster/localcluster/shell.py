"""Running other programs: their output goes to a log, their failure becomes a `StepFailed` that quotes its end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localcluster.progress import StepFailed

_QUOTED_LINES = 4


def run(
    argv: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
) -> None:
    """Run a program, its output appended to `log`. Raises StepFailed with the output's last lines if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        start = sink.tell()
        sink.write(f"$ {' '.join(map(str, argv))}\n".encode())
        sink.flush()
        done = subprocess.run(
            list(map(str, argv)),
            stdout=sink,
            stderr=subprocess.STDOUT,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            check=False,
        )
    if done.returncode:
        with log.open("rb") as written:
            written.seek(start)
            lines = written.read().decode(errors="replace").splitlines()
        raise StepFailed(
            f"`{Path(argv[0]).name}` ended with {done.returncode}: " + " | ".join(lines[-_QUOTED_LINES:]), log
        )


def output(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None) -> str:
    """Run a short program and return what it printed. Raises StepFailed with its standard error if it fails."""
    done = subprocess.run(
        list(map(str, argv)),
        capture_output=True,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if done.returncode:
        raise StepFailed(
            f"`{' '.join(map(str, argv[:3]))}` ended with {done.returncode}: {done.stderr.decode().strip()}"
        )
    return done.stdout.decode()


def wait_until(holds: Callable[[], bool], timeout: float, otherwise: str, log: Path | None = None) -> None:
    """Wait until a condition holds. Raises StepFailed(`otherwise`) after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise StepFailed(f"{otherwise} (waited {timeout:.0f} s)", log)
        time.sleep(0.1)
