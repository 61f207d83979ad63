"""A TCP proxy that can stop passing bytes and close nothing: what a watch looks like when the network forgets it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Proxy:
    """Passes bytes between its port and the server's until `freeze` is called."""

    def __init__(self) -> None:
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._pumps: set[asyncio.Task[None]] = set()

    def freeze(self) -> None:
        self._open.clear()

    @contextlib.asynccontextmanager
    async def before(self, port: int) -> AsyncIterator[Proxy]:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs = await asyncio.open_connection("127.0.0.1", port)
            for source, target in ((reader, theirs[1]), (theirs[0], writer)):
                task = asyncio.create_task(self._pump(source, target))
                self._pumps.add(task)
                task.add_done_callback(self._pumps.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._pumps:
                task.cancel()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                await self._open.wait()
                target.write(data)
                await target.drain()
        target.close()
