"""Ending without losing a request.

    stopping appears     readiness goes off; Kubernetes takes the pod out of the Services' endpoints. From now on Envoy
                         asks every connection to end with its next answer: `Connection: close` in HTTP/1, GOAWAY in
                         HTTP/2. New connections are still taken: some nodes have yet to hear of the change
    + drain_delay        by now no node sends new connections here
    connections gone     or drain_seconds more are over: what is left then is idle, or slower than the limit
    drained appears      Triton's preStop hook ends, Triton gets its SIGTERM, and after it the sidecars

Nothing is lost by asking at once: who comes back before its node has heard is answered once more, and asked again. And
a version that was sent back, which no Service leads to any more, is left by kept connections with their next answer.
A client whose connection is idle all that time sees it closed; it has no request in flight.
If `stopping` goes away again (Triton's container was restarted in its pod), the pod serves as before. Both files go
together, so that an end which is announced anew at once is not taken for the old one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiohttp

from .proxy import Admin
from .settings import Settings

log = logging.getLogger(__name__)

INTERVAL = 0.1
_AWAY = (aiohttp.ClientError, OSError, TimeoutError)


class Drain:
    """The drain of one pod."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def begun(self) -> bool:
        """Whether the pod is to end. From the file itself: readiness must not lag behind it."""
        return self._settings.stopping_file.exists()

    async def run(self) -> None:
        """Drain whenever the pod is to end, for ever."""
        async with aiohttp.ClientSession() as session:
            admin = Admin(self._settings.ports.envoy_admin, session)
            while True:
                await _until(lambda: self.begun)
                await self._drain(admin)
                await _until(lambda: not (self.begun and self._settings.drained_file.exists()))
                log.info("the pod serves again")
                await self._tell(admin.end_drain())

    async def _drain(self, admin: Admin) -> None:
        clock = asyncio.get_running_loop().time
        elsewhere = clock() + self._settings.drain_delay
        end = elsewhere + self._settings.task.drain_seconds
        log.info("the pod is to end; its clients are asked to connect anew")
        await self._tell(admin.begin_drain())
        while self.begun and clock() < end:
            try:
                connections, requests = await admin.active()
            except _AWAY as error:
                log.warning("Envoy is gone, nothing is left to drain: %s", error)
                break
            if connections == 0 and clock() >= elsewhere:
                break
            log.debug("%d connections, %d requests", connections, requests)
            await asyncio.sleep(INTERVAL)
        else:
            log.warning("some connections did not end within %s s", self._settings.task.drain_seconds)
        if self.begun:
            self._settings.drained_file.touch()
            log.info("drained")

    async def _tell(self, call: Awaitable[None]) -> None:
        try:
            await call
        except _AWAY as error:
            log.warning("Envoy does not answer: %s", error)


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - another container's files
        await asyncio.sleep(INTERVAL)
