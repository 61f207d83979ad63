"""A serving pod without Kubernetes: agent, Envoy and Triton as processes on loopback, by the pod's own commands.

Folders of the pod lie below `root`, all ports are moved by an offset; Triton is started by the very script, and stopped
after the very preStop hook, that the rendered pod has.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.tritonserver import TritonServer

from localcluster.starting import is_free
from modelpress.agent.settings import Ports
from modelpress.api.servingpod import (
    GRPC_PORT,
    MODELS_FOLDER,
    MODELS_KEY,
    REPOSITORY_FOLDER,
    RUN_FOLDER,
    TRITON_GRPC_PORT,
    TRITON_HTTP_PORT,
    TRITON_METRICS_PORT,
    ServedModel,
    ServingPod,
)
from modelpress.api.tasks import TASK_VARIABLE, TERMINATION_MESSAGE_PATH, AgentTask
from modelpress.render.serving.triton import triton_script

_ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
"""Seconds for what takes a few: the machine may be busy."""
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
_OFFSETS = iter(range(3000 + 5000 * _WORKER, 8000 + 5000 * _WORKER, 120))
"""A pod's ports lie within 110 of each other, and below those that systems give to clients. Processes that test side by
side have ranges of their own: a pod's ports are its own while its processes are restarted, too."""
_MAIN = "from modelpress.cli.main import main; main()"


def wait_until(look: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first true value of `look`; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)
    return found


class Pod:
    """The processes of one serving pod."""

    def __init__(self, root: Path, triton: TritonServer, models: list[ServedModel], task: AgentTask) -> None:
        self.root, self._triton, self._task = root, triton, task
        self._offset = _free_offset()
        self.ports = Ports().moved(self._offset)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for folder in (MODELS_FOLDER, RUN_FOLDER, REPOSITORY_FOLDER, "/dev", "/tmp"):
            (root / folder.lstrip("/")).mkdir(parents=True)
        self.hold(models)

    def hold(self, models: list[ServedModel], candidates: tuple[ServedModel, ...] = ()) -> None:
        """Write models.json, as a changed ConfigMap does."""
        path = self.root / MODELS_FOLDER.lstrip("/") / MODELS_KEY
        beside = path.with_suffix(".new")
        beside.write_text(ServingPod(models=tuple(models), candidates=candidates).model_dump_json(by_alias=True))
        beside.rename(path)

    def start(self, *names: str, delay: float = 1.0) -> None:
        """Start the processes `names` (default: all); new connections may come until `delay` after the announcement."""
        variables = {
            **os.environ,
            "PYTHONPATH": str(_ROOT / "operator"),
            "MODELPRESS_ROOT": str(self.root),
            "MODELPRESS_LISTEN": "127.0.0.1",
            "MODELPRESS_PORT_OFFSET": str(self._offset),
            "MODELPRESS_DRAIN_DELAY": str(delay),
            "TMPDIR": str(self.root / "tmp"),
            TASK_VARIABLE: self._task.model_dump_json(by_alias=True),
        }
        for name in names or ("agent", "proxy", "triton"):
            if name == "triton":
                shell = ["sh", "-c", self._placed(triton_script())]
                self._spawn(name, shell, {**variables, **self._triton.variables(self.root / "bin")})
            else:
                command = "run" if name == "agent" else "proxy"
                self._spawn(name, [sys.executable, "-c", _MAIN, "agent", command], variables)

    def kill(self, name: str) -> None:
        """End a process as a crash does."""
        self._processes[name].kill()
        self._processes[name].wait()

    def ended(self, name: str) -> int | None:
        """Return the exit code of a process that has ended."""
        return self._processes[name].poll()

    def announce_end(self) -> None:
        """Do what the kubelet does first: run Triton's preStop hook, here without waiting for it."""
        (self.root / RUN_FOLDER.lstrip("/") / "stopping").touch()

    @property
    def drained(self) -> bool:
        """Whether the preStop hook would end."""
        return (self.root / RUN_FOLDER.lstrip("/") / "drained").exists()

    def stop(self) -> None:
        """End all processes in the kubelet's order: Triton, then the sidecars."""
        for name in ("triton", "proxy", "agent"):
            process = self._processes.get(name)
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill_all(self) -> None:
        """End all processes at once."""
        for process in self._processes.values():
            process.kill()
            process.wait()

    def forget_end(self) -> None:
        """Take the signs of an earlier end away, as a new container of Triton does."""
        for name in ("stopping", "drained"):
            (self.root / RUN_FOLDER.lstrip("/") / name).unlink(missing_ok=True)

    def await_ready(self) -> None:
        """Return when the pod's readiness probe succeeds; fail if a process ends."""

        def look() -> bool:
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}: {self.log(name)}"
            return self.probe("ready")

        try:
            wait_until(look, "readiness")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log('agent')}\n{self.log('triton')}") from error

    def probe(self, path: str) -> bool:
        """Ask the agent as the kubelet's probe does."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.agent}/{path}", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def status(self) -> dict[str, Any]:
        """Return the agent's own words."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.agent}/status", timeout=10) as response:
            found: dict[str, Any] = json.load(response)
            return found

    def termination_message(self) -> dict[str, Any]:
        """Return what the agent left when it ended."""
        found: dict[str, Any] = json.loads((self.root / TERMINATION_MESSAGE_PATH.lstrip("/")).read_text())
        return found

    @property
    def repository(self) -> Path:
        """Triton's model repository."""
        return self.root / REPOSITORY_FOLDER.lstrip("/")

    @property
    def key(self) -> str:
        """The key of the restricted APIs."""
        return (self.root / RUN_FOLDER.lstrip("/") / "key").read_text()

    def log(self, name: str) -> str:
        """Return the last lines a process wrote."""
        return f"{name}:\n" + (self.root / f"{name}.log").read_text(errors="replace")[-3000:]

    def _spawn(self, name: str, command: list[str], variables: dict[str, str]) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env=variables, cwd=self.root)

    def _placed(self, script: str) -> str:
        """Return the pod's script with this pod's folders and ports."""
        for folder in (RUN_FOLDER, REPOSITORY_FOLDER):
            script = script.replace(folder, f"{self.root}{folder}")
        for port in (TRITON_HTTP_PORT, TRITON_GRPC_PORT, TRITON_METRICS_PORT):
            script = script.replace(f"-port={port}", f"-port={port + self._offset}")
        return script


def _free_offset() -> int:
    """Return an offset that no other pod of this process has, at which no port of a pod is taken."""
    for offset in _OFFSETS:
        if all(is_free(port) for port in vars(Ports().moved(offset)).values()):
            return offset
    raise OSError(f"no free ports above {GRPC_PORT}")
