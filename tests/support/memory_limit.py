"""A command in a control group of its own, with so much memory and no more, as a container has. Version 1 and 2."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
INTERVAL = 0.05
"""Seconds between two looks at what is taken."""


@dataclass
class Group:
    """One control group of the memory controller."""

    folder: Path
    unified: bool
    """Version 2."""
    peak: int = 0
    """Greatest bytes that cannot be read back from a file, as far as was looked."""
    peaks: dict[str, int] = field(default_factory=dict)
    """The same, by what was being done."""

    @property
    def kills(self) -> int:
        """Processes that were killed for want of memory."""
        events = self.folder / ("memory.events" if self.unified else "memory.oom_control")
        found = dict(line.split() for line in events.read_text().splitlines())
        return int(found["oom_kill"])

    def look(self, doing: str = "") -> int:
        """Return the bytes that cannot be read back from a file now."""
        found = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        now = int(found["anon"] if self.unified else found["total_rss"])
        self.peak = max(self.peak, now)
        self.peaks[doing] = max(self.peaks.get(doing, 0), now)
        return now


@contextlib.contextmanager
def limited(most: int) -> Iterator[Group]:
    """Make a group with at most so many bytes, swap included. Raises OSError where that is not allowed."""
    unified = (ROOT / "cgroup.controllers").is_file()
    folder = (ROOT if unified else ROOT / "memory") / f"modelpress-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        (folder / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(most))
        with contextlib.suppress(OSError):  # the kernel may count no swap
            swap = folder / ("memory.swap.max" if unified else "memory.memsw.limit_in_bytes")
            swap.write_text("0" if unified else str(most))
        yield Group(folder, unified)
    finally:
        while left := (folder / "cgroup.procs").read_text().split():
            for number in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
        folder.rmdir()


def run(command: Sequence[str], group: Group, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command, and all that it starts, inside the group; what it takes is noted beside its last output."""
    inside = ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group.folder / "cgroup.procs"), *command)
    process = subprocess.Popen(inside, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    lines, over = ["start"], threading.Event()

    def watch() -> None:
        while not over.wait(INTERVAL):
            group.look(lines[-1])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        lines.extend(process.stdout)
        _, errors = process.communicate()
    finally:
        over.set()
        watcher.join()
    return subprocess.CompletedProcess(list(command), process.returncode, "".join(lines[1:]), errors)
