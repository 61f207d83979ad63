"""A Service of Kubernetes in miniature: one address, several endpoints, each new connection goes to one of them.

As with kube-proxy, a connection stays where it went until one of its ends closes it, also if that endpoint is removed.
"""

from __future__ import annotations

import asyncio
import itertools
from types import TracebackType
from typing import Self


class Service:
    """Forwards connections to `endpoints` (ports on loopback), which may be changed at any time."""

    def __init__(self, endpoints: list[int]) -> None:
        self.endpoints = endpoints
        self._turns = itertools.count()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def address(self) -> str:
        """host:port."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        port = self.endpoints[next(self._turns) % len(self.endpoints)]
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pump(reader, to_writer), _pump(to_reader, writer))
        except asyncio.CancelledError:
            writer.transport.abort()
            to_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until `reader` ends, then end `writer`."""
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    except OSError:
        writer.transport.abort()
    finally:
        writer.close()
