"""A real S3 endpoint over a folder, on a free loopback port: `rclone serve s3`, the same program as in the cluster.

A bucket is a folder below `folder`; what is changed there is seen at once. Nothing outlives the test process: the
kernel kills the server when its parent dies.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.programs import program

_READY_SECONDS = 60.0
KEY, SECRET = "tester", "not-a-real-secret"


@dataclass
class S3Server:
    """A running endpoint."""

    folder: Path
    """What it serves: a folder for each bucket."""
    secrets: Path
    """Folder of mounted Secrets; `secret` puts one there."""
    port: int
    arguments: tuple[str, ...] = ()
    """Further arguments of rclone."""
    _process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        """Return the endpoint's address."""
        return f"http://127.0.0.1:{self.port}"

    def secret(self, name: str, *, key: str = KEY, secret: str = SECRET) -> str:
        """Mount the Secret `name` with a key for this endpoint; return the name."""
        folder = self.secrets / name
        folder.mkdir(parents=True, exist_ok=True)
        values = {"accessKeyId": key, "secretAccessKey": secret, "endpointUrl": self.url, "region": "us-east-1"}
        for file, value in values.items():
            (folder / file).write_text(value)
        return name

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        log = self.folder.parent / f"{self.folder.name}-rclone.log"
        argv = ["setpriv", "--pdeathsig", "KILL", str(_rclone()), "serve", "s3", str(self.folder)]
        argv += [
            f"--addr=127.0.0.1:{self.port}",
            f"--auth-key={KEY},{SECRET}",
            "--config=/dev/null",
            "--dir-cache-time=100ms",
        ]
        with log.open("ab") as output:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        until = time.monotonic() + _READY_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"rclone does not serve:\n{log.read_text()}")
            threading.Event().wait(0.05)

    def stop(self) -> None:
        """End the server at once."""
        if self._process:
            self._process.kill()
            self._process.wait(30)
            self._process = None


@contextlib.contextmanager
def running_s3_server(folder: Path, secrets: Path, *arguments: str) -> Iterator[S3Server]:
    """Serve `folder` until the block ends; Secrets are mounted below `secrets`."""
    folder.mkdir(parents=True, exist_ok=True)
    server = S3Server(folder, secrets, _free_port(), arguments)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@functools.cache
def _rclone() -> Path:
    return program("rclone")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
