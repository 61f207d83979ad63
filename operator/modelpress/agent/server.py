"""What the agent says of the pod over HTTP: /ready and /live for the kubelet, /status for operator and people."""

from __future__ import annotations

from aiohttp import web

from modelpress.api.servingpod import HeldModel, PodAnswer

from .draining import Drain
from .holding import Keeper, Slot
from .versions import Held


def application(keeper: Keeper, drain: Drain) -> web.Application:
    """Return the application: each answer is one JSON document, 200 for yes and 503 for no."""

    async def ready(_request: web.Request) -> web.Response:
        return _answer(keeper.ready and not drain.begun, _why(keeper, drain))

    async def live(_request: web.Request) -> web.Response:
        return _answer(True, "")

    async def status(_request: web.Request) -> web.Response:
        slots = [slot for _, slot in sorted(keeper.slots.items())]
        told = PodAnswer(
            ready=keeper.ready and not drain.begun,
            stopping=drain.begun,
            proxy=keeper.proxy_answers,
            models=tuple(_told(slot, slot.current) for slot in slots),
            candidates=tuple(_told(slot, slot.candidate) for slot in slots if slot.candidate is not None),
        )
        return web.json_response(told.model_dump(mode="json", by_alias=True))

    found = web.Application()
    found.add_routes([web.get("/ready", ready), web.get("/live", live), web.get("/status", status)])
    return found


def _told(slot: Slot, held: Held) -> HeldModel:
    return HeldModel(
        name=held.wanted.name,
        version=held.wanted.version,
        revision=held.wanted.revision,
        manifest_digest=held.wanted.manifest_digest,
        fetched=held.prepared is not None,
        verified=held.verified,
        serves=held is slot.serving and held.verified,
        failure=held.failure,
    )


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
    waiting = sorted(name for name, slot in keeper.slots.items() if not slot.answers)
    return f"Not verified yet: {', '.join(waiting)}." if waiting else ""
