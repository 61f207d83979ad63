"""The queue of keys: each at most once in it, never in two workers, back later when asked, later still after errors.

Kubernetes' own controllers work this way (client-go's workqueue); this is that, for asyncio. A key added while a
worker has it is handed out again when the worker is done, so no change is missed and no change is worked on twice at
a time.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF = 1.0
"""Seconds until a key is tried again after its first error."""

LAST_BACKOFF = 300.0
"""Seconds that the doubling stops at."""


class WorkQueue(Generic[K]):
    """A deduplicating queue with delays.

    Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._in_work: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys wait for a worker right now."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._timers)

    @property
    def idle(self) -> bool:
        """Whether no key waits for a worker and no worker has one."""
        return not self._ready and not self._in_work

    def add(self, key: K) -> None:
        """Ask for a round on `key` as soon as possible; once, however often it is asked."""
        self._cancel(key)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._in_work:
            self._ready.append(key)
            self._filled.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Ask for a round on `key` in `seconds`.

        An earlier wish stands.
        """
        if seconds <= 0:
            self.add(key)
            return
        if key in self._dirty and key not in self._in_work:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._cancel(key)
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def get(self) -> K:
        """Wait for a key and take it into work.

        Each `get` is answered by one `done`.
        """
        while not self._ready:
            self._filled.clear()
            await self._filled.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._in_work.add(key)
        return key

    def done(self, key: K) -> None:
        """Give `key` back.

        If it was added meanwhile, it is handed out again.
        """
        self._in_work.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._filled.set()

    def failed(self, key: K) -> float:
        """Note an error of `key`, ask for another round after a backoff that doubles, and return the seconds until
        then."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        seconds = backoff(count)
        self.add_after(key, seconds)
        return seconds

    def succeeded(self, key: K) -> None:
        """Forget the errors of `key`."""
        self._failures.pop(key, None)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


def backoff(failures: int) -> float:
    """Return the seconds to wait after so many errors in a row: doubling, bounded, with a fifth of jitter."""
    seconds = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures - 1, 20))
    return seconds * random.uniform(0.8, 1.0)
