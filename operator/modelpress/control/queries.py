"""Ask Prometheus the queries of rollouts while a canary answers, and only then.

The address comes from the installation, never from a model, so that no tenant has the operator ask an address of his
choice. A query is a tenant's, and so may read what that Prometheus holds: who does not want that puts prom-label-proxy
before it, for which every request names the model's namespace. An answer is bounded in time and size.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from pydantic import ValidationError

from modelpress.api.analysis import AnalysisQuery
from modelpress.api.rollout import Rollout, RolloutStatus
from modelpress.control import clock
from modelpress.control.counts import steps_with_requests
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Manifest
from modelpress.control.pod_answers import bounded
from modelpress.rollout.counting import window_of
from modelpress.rollout.queries import SHORTEST_WINDOW, Answered, answered, place

logger = logging.getLogger(__name__)

TIMEOUT = 4.0
LIMIT = 64 * 1024
ERROR_LENGTH = 200
"""Characters of Prometheus' own words that are shown."""
AT_A_TIME = 8
"""Queries asked side by side."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One query of one model, in its present step."""

    key: Key
    query: AnalysisQuery
    window: str
    values: Mapping[str, str]


class QueryPoller:
    """Asks, once in `interval` seconds.

    `answers` holds what each query of a model gave in the present step of its canary, by the model's key.
    `address`: URL of Prometheus; empty: nothing is asked.
    """

    def __init__(self, objects: Objects, changed: Callable[[Key], None], interval: float, address: str) -> None:
        self._objects, self._changed, self._interval, self._address = objects, changed, interval, address.rstrip("/")
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self.answers: dict[Key, dict[str, Answered]] = {}

    async def poll(self) -> None:
        """Poll for ever."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                await self.poll_once(session)
                await asyncio.sleep(self._interval)

    async def poll_once(self, session: aiohttp.ClientSession) -> None:
        """Ask each query once, and have a round made on each model that has any."""
        asked = list(self._asked(datetime.now(UTC))) if self._address else []
        read = await asyncio.gather(*(self._ask(session, item) for item in asked))
        found: dict[Key, dict[str, Answered]] = {}
        for item, value in zip(asked, read, strict=True):
            before = self.answers.get(item.key, {}).get(item.query.name)
            known = answered(before, item.window, item.query.query, value)
            found.setdefault(item.key, {})[item.query.name] = known
        self.answers.clear()
        self.answers.update(found)
        for key in found:
            self._changed(key)

    def _asked(self, now: datetime) -> Iterator[_Asked]:
        for key, model, status in steps_with_requests(self._objects):
            values = _values(key, model, status, now)
            for query in _queries(model):
                yield _Asked(key, query, window_of(status), values)

    async def _ask(self, session: aiohttp.ClientSession, asked: _Asked) -> float | str:
        parameters = {"query": place(asked.query.query, asked.values), "namespace": asked.key.namespace}
        url = f"{self._address}/api/v1/query"
        try:
            async with self._slots, session.get(url, params=parameters, allow_redirects=False) as response:
                raw = await bounded(response, LIMIT)
                return _figure(response.status, raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            logger.info("Prometheus does not answer", extra={"model": str(asked.key), "error": repr(error)})
            return f"Prometheus does not answer: {str(error) or type(error).__name__}"[:ERROR_LENGTH]


def _figure(status: int, raw: bytes | None) -> float | str:
    """Return the one number of an answer, or why it has none."""
    if raw is None:
        return f"its answer is longer than {LIMIT:,} bytes: it must give one number"
    try:
        answer: dict[str, Any] = orjson.loads(raw)
        if status != HTTPStatus.OK or answer["status"] != "success":
            return f"Prometheus refuses it: {answer.get('error') or status}"[:ERROR_LENGTH]
        return _one_number(answer["data"]["resultType"], answer["data"]["result"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return f"what answers there is no Prometheus (HTTP {status})"


def _one_number(kind: str, result: Any) -> float | str:
    if kind == "scalar":
        return float(result[1])
    if kind != "vector":
        return f"it gives a {kind}: it must give one number"
    if len(result) != 1:
        return f"it gives {len(result)} series: it must give one number"
    return float(result[0]["value"][1])


def _values(key: Key, model: Manifest, status: RolloutStatus, now: datetime) -> dict[str, str]:
    """Return what placeholders stand for in the present step."""
    try:
        lasted = (now - clock.parse(status.reached_at or status.since)).total_seconds()
    except ValueError:
        lasted = 0
    return {
        "revision": status.candidate,
        "stable": str(model["status"].get("currentRevision") or ""),
        "model": key.name,
        "namespace": key.namespace,
        "window": f"{max(SHORTEST_WINDOW, int(lasted))}s",
    }


def _queries(model: Manifest) -> tuple[AnalysisQuery, ...]:
    wire = (model.get("spec") or {}).get("rollout") or {}
    try:
        analysis = Rollout.model_validate(wire).analysis
    except ValidationError:
        return ()
    return (analysis.queries if analysis is not None else None) or ()
