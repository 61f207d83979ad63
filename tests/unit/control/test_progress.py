"""Asking pods how far they are: what a hostile pod answers changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelpress.api.names import MODEL_LABEL
from modelpress.control.objects import Key, Objects
from modelpress.control.progress import JOB_LABEL, LIMIT, ProgressPoller, is_running_job

ANSWERS = {
    "good": lambda: web.json_response({"stage": "prune", "done": 0.5}),
    "huge": lambda: web.Response(body=b'{"a": 1}' + b" " * LIMIT),
    "list": lambda: web.json_response([1, 2]),
    "nonsense": lambda: web.Response(body=b"\xff\x00"),
    "redirect": lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/"}),
    "error": lambda: web.Response(status=500),
}


def pod(**status: Any) -> dict[str, Any]:
    labels = {MODEL_LABEL: "digits", JOB_LABEL: "job"}
    metadata = {"name": "p", "namespace": "team", "labels": labels, "resourceVersion": "1", "uid": "u"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {},
        "status": {"phase": "Pending", "podIP": "127.0.0.1", **status},
    }


async def poll(handler: Any) -> tuple[dict[str, Any], list[Key]]:
    app = web.Application()
    app.router.add_get("/progress", handler)
    objects, changed = Objects(), list[Key]()
    objects.put(pod())
    async with TestServer(app) as server, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as session:
        poller = ProgressPoller(objects, changed.append, 30.0, port=server.port or 0)
        await poller.poll_once(session)
        await poller.poll_once(session)
    return dict(poller.answers), changed


@pytest.mark.parametrize("name", ANSWERS)
async def test_only_a_small_json_object_counts(name: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return ANSWERS[name]()

    answers, changed = await poll(handler)
    if name == "good":
        assert answers == {"team/job": {"stage": "prune", "done": 0.5}}
        assert changed == [Key("team", "digits")], "told once, since the second answer was the same"
    else:
        assert (answers, changed) == ({}, [])


async def test_a_pod_that_never_answers_is_given_up() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(600)
        return web.Response()

    assert await poll(handler) == ({}, [])


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({}, True),
        ({"phase": "Running"}, True),
        ({"phase": "Succeeded"}, False),
        ({"podIP": ""}, False),
    ],
)
def test_only_pods_that_can_answer_are_asked(change: dict[str, str], asked: bool) -> None:
    assert is_running_job(pod(**change)) is asked


def test_a_pod_on_the_hosts_network_is_not_asked() -> None:
    assert not is_running_job(pod() | {"spec": {"hostNetwork": True}})
