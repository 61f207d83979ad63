"""Is the operator alive, ready, and what are its figures? `/healthz`, `/readyz`, `/metrics` on one port.

Alive means: every watch has given a sign of life lately (lists.py says what counts as one). kopf reports a watch that
ended, but not one that hangs; so the server is asked to end each watch after `watch_timeout` seconds, and nothing
has to be written to know that it lives. A process whose probe is red is restarted by the kubelet, which is the cure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from modelpress.control.kinds import Kind
from modelpress.control.metrics import Metrics

Watch = tuple[str, str | None]
"""A kind's plural and the namespace watched, or None."""


class Health:
    """Collects signs of life, by watch."""

    def __init__(self, silence: float, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        """`silence` is how many seconds a watch may be silent."""
        self._silence, self._metrics, self._clock = silence, metrics, clock
        self._signs: dict[Watch, float] = {}
        self.missing_lists: Callable[[], list[str]] = list
        self.leading = False

    def start(self, kinds: Iterable[Kind], scopes: Iterable[str | None]) -> None:
        """Expect signs of each of `kinds` in each of `scopes` from now on."""
        self.leading = True
        places = list(scopes)
        for kind in kinds:
            for scope in places:
                self._signs[kind.plural, scope] = self._clock()
                label = f"{kind.plural} in {scope}" if scope else kind.plural
                gauge = self._metrics.watch_age.labels(label)
                gauge.set_function(lambda watch=(kind.plural, scope): self._clock() - self._signs[watch])  # type: ignore[misc]

    def sign(self, plural: str, scope: str | None) -> None:
        """Take in a sign of life."""
        if (plural, scope) in self._signs:
            self._signs[plural, scope] = self._clock()

    def dead_watches(self) -> list[str]:
        """Return the watches that have been silent for too long, for people; empty when all is well."""
        now = self._clock()
        return [
            f"{plural}{f' in {scope}' if scope else ''}: silent for {now - at:.0f} s"
            for (plural, scope), at in self._signs.items()
            if now - at > self._silence
        ]

    def app(self) -> web.Application:
        """Return the three pages."""
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._page)]
        )
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        return _verdict(self.dead_watches())

    async def _readyz(self, _: web.Request) -> web.Response:
        """Ready: standing by, or leading with every first LIST in.

        Standing by counts, or a rolling update could never end.
        """
        waiting = [f"{name}: not listed yet" for name in self.missing_lists()] if self.leading else []
        return _verdict(waiting)

    async def _page(self, _: web.Request) -> web.Response:
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _verdict(complaints: list[str]) -> web.Response:
    return web.Response(text="\n".join(complaints) or "ok", status=503 if complaints else 200)
