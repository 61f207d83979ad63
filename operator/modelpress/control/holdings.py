"""Ask serving pods which versions they hold, while one is loaded in place and until all of them answer with it.

A pod that does not tell is one that has not got there: nothing is decided for a candidate that somebody is silent on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import aiohttp
from pydantic import ValidationError

from modelpress.api.names import MODEL_LABEL, REVISION_LABEL
from modelpress.api.servingpod import AGENT_PORT, PodAnswer, ServingPod
from modelpress.control.counts import AT_A_TIME, TIMEOUT, is_serving, key_of, name_of
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Manifest
from modelpress.control.pod_answers import ask_again_and_again, ask_pod, own_address
from modelpress.control.sets import wanted

logger = logging.getLogger(__name__)

LIMIT = 64 * 1024
Place = tuple[str, str]
"""Namespace and name of a set of pods."""


class HoldingsPoller:
    """Asks, once in `interval` seconds.

    `answers` holds what each pod last said, by `namespace/pod`.
    """

    def __init__(self, objects: Objects, changed: Callable[[Key], None], interval: float, port: int = AGENT_PORT):
        self._objects, self._changed, self._interval, self._port = objects, changed, interval, port
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self.answers: dict[str, PodAnswer] = {}

    async def poll(self) -> None:
        """Poll for ever."""
        await ask_again_and_again(self.poll_once, self._interval, TIMEOUT)

    async def poll_once(self, session: aiohttp.ClientSession) -> None:
        """Ask each pod once that may say something new, and have a round made on the models of those that do."""
        sets = dict(self._sets())
        pods = {name_of(pod): pod for pod in self._objects.of_kind("Pod") if _set_of(pod) in sets and is_serving(pod)}
        for gone in self.answers.keys() - pods.keys():
            del self.answers[gone]
        asked = {name: pod for name, pod in pods.items() if _is_open(sets[_set_of(pod)], self.answers.get(name))}
        told = await asyncio.gather(*(self._ask(session, pod) for pod in asked.values()))
        for (name, pod), answer in zip(asked.items(), told, strict=True):
            before = self.answers.pop(name, None)
            if answer is not None:
                self.answers[name] = answer
            key = key_of(pod)
            if answer != before and key is not None:
                self._changed(key)

    def _sets(self) -> Iterator[tuple[Place, ServingPod]]:
        """Yield the sets whose pods load a version in place, or once did."""
        for config_map in self._objects.of_kind("ConfigMap"):
            metadata = config_map["metadata"]
            pod = wanted(config_map) if MODEL_LABEL in (metadata.get("labels") or {}) else None
            if pod is not None and (pod.candidates or any(model.revision for model in pod.models)):
                yield (metadata["namespace"], metadata["name"]), pod

    async def _ask(self, session: aiohttp.ClientSession, pod: Manifest) -> PodAnswer | None:
        address = own_address(pod)
        if address is None:
            return None
        async with self._slots:
            return await ask(session, address, self._port)


async def ask(session: aiohttp.ClientSession, address: str, port: int) -> PodAnswer | None:
    """Return what the pod at `address` holds; None if it does not tell."""
    try:
        raw = await ask_pod(session, address, port, "/status", LIMIT)
        return PodAnswer.model_validate_json(raw) if raw is not None else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, ValidationError) as error:
        logger.info("a pod does not tell what it holds", extra={"address": address, "error": str(error)})
        return None


def _is_open(pod: ServingPod, answer: PodAnswer | None) -> bool:
    """Say whether a pod may have something new to say: it holds a candidate, or does not answer with what it should."""
    if pod.candidates or answer is None:
        return True
    serving = {(model.revision, model.manifest_digest) for model in answer.models if model.serves}
    return serving != {(model.revision, model.manifest_digest) for model in pod.models}


def _set_of(pod: Manifest) -> Place:
    metadata = pod["metadata"]
    return metadata["namespace"], (metadata.get("labels") or {}).get(REVISION_LABEL, "")
