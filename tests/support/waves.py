"""Load whose clients come and go: wave upon wave of connections, so that every pod behind a Service gets its share.

Who keeps a connection keeps its pod; a canary is met only by connections that are made while it answers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.alongside import Alongside
from tests.support.load import Load, Question, Tally

CONNECTIONS, INTERVAL, REQUESTS = 3, 0.2, 6
"""Connections of each protocol in a wave, seconds between two requests of one, requests of each protocol in a wave."""


class Waves(Alongside):
    """Waves from `async with` to its end. `question` may be changed: the next wave asks it.

    `http`, `grpc`: what all of them met so far.
    """

    def __init__(self, question: Question, *, http: str, grpc: str) -> None:
        super().__init__()
        self.question = question
        self._addresses = {"http": http, "grpc": grpc}
        self.http, self.grpc = Tally(), Tally()

    async def _work(self) -> None:
        while not self._stop.is_set():
            load = Load(self.question, **self._addresses, connections=CONNECTIONS, interval=INTERVAL)
            load.http, load.grpc = self.http, self.grpc
            async with load:
                await load.until_sent(REQUESTS)

    @property
    def answers(self) -> Counter[str]:
        """Right answers so far, by revision."""
        return self.http.answers + self.grpc.answers

    @property
    def failures(self) -> list[str]:
        """What failed so far, and answers that are nobody's."""
        return [*self.http.troubles, *self.grpc.troubles]

    @property
    def sent(self) -> int:
        """Requests so far."""
        return self.http.sent + self.grpc.sent

    async def until(self, met: Callable[[Counter[str]], bool], seconds: float = 60.0) -> None:
        """Return when the answers that came since now are such that `met`."""
        before = self.answers
        async with asyncio.timeout(seconds):
            while not met(self.answers - before):  # noqa: ASYNC110 - clients count plainly
                await asyncio.sleep(0.05)


class LastGrowth:
    """When a number last grew, from `async with` to its end; `at` is of time.monotonic, None if it never did."""

    def __init__(self, number: Callable[[], int]) -> None:
        self.at: float | None = None
        self._number = number
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _look(self) -> None:
        known = self._number()
        while True:
            if (now := self._number()) > known:
                known, self.at = now, time.monotonic()
            await asyncio.sleep(0.05)
