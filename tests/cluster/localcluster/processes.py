"""Detached processes: in a session of their own, known by pid and start time, so that a reused pid fools nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from localcluster.paths import LOGS, RUN


def pid_file(name: str, run: Path = RUN) -> Path:
    """Return where the identity of a component's process is written."""
    return run / "pids" / f"{name}.json"


def start(name: str, argv: Sequence[str | Path], *, run: Path = RUN, logs: Path = LOGS) -> int:
    """Start a program that outlives this one, its output appended to its log. Returns its pid."""
    logs.mkdir(parents=True, exist_ok=True)
    record = pid_file(name, run)
    record.parent.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.log").open("ab") as sink:
        process = subprocess.Popen(
            list(map(str, argv)),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=0o022,
            cwd="/",
        )
    record.write_text(json.dumps({"pid": process.pid, "started": start_time(process.pid)}))
    return process.pid


def running_pid(name: str, run: Path = RUN) -> int | None:
    """Return the pid of a component that runs, else None."""
    try:
        known = json.loads(pid_file(name, run).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    pid = int(known["pid"])
    return pid if known["started"] and start_time(pid) == known["started"] else None


def start_time(pid: int) -> str | None:
    """Return the kernel's start time of a process that runs (not of a zombie), else None."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def stop(name: str, run: Path = RUN, *, patience: float = 60.0) -> None:
    """End a component and wait until it is gone: kube-apiserver takes long, and its port must be free for the next."""
    pid = running_pid(name, run)
    if pid is not None:
        end([pid], patience)
    pid_file(name, run).unlink(missing_ok=True)


def end(pids: Sequence[int], patience: float) -> None:
    """Ask processes to end, wait, and kill those that did not."""
    alive = {pid: started for pid in pids if (started := start_time(pid))}
    for wanted, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        for pid in alive:
            send(pid, wanted)
        deadline = time.monotonic() + seconds
        while alive and time.monotonic() < deadline:
            reap(alive)
            alive = {pid: started for pid, started in alive.items() if start_time(pid) == started}
            time.sleep(0.05)


def send(pid: int, wanted: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, wanted)
    except ProcessLookupError:
        return


def reap(pids: Sequence[int] | dict[int, str]) -> None:
    """Collect those that are children of this process, so that they do not linger as zombies."""
    for pid in list(pids):
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue


def with_cgroup(part: str) -> list[int]:
    """Return the pids of all processes in a control group whose path contains `part`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if part in (entry / "cgroup").read_text():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def with_argument(argument: str) -> list[int]:
    """Return the pids of all processes that were started with exactly this argument."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if argument in (entry / "cmdline").read_bytes().decode(errors="replace").split("\0"):
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found
