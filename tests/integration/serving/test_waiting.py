"""The Envoy of examples/sleep keeps the first request until somebody listens, and counts it meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from tests.support.apiserver import free_ports

from modelpress.agent.proxy import program

PATIENCE = 60.0


class Waiting:
    """A running Envoy. `upstream`: port that the model's Service would answer on."""

    def __init__(self, http: int, metrics: int, upstream: int) -> None:
        self.http, self.metrics, self.upstream = http, metrics, upstream

    async def counted(self, session: aiohttp.ClientSession, name: str) -> float:
        async with session.get(f"http://127.0.0.1:{self.metrics}/stats/prometheus") as answer:
            lines = (await answer.text()).splitlines()
        wanted = f'envoy_http_{name}{{envoy_http_conn_manager_prefix="digits"}} '
        return next((float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)), 0.0)


@pytest.fixture
async def waiting(repository: Path, tmp_path: Path) -> AsyncIterator[Waiting]:
    manifests = yaml.safe_load_all((repository / "examples" / "sleep" / "waiting.yaml").read_text())
    config = yaml.safe_load(next(item for item in manifests if item["kind"] == "ConfigMap")["data"]["envoy.yaml"])
    http, grpc, metrics, admin, upstream = free_ports(5)
    listening = {8000: http, 8001: grpc, 8002: metrics, 9901: admin}
    for listener in config["static_resources"]["listeners"]:
        _move(listener["address"], listening)
    _move(config["admin"]["address"], listening)
    for cluster in config["static_resources"]["clusters"]:
        for endpoints in cluster["load_assignment"]["endpoints"]:
            for endpoint in endpoints["lb_endpoints"]:
                _move(endpoint["endpoint"]["address"], {8000: upstream, 8001: upstream, 9901: admin})
    (tmp_path / "envoy.yaml").write_text(yaml.safe_dump(config))
    arguments = ["--config-path", str(tmp_path / "envoy.yaml"), "--disable-hot-restart", "--log-level", "warning"]
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(program(), *arguments, stderr=log)
        try:
            await _listens(metrics)
            yield Waiting(http, metrics, upstream)
        finally:
            process.terminate()
            await process.wait()


def _move(address: dict[str, Any], ports: dict[int, int]) -> None:
    address["socket_address"] |= {"address": "127.0.0.1", "port_value": ports[address["socket_address"]["port_value"]]}


async def _listens(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert time.monotonic() < deadline, "Envoy does not listen"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def test_a_request_to_a_model_without_pods_is_counted_kept_and_answered_when_somebody_listens(
    waiting: Waiting,
) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
        asked = asyncio.create_task(session.post(f"http://127.0.0.1:{waiting.http}/v2/models/digits/infer", data=b"7"))
        async with asyncio.timeout(PATIENCE):
            while not await waiting.counted(session, "downstream_rq_active"):  # noqa: ASYNC110 - Envoy counts plainly
                await asyncio.sleep(0.05)
        assert await waiting.counted(session, "downstream_rq_total") == 1
        assert not asked.done()

        async def echo(request: web.Request) -> web.Response:
            return web.Response(body=await request.read())

        application = web.Application()
        application.router.add_post("/v2/models/digits/infer", echo)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", waiting.upstream).start()
        async with await asked as answer:
            assert (answer.status, await answer.read()) == (200, b"7")
        await runner.cleanup()
