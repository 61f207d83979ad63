"""What the agent says of the pod over HTTP: /ready and /live for the kubelet, /status for people."""

from __future__ import annotations

from aiohttp import web

from .draining import Drain
from .holding import Keeper


def application(keeper: Keeper, drain: Drain) -> web.Application:
    """Return the application: each answer is one JSON document, 200 for yes and 503 for no."""

    async def ready(_request: web.Request) -> web.Response:
        return _answer(keeper.ready and not drain.begun, _why(keeper, drain))

    async def live(_request: web.Request) -> web.Response:
        return _answer(True, "")

    async def status(_request: web.Request) -> web.Response:
        models = [
            {
                "name": name,
                "version": held.wanted.version,
                "manifestDigest": held.wanted.manifest_digest,
                "fetched": held.prepared is not None,
                "verified": held.verified,
                "failure": held.failure.to_wire() if held.failure else None,
            }
            for name, held in sorted(keeper.models.items())
        ]
        return web.json_response(
            {
                "ready": keeper.ready and not drain.begun,
                "stopping": drain.begun,
                "proxy": keeper.proxy_answers,
                "models": models,
            }
        )

    found = web.Application()
    found.add_routes([web.get("/ready", ready), web.get("/live", live), web.get("/status", status)])
    return found


def _answer(yes: bool, why: str) -> web.Response:
    return web.json_response({"ok": yes, "why": why}, status=200 if yes else 503)


def _why(keeper: Keeper, drain: Drain) -> str:
    """Return in one sentence why the pod is not ready."""
    if drain.begun:
        return "The pod is about to end."
    if not keeper.proxy_answers:
        return "Triton does not answer through the proxy."
    if not keeper.models:
        return "The models are not known yet."
    waiting = sorted(name for name, held in keeper.models.items() if not held.verified)
    return f"Not verified yet: {', '.join(waiting)}." if waiting else ""
