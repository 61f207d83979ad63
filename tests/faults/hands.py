"""The administrator's hands in a test that forks operators: requests over one connection, no event loop in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelpress.control.metrics import Metrics
from modelpress.control.sender import JSON, MERGE_PATCH, Sender, load_configuration
from modelpress.control.settings import Settings


class Hands:
    """Sends requests to one API server, synchronously."""

    def __init__(self, runner: asyncio.Runner, sender: Sender) -> None:
        self._runner, self._sender = runner, sender

    def send(self, verb: str, path: str, body: Any = None) -> Any:
        """Return the body of the answer. The body of a PATCH is merged."""
        content_type = MERGE_PATCH if verb == "PATCH" else JSON
        return self._runner.run(self._sender.send(verb, path, kind="test", body=body, content_type=content_type)).body


@contextlib.contextmanager
def hands(kubeconfig: Path) -> Iterator[Hands]:
    """Connect as the user of `kubeconfig`."""
    settings = Settings(namespace="default", kubeconfig=str(kubeconfig), requests_per_second=1000.0)

    async def connect() -> Sender:
        return await Sender(await load_configuration(settings.kubeconfig), settings, Metrics()).__aenter__()

    with asyncio.Runner() as runner:
        sender = runner.run(connect())
        try:
            yield Hands(runner, sender)
        finally:
            runner.run(sender.__aexit__())
