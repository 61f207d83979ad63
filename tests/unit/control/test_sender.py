"""Requests against a small HTTP server on loopback: retries, refusals, and what counts as which."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from modelpress.control.metrics import Metrics
from modelpress.control.sender import ApiError, Bucket, Sender, UnavailableError
from modelpress.control.settings import Settings

Answers = list[web.Response | Exception]


class Bench:
    """A server that gives prepared answers, and a sender to it."""

    def __init__(self, configuration: Configuration, metrics: Metrics) -> None:
        self.metrics = metrics
        self.sender = Sender(configuration, Settings(namespace="ns"), metrics)
        self.answers: list[Callable[[], web.Response]] = []
        self.requests: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        return self.answers.pop(0)() if self.answers else web.json_response({"fine": True})


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    configuration, metrics = Configuration(), Metrics()
    configuration.api_key["BearerToken"] = "bearer secret"
    found = Bench(configuration, metrics)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.answer)
    async with TestServer(app) as server, found.sender:
        configuration.host = str(server.make_url("")).rstrip("/")
        yield found


def refusal(status: int, **body: Any) -> Callable[[], web.Response]:
    return lambda: web.json_response({"kind": "Status", **body}, status=status)


async def test_an_answer_is_returned_and_counted_and_the_token_is_sent(bench: Bench) -> None:
    answer = await bench.sender.send("GET", "/api/v1/pods/a", kind="Pod")
    assert answer == (200, {"fine": True})
    assert bench.requests[0].headers["Authorization"] == "bearer secret"
    labels = {"verb": "GET", "kind": "Pod", "code": "200"}
    assert bench.metrics.registry.get_sample_value("modelpress_api_requests_total", labels) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_passing_failure_is_tried_again(bench: Bench, status: int) -> None:
    bench.answers = [refusal(status, message="busy")] * 2
    assert (await bench.sender.send("PATCH", "/x", kind="Pod")).status == 200
    assert len(bench.requests) == 3


async def test_a_refusal_is_not_tried_again_and_carries_its_causes(bench: Bench) -> None:
    causes = [{"field": "spec.replicas", "message": "must be positive"}]
    bench.answers = [refusal(422, reason="Invalid", message="pods is invalid", details={"causes": causes})]
    with pytest.raises(ApiError) as refused:
        await bench.sender.send("PATCH", "/x", kind="Pod")
    assert refused.value.message == "pods is invalid; spec.replicas: must be positive"
    assert len(bench.requests) == 1


async def test_a_lasting_500_is_a_refusal_and_a_lasting_503_is_absence(bench: Bench) -> None:
    bench.answers = [refusal(500, message="webhook failed")] * 4
    with pytest.raises(ApiError, match="webhook failed"):
        await bench.sender.send("PATCH", "/x", kind="Pod")
    bench.answers = [refusal(503, message="starting")] * 4
    with pytest.raises(UnavailableError, match="starting"):
        await bench.sender.send("PATCH", "/x", kind="Pod")


async def test_an_answer_that_is_not_json_is_a_refusal_too(bench: Bench) -> None:
    bench.answers = [lambda: web.Response(status=403, text="<html>go away</html>")]
    with pytest.raises(ApiError, match="go away"):
        await bench.sender.send("GET", "/x", kind="Pod")


async def test_no_attempt_goes_out_once_the_guard_objects(bench: Bench) -> None:
    bench.answers = [refusal(503, message="busy")] * 4
    calls = []

    def guard() -> None:
        calls.append(1)
        if len(calls) > 1:
            raise PermissionError("the Lease is lost")

    with pytest.raises(PermissionError):
        await bench.sender.send("PATCH", "/x", kind="Pod", guard=guard)
    assert len(bench.requests) == 1


async def test_the_bucket_lets_a_burst_through_and_then_keeps_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    bucket = Bucket(rate=10, burst=5, clock=lambda: 0.0)
    for _ in range(7):
        await bucket.take()
    assert slept == pytest.approx([0.1, 0.2])
