"""Queries of rollouts against a real Prometheus that scrapes pods: the very one that Debian packages."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support.apiserver import free_ports
from tests.unit.control.test_counts import ROLLOUT, model

from localcluster.programs import debian_program
from modelpress.control.objects import Key, Objects
from modelpress.control.queries import QueryPoller
from modelpress.rollout.queries import Answered

KEY = Key("team", "digits")
PATIENCE = 60.0
QUERIES = {
    "share": 'sum(used{pod=~"{{revision}}-.*"}) / sum(used{pod=~"{{stable}}-.*"})',
    "rate": 'sum(count_over_time(used{pod=~"{{revision}}-.*", namespace="{{namespace}}"}[{{window}}]))',
    "many": "used",
    "nothing": "absent_here",
    "broken": "sum(",
}
METRICS = """# TYPE used gauge
used{namespace="team",pod="digits-a-1"} 4
used{namespace="team",pod="digits-b-1"} 1
used{namespace="team",pod="digits-b-2"} 2
"""


@pytest.fixture(scope="module")
def prometheus() -> Path:
    return debian_program("prometheus", "prometheus")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of a Prometheus; what `start` starts in it ends with the test."""
    yield tmp_path
    for process in _started:
        process.kill()
        process.wait()
    _started.clear()


_started: list[subprocess.Popen[bytes]] = []


def start(prometheus: Path, folder: Path, target: str) -> str:
    """Start a Prometheus that scrapes `target` each second; return its address."""
    scrape = {"job_name": "pods", "honor_labels": True, "static_configs": [{"targets": [target]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    options = {
        "config.file": folder / "prometheus.yml",
        "storage.tsdb.path": folder / "data",
        "web.listen-address": address,
    }
    with (folder / "log").open("wb") as log:
        command = [prometheus, *(f"--{name}={value}" for name, value in options.items())]
        _started.append(subprocess.Popen(command, stdout=log, stderr=log))
    return f"http://{address}"


async def test_figures_of_both_versions_come_from_prometheus_and_what_is_wrong_is_said_in_its_words(
    prometheus: Path, folder: Path
) -> None:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=METRICS)

    manifest: dict[str, Any] = model(ROLLOUT)
    manifest["status"]["currentRevision"] = "digits-a"
    queries = [{"name": name, "query": query, "max": 1} for name, query in QUERIES.items()]
    manifest["spec"] = {"rollout": {"analysis": {"queries": queries}}}
    objects = Objects()
    objects.put(manifest)
    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        poller = QueryPoller(objects, lambda key: None, 5.0, start(prometheus, folder, f"127.0.0.1:{server.port}"))
        found = await _until_scraped(poller, session)
    assert found["share"].values[-1] == 0.75
    assert found["rate"].values[-1] >= 2
    assert found["many"].error == "it gives 3 series: it must give one number"
    assert found["nothing"].error == "it gives 0 series: it must give one number"
    assert found["broken"].error.startswith("Prometheus refuses it: ")
    assert "parse error" in found["broken"].error


async def _until_scraped(poller: QueryPoller, session: aiohttp.ClientSession) -> dict[str, Answered]:
    """Return the answers once Prometheus is there and knows the pods."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await poller.poll_once(session)
            if poller.answers[KEY]["share"].values:
                return poller.answers[KEY]
            await asyncio.sleep(0.2)
