"""`compress` and `score`: supervises the process that runs tenants' code, and says how it ended.

The child can fail its own task and nothing else: the termination message and the exit code are this process's, and what
the child says is done is measured by `judge` from the ONNX files alone, and what it scores is read as numbers.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Protocol

from modelpress.api.defaults import with_defaults
from modelpress.api.results import ExitCode, Failure, Progress
from modelpress.api.tasks import TASK_VARIABLE, CompressTask, ScoreTask

from .channel import Lines
from .ending import TRIAL, encode, exit_code, failure_of_exit, scoring_timed_out, timed_out
from .layout import Layout
from .processors import available
from .progress import ProgressServer

CHILD = (sys.executable, "-m", "modelpress.compress.child")
"""What does the work; it is given the descriptor to report on."""
CHUNK = 65536
LAST_SECONDS = 5.0
SUBREAPER = 36
"""prctl: orphans of the child become this process's, so that they can be ended."""


Work = CompressTask | ScoreTask
"""What is done beside tenants' code."""


def main(task: Work, layout: Layout | None = None, command: Sequence[str] = CHILD) -> int:
    """Do the work; return the exit code. The termination message says why not, and is empty after success."""
    layout = layout or Layout()
    layout.scratch.mkdir(parents=True, exist_ok=True)
    (layout.out if isinstance(task, CompressTask) else layout.scores).mkdir(parents=True, exist_ok=True)
    with ProgressServer(layout.port) as server:
        failure = Supervisor(task, layout, server, command).run()
    layout.message.parent.mkdir(parents=True, exist_ok=True)
    layout.message.write_text(encode(failure) if failure else "", encoding="utf-8")
    if failure is None:
        return int(ExitCode.DONE)
    print(f"{failure.reason}: {failure.message}", file=sys.stderr, flush=True)  # noqa: T201 - the container's log
    return int(exit_code(failure.reason))


class Listener(Protocol):
    """Whom progress is told to: `latest` is set with each message."""

    latest: Progress


class Supervisor:
    """Runs a child to its end, or to the end of its time."""

    def __init__(
        self,
        task: Work,
        layout: Layout,
        listener: Listener,
        command: Sequence[str] = CHILD,
        log: IO[Any] | None = None,
    ) -> None:
        self.task = task
        self.command = command
        self.layout = layout
        self.listener = listener
        self.log = log
        """Where the child prints to. None: where this process does."""
        self.lines = Lines()
        self.failure: Failure | None = None
        self.done = False
        self.killed = False
        """Whether the last child was ended by a signal before it said how it went."""
        self.others = children()

    @property
    def doing(self) -> str:
        """What the child said last that it does."""
        return self.listener.latest.stage

    def run(self) -> Failure | None:
        """Return why the child failed, None if it said that it is done.

        A search whose trial ended the child goes on in another one, which knows what was tried: it is begun as often
        as there may be trials.
        """
        if sys.platform == "linux":  # a laptop may be a Mac
            ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
        deadline = time.monotonic() + self.task.timeout_seconds
        failure = self._once(deadline)
        for _ in range(self._trials()):
            if not self.killed or self.doing != TRIAL or time.monotonic() >= deadline:
                break
            failure = self._once(deadline)
        return failure

    def _trials(self) -> int:
        """Return how many recipes may be tried; 0: nothing is searched for."""
        auto = self.task.auto if isinstance(self.task, CompressTask) else None
        return with_defaults(auto).max_trials if auto is not None else 0

    def _once(self, deadline: float) -> Failure | None:
        """Run one child to its end."""
        self.killed = False
        reading, writing = os.pipe()
        child = self._start(writing)
        os.close(writing)
        try:
            in_time = self._listen(reading, deadline)
            code = self._wait(child, deadline) if in_time else None
        finally:
            end(child, self.others)
            os.close(reading)
        if code is None:
            seconds = self.task.timeout_seconds
            compresses = isinstance(self.task, CompressTask)
            return timed_out(seconds, self.doing) if compresses else scoring_timed_out(seconds)
        if self.failure is not None:
            return self.failure
        self.killed = not self.done and code < 0
        return None if self.done else failure_of_exit(code, self.doing)

    def _start(self, writing: int) -> subprocess.Popen[bytes]:
        folders = {name: str(value) for name, value in asdict(self.layout).items() if isinstance(value, Path)}
        document = json.dumps({"task": self.task.to_wire(), "layout": folders})
        threads = str(available())
        environment = {name: value for name, value in os.environ.items() if name != TASK_VARIABLE}
        environment |= {
            "OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS", threads),
            "OMP_WAIT_POLICY": environment.get("OMP_WAIT_POLICY", "PASSIVE"),  # spinning eats a container's quota
            "TMPDIR": str(self.layout.scratch),
            "HOME": str(self.layout.scratch),
        }
        child = subprocess.Popen(
            [*self.command, str(writing)],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            pass_fds=[writing],
            env=environment,
            start_new_session=True,
        )
        if child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended at once; its exit code will be read
                child.stdin.write(document.encode())
                child.stdin.close()
        return child

    def _listen(self, reading: int, deadline: float) -> bool:
        """Take messages until the child says how it ended, or closes the line; False when the time is over."""
        with selectors.DefaultSelector() as selector:
            selector.register(reading, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                if not selector.select(left):
                    continue
                chunk = os.read(reading, CHUNK)
                if not chunk:
                    return True
                for message in self.lines.feed(chunk):
                    if message.progress is not None:
                        self.listener.latest = message.progress
                    self.failure = self.failure or message.failure
                    self.done = self.done or message.done is True
                if self.failure is not None or self.done:
                    return True
        return False

    def _wait(self, child: subprocess.Popen[bytes], deadline: float) -> int | None:
        """Return the exit code, None when the time is over. After its last word it has a few seconds to end."""
        said = self.done or self.failure is not None
        try:
            return child.wait(LAST_SECONDS if said else max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return 0 if said else None


def end(child: subprocess.Popen[bytes], others: set[int]) -> None:
    """Kill the child's session and whatever it left to this process, and wait for them. `others` are not its."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for orphan in children() - others - {child.pid}:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, 0)


def children() -> set[int]:
    """Return the children of this process, adopted ones included."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(number) for number in listed.read_text().split()} if listed.is_file() else set()
