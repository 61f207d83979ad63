"""Read the request counters of serving pods while a canary answers, or is about to, and only then.

Judged by, unlike progress: so a pod that does not tell is counted as silent, and asked again. What it says is bounded
all the same: two seconds, 1 MiB, no redirects, no credentials.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import aiohttp
from pydantic import ValidationError

from modelpress.api.names import MODEL_LABEL, ROLE_LABEL, ROLE_SERVE
from modelpress.api.rollout import RolloutStatus, Strategy
from modelpress.api.servingpod import METRICS_PORT
from modelpress.control.kinds import MODEL
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Manifest, Reference
from modelpress.control.pod_answers import ask_again_and_again, ask_pod, own_address
from modelpress.rollout.counting import Counted, count, total, window_of
from modelpress.rollout.situation import Stage
from modelpress.triton.metrics import InferenceCounters, inference_counters

logger = logging.getLogger(__name__)

TIMEOUT = 2.0
LIMIT = 1024 * 1024
AT_A_TIME = 64
"""Pods asked side by side."""


class CountsPoller:
    """Reads, once in `interval` seconds.

    `counts` holds what each pod did in the present step of its model's canary, by `namespace/pod`. Pods are read before
    they are let in, too: so the first reading after that tells what they did since.
    """

    def __init__(
        self, objects: Objects, changed: Callable[[Key], None], interval: float, port: int = METRICS_PORT
    ) -> None:
        self._objects, self._changed, self._interval, self._port = objects, changed, interval, port
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self.counts: dict[str, Counted] = {}

    async def poll(self) -> None:
        """Poll for ever."""
        await ask_again_and_again(self.poll_once, self._interval, TIMEOUT)

    async def poll_once(self, session: aiohttp.ClientSession) -> None:
        """Read each pod once, and have a round made on each model that has a canary which answers."""
        canaries = {key: status for key, _, status in _rollouts(self._objects) if answers(status) or _is_canary(status)}
        windows = {key: window_of(status) for key, status in canaries.items()}
        if not windows:
            self.counts.clear()
            return
        pods = {name_of(pod): pod for pod in self._objects.of_kind("Pod") if key_of(pod) in windows and is_serving(pod)}
        for gone in self.counts.keys() - pods.keys():
            del self.counts[gone]
        read = await asyncio.gather(*(self._read(session, pod) for pod in pods.values()))
        now = datetime.now(UTC)
        for (name, pod), counters in zip(pods.items(), read, strict=True):
            key = key_of(pod)
            assert key is not None, "a pod that was read belongs to a model"
            self.counts[name] = count(self.counts.get(name), windows[key], counters, now)
        for key, status in canaries.items():
            if answers(status):
                self._changed(key)

    async def _read(self, session: aiohttp.ClientSession, pod: Manifest) -> InferenceCounters | None:
        address = own_address(pod)
        if address is None:
            return None
        async with self._slots:
            return await read(session, address, self._port, pod["metadata"]["labels"][MODEL_LABEL])


def steps_with_requests(objects: Objects) -> Iterator[tuple[Key, Manifest, RolloutStatus]]:
    """Yield the models whose canary answers, each with how far that is."""
    return ((key, model, status) for key, model, status in _rollouts(objects) if answers(status))


def answers(status: RolloutStatus) -> bool:
    """Say whether the candidate has requests."""
    return status.stage != Stage.STARTING.value


def _is_canary(status: RolloutStatus) -> bool:
    return status.strategy == Strategy.CANARY.value


def _rollouts(objects: Objects) -> Iterator[tuple[Key, Manifest, RolloutStatus]]:
    for key in objects.models():
        model = objects.get(Reference(MODEL.api_version, MODEL.kind, *key))
        status = _rollout(model) if model is not None else None
        if model is not None and status is not None:
            yield key, model, status


async def read(session: aiohttp.ClientSession, address: str, port: int, model: str) -> InferenceCounters | None:
    """Return the counters of `model`, all versions together, of the pod at `address`; None if it does not tell."""
    try:
        raw = await ask_pod(session, address, port, "/metrics", LIMIT)
        if raw is None:
            return None
        found = inference_counters(raw.decode())
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError) as error:
        logger.info("a pod does not tell its counters", extra={"address": address, "error": str(error)})
        return None
    return total(counters for (name, _), counters in found.items() if name == model)


def _rollout(model: Mapping[str, object]) -> RolloutStatus | None:
    status = model.get("status")
    wire = status.get("rollout") if isinstance(status, Mapping) else None
    try:
        return RolloutStatus.model_validate(wire) if wire else None
    except ValidationError:
        return None


def is_serving(pod: Manifest) -> bool:
    """Say whether `pod` serves, or is about to."""
    labels = pod["metadata"].get("labels") or {}
    alive = (pod.get("status") or {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    return alive and labels.get(ROLE_LABEL) == ROLE_SERVE


def key_of(pod: Manifest) -> Key | None:
    """Return the key of the model that `pod` belongs to."""
    model = (pod["metadata"].get("labels") or {}).get(MODEL_LABEL)
    return Key(pod["metadata"]["namespace"], model) if model else None


def name_of(pod: Manifest) -> str:
    """Return `namespace/name`."""
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
