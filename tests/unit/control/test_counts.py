"""Reading the counters of serving pods: only while a canary answers; a pod that does not tell is counted as such."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelpress.api.base import API_VERSION
from modelpress.api.names import MODEL_LABEL, ROLE_LABEL
from modelpress.control.counts import LIMIT, CountsPoller
from modelpress.control.objects import Key, Objects
from modelpress.rollout.counting import Counted

METRICS = """# TYPE nv_inference_request_success counter
nv_inference_request_success{{model="digits",version="1"}} {good}
nv_inference_request_success{{model="digits",version="2"}} 5
nv_inference_request_success{{model="other",version="1"}} 1000
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{{model="digits",reason="OTHER",version="1"}} 3
"""
ROLLOUT = {"candidate": "digits-b", "stage": "Step", "step": 1, "steps": 2, "since": "2026-01-01T12:00:00Z"}


def pod(role: str = "serve", phase: str = "Running", address: str | None = "127.0.0.1") -> dict[str, Any]:
    metadata = {"name": f"{role}-pod", "namespace": "team", "uid": role, "resourceVersion": "1"}
    metadata["labels"] = {MODEL_LABEL: "digits", ROLE_LABEL: role}
    status = {"phase": phase} | ({"podIP": address} if address else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}, "status": status}


def model(rollout: dict[str, Any] | None) -> dict[str, Any]:
    metadata = {"name": "digits", "namespace": "team", "uid": "m", "resourceVersion": "1"}
    status = {"rollout": rollout} if rollout else {}
    return {"apiVersion": API_VERSION, "kind": "CompressedModel", "metadata": metadata, "status": status}


async def poll(handler: Any, rollout: Any = ROLLOUT, *pods: dict[str, Any]) -> tuple[dict[str, Counted], list[Key]]:
    app = web.Application()
    app.router.add_get("/metrics", handler)
    objects, changed = Objects(), list[Key]()
    for item in (model(rollout), *(pods or (pod(), pod("compress")))):
        objects.put(item)
    async with TestServer(app) as server, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as session:
        poller = CountsPoller(objects, changed.append, 5.0, port=server.port or 0)
        await poller.poll_once(session)
        await poller.poll_once(session)
    return dict(poller.counts), changed


async def test_what_all_versions_of_the_model_did_between_two_readings_is_counted() -> None:
    shown = iter([10, 25])

    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=METRICS.format(good=next(shown)))

    counts, changed = await poll(handler)
    assert list(counts) == ["team/serve-pod"]
    counted = counts["team/serve-pod"]
    assert (counted.grown.requests, counted.grown.failures, counted.misses) == (15, 0, 0)
    assert counted.last is not None
    assert (counted.last.requests, counted.last.failures) == (30, 3)
    assert changed == [Key("team", "digits")] * 2


STARTING = ROLLOUT | {"stage": "Starting", "step": 0}


async def test_pods_are_read_before_a_canary_is_let_in_and_no_round_is_made_for_that() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=METRICS.format(good=10))

    counts, changed = await poll(handler, STARTING | {"strategy": "Canary"})
    assert counts["team/serve-pod"].last is not None
    assert changed == []


@pytest.mark.parametrize("rollout", [None, STARTING | {"strategy": "BlueGreen"}, {"stage": "nonsense"}])
async def test_nobody_is_asked_while_no_canary_answers_or_is_about_to(rollout: dict[str, Any] | None) -> None:
    async def handler(_: web.Request) -> web.Response:
        raise AssertionError("nobody is to be asked")

    assert await poll(handler, rollout) == ({}, [])


BAD = {
    "huge": lambda: web.Response(body=b"# " + b" " * LIMIT),
    "nonsense": lambda: web.Response(body=b"\xff\x00"),
    "no labels": lambda: web.Response(text="nv_inference_request_success 5\n"),
    "redirect": lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/"}),
    "error": lambda: web.Response(status=500),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_pod_that_tells_nothing_of_use_is_silent(name: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return BAD[name]()

    counts, _ = await poll(handler)
    assert (counts["team/serve-pod"].misses, counts["team/serve-pod"].last) == (2, None)


async def test_a_pod_that_never_answers_or_has_no_address_is_silent() -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(600)
        return web.Response()

    for silent in (pod(), pod(address=None)):
        counts, _ = await poll(handler, ROLLOUT, silent)
        assert counts["team/serve-pod"].misses == 2


async def test_a_pod_that_does_not_run_is_not_asked() -> None:
    async def handler(_: web.Request) -> web.Response:
        raise AssertionError("nobody is to be asked")

    counts, changed = await poll(handler, ROLLOUT, pod(phase="Pending"))
    assert counts == {}
    assert changed, "the model is looked at all the same"
