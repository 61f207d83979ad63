"""Ask running compression pods how far they are.

Shown, never decisive: an answer that does not come, or is nonsense, is no error. The pod runs tenants' code, so its
answer is untrusted: one second, 8 KiB, no redirects, no credentials, only JSON objects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import orjson

from modelpress.api.names import MODEL_LABEL
from modelpress.control.objects import Key, Objects
from modelpress.control.plan import Manifest
from modelpress.control.pod_answers import ask_again_and_again, ask_pod, own_address

logger = logging.getLogger(__name__)

PORT = 8090
TIMEOUT = 1.0
LIMIT = 8 * 1024
JOB_LABEL = "batch.kubernetes.io/job-name"


class ProgressPoller:
    """Polls, at most once in `interval` seconds.

    `answers` holds what each Job's pod last said, by `namespace/job`.
    """

    def __init__(self, objects: Objects, changed: Callable[[Key], None], interval: float, port: int = PORT) -> None:
        self._objects, self._changed, self._interval, self._port = objects, changed, interval, port
        self.answers: dict[str, Mapping[str, Any]] = {}

    async def poll(self) -> None:
        """Poll for ever."""
        await ask_again_and_again(self.poll_once, self._interval, TIMEOUT)

    async def poll_once(self, session: aiohttp.ClientSession) -> None:
        """Ask each pod once, and have a round made on the models whose answers changed."""
        pods = {_job_of(pod): pod for pod in self._objects.of_kind("Pod") if is_running_job(pod)}
        for gone in self.answers.keys() - pods.keys():
            del self.answers[gone]
        replies = await asyncio.gather(*(ask(session, pod["status"]["podIP"], self._port) for pod in pods.values()))
        for (job, pod), reply in zip(pods.items(), replies, strict=True):
            if reply is not None and reply != self.answers.get(job):
                self.answers[job] = reply
                self._changed(Key(pod["metadata"]["namespace"], pod["metadata"]["labels"][MODEL_LABEL]))


def is_running_job(pod: Manifest) -> bool:
    """Say whether `pod` belongs to a Job and can be asked: it has an address of its own and is not over."""
    labels, status = pod["metadata"].get("labels") or {}, pod.get("status") or {}
    alive = status.get("phase") in ("Pending", "Running") and "deletionTimestamp" not in pod["metadata"]
    return alive and own_address(pod) is not None and JOB_LABEL in labels and MODEL_LABEL in labels


def _job_of(pod: Manifest) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['labels'][JOB_LABEL]}"


async def ask(session: aiohttp.ClientSession, address: str, port: int) -> Mapping[str, Any] | None:
    """Return what the pod at `address` says, or None if it says nothing of use."""
    try:
        raw = await ask_pod(session, address, port, "/progress", LIMIT)
        answer = orjson.loads(raw) if raw is not None else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        logger.debug("no progress from a pod", extra={"address": address, "error": str(error)})
        return None
    return answer if isinstance(answer, dict) else None
