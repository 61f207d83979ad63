"""One leader at a time, by a Lease: the well-known algorithm, on the monotonic clock.

`kubernetes.aio` has an elector, but it ages the Lease by the wall clock, gives up when a connection breaks, and
cannot say how old the Lease is, which the write door has to know before each write. So this one is our own; record
and times are client-go's.

A holder may write until `renew_deadline` after it *sent* its last successful renewal; others may take over only
`lease_duration` after they *saw* a renewal. A write sent at the last moment ends, by its timeout, before that.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from modelpress.control.sender import ApiError, Sender, UnavailableError
from modelpress.control.settings import Settings

logger = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """This process may not write any more.

    It has to end: only a new one may ask for the Lease again.
    """


class Lease:
    """This process's claim to lead."""

    def __init__(self, sender: Sender, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._sender, self._settings, self._clock = sender, settings, clock
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases"
        self._lease: dict[str, Any] | None = None
        self._renewed_at: float | None = None
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0

    @property
    def held(self) -> bool:
        """Whether this process may write now."""
        return self._renewed_at is not None and self._clock() - self._renewed_at < self._settings.renew_deadline

    def check(self) -> None:
        """Return if this process may write now.

        Raises LeaseLostError.
        """
        if not self.held:
            raise LeaseLostError("the Lease was not renewed in time; another operator may be leading")

    async def acquire(self) -> None:
        """Wait until this process leads."""
        logger.info(
            "asking for the Lease", extra={"lease": self._settings.lease_name, "identity": self._settings.identity}
        )
        while not await self._try():  # noqa: ASYNC110 - another process decides when
            await asyncio.sleep(self._settings.retry_period * random.uniform(1.0, 1.2))
        logger.info("leading", extra={"identity": self._settings.identity})

    async def hold(self) -> None:
        """Renew until that fails for too long, or somebody else holds the Lease.

        Raises LeaseLostError; never returns.
        """
        while True:
            await asyncio.sleep(self._settings.retry_period * random.uniform(0.8, 1.0))
            if not await self._try() and self._is_others():
                self._renewed_at = None
            self.check()

    async def release(self) -> None:
        """Let the next one lead at once, instead of after `lease_duration`.

        Best effort: this process is ending.
        """
        if not self.held or self._lease is None:
            return
        self._renewed_at = None
        try:
            lease = await self._get()  # a renewal may have been cut off after the server had it
            if lease is not None and lease["spec"].get("holderIdentity") == self._settings.identity:
                await self._put(lease | {"spec": lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}})
        except (ApiError, UnavailableError) as error:
            logger.warning("the Lease was not released", extra={"reason": str(error)})

    async def _try(self) -> bool:
        """Try once to take or renew the Lease.

        Return whether this process leads by the server's word.
        """
        sent_at = self._clock()
        try:
            if self._lease is None or not self._is_ours():
                self._lease = await self._get()
            if self._lease is None:
                self._lease = await self._create()
            elif self._is_ours() or self._is_free():
                self._lease = await self._put(self._claim(self._lease))
            else:
                return False
        except (ApiError, UnavailableError) as error:
            logger.warning("the Lease was not renewed", extra={"reason": str(error)})
            await self._look_again(error)
            return False
        self._renewed_at = sent_at
        return True

    async def _look_again(self, error: Exception) -> None:
        """After a conflict our copy is old: somebody wrote or deleted the Lease.

        Read it anew.
        """
        if isinstance(error, ApiError) and error.status in (404, 409):
            try:
                self._lease = await self._get()
            except (ApiError, UnavailableError):
                self._lease = None

    def _is_ours(self) -> bool:
        return self._lease is not None and self._lease["spec"].get("holderIdentity") == self._settings.identity

    def _is_others(self) -> bool:
        return self._lease is not None and not self._is_ours() and bool(self._lease["spec"].get("holderIdentity"))

    def _is_free(self) -> bool:
        """Say whether the holder has let go, or has not renewed for its own duration as measured on our clock."""
        if self._lease is None or not self._lease["spec"].get("holderIdentity"):
            return True
        spec = self._lease["spec"]
        record = (spec.get("holderIdentity"), spec.get("renewTime"), self._lease["metadata"].get("uid"))
        if record != self._seen:
            self._seen, self._seen_at = record, self._clock()
        return self._clock() - self._seen_at > float(spec.get("leaseDurationSeconds") or self._settings.lease_duration)

    def _claim(self, lease: dict[str, Any]) -> dict[str, Any]:
        old, now = lease["spec"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        new = {
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": max(1, round(self._settings.lease_duration)),
            "renewTime": now,
        }
        if old.get("holderIdentity") != self._settings.identity:
            new |= {"acquireTime": now, "leaseTransitions": int(old.get("leaseTransitions") or 0) + 1}
        return lease | {"spec": old | new}

    async def _get(self) -> dict[str, Any] | None:
        try:
            path = f"{self._path}/{self._settings.lease_name}"
            return (await self._sender.send("GET", path, kind="Lease", attempts=1)).body
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _create(self) -> dict[str, Any]:
        metadata = {"name": self._settings.lease_name, "namespace": self._settings.namespace}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
        return (await self._sender.send("POST", self._path, kind="Lease", body=self._claim(lease), attempts=1)).body

    async def _put(self, lease: dict[str, Any]) -> dict[str, Any]:
        path = f"{self._path}/{self._settings.lease_name}"
        return (await self._sender.send("PUT", path, kind="Lease", body=lease, attempts=1)).body
