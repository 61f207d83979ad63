"""Asking Prometheus: what models with a canary ask, where the installation says; and nothing that it says hurts."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.control.test_counts import ROLLOUT, model

from modelpress.control.objects import Key, Objects
from modelpress.control.queries import LIMIT, QueryPoller
from modelpress.rollout.queries import Answered

QUERY = 'max(used{pod=~"{{revision}}-.*"}) / max(used{pod=~"{{stable}}-.*"})'
KEY = Key("team", "digits")


def asking(rollout: Any = ROLLOUT) -> dict[str, Any]:
    found = model(rollout)
    found["status"]["currentRevision"] = "digits-a"
    found["spec"] = {"rollout": {"analysis": {"queries": [{"name": "memory", "query": QUERY, "max": 1.1}]}}}
    return found


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {}, "value": [1.5, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


async def poll(handler: Any, manifest: dict[str, Any], times: int = 1) -> tuple[dict[Key, Any], list[Key]]:
    app = web.Application()
    app.router.add_get("/prometheus/api/v1/query", handler)
    objects, changed = Objects(), list[Key]()
    objects.put(manifest)
    async with TestServer(app) as server, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as session:
        poller = QueryPoller(objects, changed.append, 5.0, str(server.make_url("/prometheus/")))
        for _ in range(times):
            await poller.poll_once(session)
    return poller.answers, changed


async def answer(body: Any, status: int = 200) -> Answered:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    answers, _ = await poll(handler, asking())
    found: Answered = answers[KEY]["memory"]
    return found


async def test_each_query_is_asked_with_its_placeholders_filled_and_the_namespace_beside_it() -> None:
    asked: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.json_response(vector("0.5"))

    answers, changed = await poll(handler, asking(), times=3)
    query = 'max(used{pod=~"digits-b-.*"}) / max(used{pod=~"digits-a-.*"})'
    assert asked == [{"query": query, "namespace": "team"}] * 3
    known = answers[KEY]["memory"]
    assert (known.values, known.query, known.error) == ((0.5, 0.5), QUERY, "")
    assert known.window.startswith("digits-b/1/")
    assert changed == [KEY] * 3


async def test_a_scalar_is_one_number_too() -> None:
    assert (await answer({"status": "success", "data": {"resultType": "scalar", "result": [1.5, "7"]}})).values == (7,)


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (vector(), 200, "it gives 0 series: it must give one number"),
        (vector("1", "2"), 200, "it gives 2 series: it must give one number"),
        (vector("NaN"), 200, "it gave nan, which is no number"),
        (vector("much"), 200, "what answers there is no Prometheus (HTTP 200)"),
        ({"status": "success", "data": {"resultType": "string", "result": [1, "x"]}}, 200, "it gives a string"),
        ({"status": "error", "error": "parse error: unexpected end"}, 400, "Prometheus refuses it: parse error"),
        (["nonsense"], 200, "what answers there is no Prometheus"),
        ({"padding": "x" * LIMIT}, 200, "its answer is longer than 65,536 bytes"),
    ],
)
async def test_an_answer_that_is_no_one_number_is_told_in_a_sentence(body: Any, status: int, told: str) -> None:
    known = await answer(body, status)
    assert known.values == ()
    assert known.error.startswith(told)


async def test_a_redirect_is_not_followed() -> None:
    async def handler(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/")

    answers, _ = await poll(handler, asking())
    assert answers[KEY]["memory"].error.startswith("what answers there is no Prometheus (HTTP 302)")


async def test_nobody_is_asked_while_no_canary_answers_or_no_address_is_known() -> None:
    async def handler(_: web.Request) -> web.Response:
        raise AssertionError("nobody is to be asked")

    for rollout in (None, ROLLOUT | {"stage": "Starting"}):
        assert await poll(handler, asking(rollout)) == ({}, [])
    objects = Objects()
    objects.put(asking())
    async with aiohttp.ClientSession() as session:
        poller = QueryPoller(objects, lambda key: None, 5.0, "")
        await poller.poll_once(session)
    assert poller.answers == {}


async def test_a_prometheus_that_is_away_is_told() -> None:
    objects = Objects()
    objects.put(asking())
    async with aiohttp.ClientSession() as session:
        poller = QueryPoller(objects, lambda key: None, 5.0, "http://127.0.0.1:9")
        await poller.poll_once(session)
    assert poller.answers[KEY]["memory"].error.startswith("Prometheus does not answer: ")
