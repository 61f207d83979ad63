"""An operator in a process of its own that ends by SIGKILL before or after its n-th write."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.apiserver import ApiServer

from modelpress.control import operator
from modelpress.control.seam import Seam
from modelpress.control.settings import Settings


def settings_for(namespace: str, api_server: ApiServer) -> Settings:
    """Settings of an operator for `namespace` alone, whose next process takes over the Lease of the one before."""
    return Settings(
        namespace=namespace,
        watch_namespaces=(namespace,),
        kubeconfig=str(api_server.kubeconfig),
        identity="always-the-same",
        counts_interval=0.5,
        http_host="127.0.0.1",
        http_port=0,  # any: nobody asks it, and one that was chosen before may be taken by then
    )


@dataclass(frozen=True)
class Stop:
    """Where to stop. `number` counts from 1."""

    side: str
    number: int

    def __str__(self) -> str:
        return f"{self.side} write {self.number}"


class StoppingSeam(Seam):
    """Logs each finished write to a file and kills the process at `stop`."""

    def __init__(self, log: Path, stop: Stop | None) -> None:
        self._log, self._stop, self._begun, self._ended = log, stop, 0, 0

    async def before_write(self, write: str) -> None:
        self._begun += 1
        self._kill_if("before", self._begun)

    async def after_write(self, write: str) -> None:
        self._ended += 1
        with self._log.open("a") as log:
            log.write(f"{write}\n")
        self._kill_if("after", self._ended)

    def _kill_if(self, side: str, number: int) -> None:
        if self._stop == Stop(side, number):
            os.kill(os.getpid(), signal.SIGKILL)


class StoppableOperator:
    """The process. Forked, so that it need not import everything anew; the parent must run no event loop then."""

    def __init__(self, settings: Settings, planner: Any, installation: Any, log: Path) -> None:
        self._settings, self._planner, self._installation, self._log = settings, planner, installation, log
        self._pid = 0
        self._armed = False

    def start(self, stop: Stop | None = None) -> None:
        sys.stdout.flush()
        self._armed = stop is not None
        self._pid = os.fork()
        if self._pid == 0:
            code = 99
            try:
                seam = StoppingSeam(self._log, stop)
                code = asyncio.run(operator.run(self._settings, self._planner, self._installation, seam))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)

    def was_killed(self) -> bool:
        """Say whether it has ended by its SIGKILL; any other end is a failure of the test."""
        if not self._pid:
            return True
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return False
        self._pid = 0
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"the operator ended with {status}"
        return True

    def end(self) -> bool:
        """Tell it to stop and wait until it has. False: its SIGKILL came first, at one of its last writes."""
        if not self._pid:
            return True
        os.kill(self._pid, signal.SIGTERM)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        code = os.waitstatus_to_exitcode(status)
        if self._armed and code == -signal.SIGKILL:
            return False
        assert code == 0, f"told to stop, the operator ended with {code}"
        return True
