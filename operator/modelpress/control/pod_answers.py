"""What pods are asked over HTTP. Who answers is not trusted: bounded time and size, no redirects, no credentials."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import NoReturn

import aiohttp

from modelpress.control.plan import Manifest


def pod_session(seconds: float) -> aiohttp.ClientSession:
    """Return a session in which a request takes at most so many seconds; no proxy, no cookie is kept."""
    timeout = aiohttp.ClientTimeout(total=seconds)
    return aiohttp.ClientSession(timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())


async def ask_again_and_again(
    ask_once: Callable[[aiohttp.ClientSession], Awaitable[None]], interval: float, request_seconds: float
) -> NoReturn:
    """Ask for ever, with `interval` seconds between; a request takes at most `request_seconds`."""
    async with pod_session(request_seconds) as session:
        while True:
            await ask_once(session)
            await asyncio.sleep(interval)


def own_address(pod: Manifest) -> str | None:
    """Return the address at which `pod` may be asked; None if it has none, or shares that of its node."""
    address: str | None = (pod.get("status") or {}).get("podIP")
    return address if address and not (pod.get("spec") or {}).get("hostNetwork") else None


async def ask_pod(session: aiohttp.ClientSession, address: str, port: int, path: str, limit: int) -> bytes | None:
    """Return what the pod at `address` answers; None if that is no 200, or longer than `limit` bytes.

    Raises aiohttp.ClientError, TimeoutError or OSError if it cannot be asked, ValueError if `address` is none.
    """
    host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    async with session.get(f"http://{host}:{port}{path}", allow_redirects=False) as response:
        return await bounded(response, limit) if response.status == 200 else None


async def bounded(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """Return the body of `response`; None if it is longer than `limit` bytes."""
    raw = await response.content.read(limit + 1)
    while len(raw) <= limit and (more := await response.content.read(limit + 1 - len(raw))):
        raw += more
    return raw if len(raw) <= limit else None
