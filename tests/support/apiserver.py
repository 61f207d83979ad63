"""A kube-apiserver and its etcd alone, on free loopback ports: what tests of the write door and the watches talk to.

Starts in a few seconds from the cached hyperkube (built first if it is missing). Nothing of it outlives the test
process: a temporary folder holds its state, and the kernel kills both processes when their parent dies. There are no
controllers, so no Job gets a pod, no owner's death collects a child: tests that need those use the `cluster` fixture.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from localcluster.certificates import Certificate, issue, issue_all, write_kubeconfig
from localcluster.components import Component, api_server, etcd
from localcluster.programs import tools

_READY_SECONDS = 120.0


@dataclasses.dataclass
class ApiServer:
    """A running API server. `kubeconfig` is its administrator's."""

    folder: Path
    kubeconfig: Path
    port: int
    _etcd: Component
    _server: Component
    _processes: dict[str, subprocess.Popen[bytes]] = dataclasses.field(default_factory=dict)

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"https://127.0.0.1:{self.port}"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator; the caller looks at `returncode`, `stdout` and `stderr`."""
        argv = [str(tools() / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=120)

    def kubeconfig_for(self, user: str, *groups: str) -> Path:
        """Return the kubeconfig of a user of these groups, for tests of RBAC and of who wrote what."""
        name = user.replace(":", "-")
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        issue(self.folder / "pki", Certificate(name, subject), self.folder / "certificates.log")
        return write_kubeconfig(self.folder / f"{name}.kubeconfig", name, self.folder / "pki", self.port)

    def start(self) -> None:
        """Start what does not run and wait until the server is ready."""
        for component in (self._etcd, self._server):
            process = self._processes.get(component.name)
            if process is None or process.poll() is not None:
                self._processes[component.name] = self._launch(component)
                self._await(component)

    def stop_server(self, *, kill: bool = False) -> None:
        """End the API server and keep etcd: every watch breaks, and `start` brings back all that it held."""
        self._end("kube-apiserver", kill=kill)

    def stop(self) -> None:
        """End both."""
        self._end("kube-apiserver", kill=True)
        self._end("etcd", kill=True)

    def _end(self, name: str, *, kill: bool) -> None:
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill() if kill else process.terminate()
            process.wait(60)

    def _launch(self, component: Component) -> subprocess.Popen[bytes]:
        argv = ["setpriv", "--pdeathsig", "KILL", *map(str, component.argv)]
        with (self.folder / f"{component.name}.log").open("ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def _await(self, component: Component) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not component.ready():
            if self._processes[component.name].poll() is not None or time.monotonic() > deadline:
                log = (self.folder / f"{component.name}.log").read_text(errors="replace")
                raise RuntimeError(f"{component.name} did not start:\n{log[-3000:]}")
            time.sleep(0.05)


@contextlib.contextmanager
def running_api_server(folder: Path) -> Iterator[ApiServer]:
    """Run an API server whose state is in `folder`; it has ended when the block ends."""
    pki = folder / "pki"
    issue_all(pki, folder / "certificates.log")
    port, etcd_port, peer_port = free_ports(3)
    extra = ("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--cert-dir={folder}/self-signed")
    server = ApiServer(
        folder=folder,
        kubeconfig=write_kubeconfig(folder / "kubeconfig", "admin", pki, port),
        port=port,
        _etcd=etcd(folder / "etcd", pki, etcd_port, peer_port),
        _server=api_server(tools(), pki, port=port, etcd_port=etcd_port, extra=extra),
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nothing listens on now, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
