"""What goes on beside a test, from `async with` to its end."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Alongside:
    """Goes on until it is told to stop, and is waited for then; fails where its work failed."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        """Work until `_stop` is set."""
        raise NotImplementedError
