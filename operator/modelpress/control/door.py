"""The one door for writes.

Whatever the operator changes in the cluster, its Lease aside, goes through `Door.write`. Before each write, and
before each retry of one, the Lease's age is checked; a seam lets tests stop the world on either side. What to write,
and whether, is decided elsewhere: applying.py for objects, carry_out.py for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelpress.api.names import FIELD_MANAGER
from modelpress.control.kinds import kind_of, path_of
from modelpress.control.lease import Lease
from modelpress.control.plan import Delete, Manifest, Problem, Reference, Scale
from modelpress.control.seam import Seam
from modelpress.control.sender import ATTEMPTS, JSON, MERGE_PATCH, Answer, ApiError, Sender

REFUSED_REST = 60.0
"""Seconds after which a refused write is tried again, be it unchanged."""

CONFLICT = 409
WRITE_REFUSED = "WriteRefused"


class NotWrittenError(Exception):
    """A wanted write was not made, for a reason a person can act on.

    It may be tried again in `retry_after` seconds.
    """

    def __init__(self, problem: Problem, retry_after: float = REFUSED_REST) -> None:
        super().__init__(problem.message)
        self.problem, self.retry_after = problem, retry_after


class OutdatedError(Exception):
    """What we knew of the object is old.

    The watch will show the new state; then look again.
    """


class Door:
    """Sends writes, one object each."""

    def __init__(self, sender: Sender, lease: Lease, seam: Seam) -> None:
        self._sender, self._lease, self._seam = sender, lease, seam

    async def read(self, reference: Reference) -> Manifest | None:
        """Ask the server for one object; None if it does not exist."""
        try:
            answer = await self._sender.send("GET", path_of(reference), kind=reference.kind)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return answer.body

    async def write(
        self,
        verb: str,
        path: str,
        *,
        kind: str,
        body: Any,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
        attempts: int = ATTEMPTS,
    ) -> Answer:
        """Make one write.

        Raises ApiError, UnavailableError, LeaseLostError.
        """
        self._lease.check()
        await self._seam.before_write(f"{verb} {path}")
        answer = await self._sender.send(
            verb,
            path,
            kind=kind,
            body=body,
            params={"fieldManager": FIELD_MANAGER, **(params or {})},
            content_type=content_type,
            attempts=attempts,
            guard=self._lease.check,
        )
        await self._seam.after_write(f"{verb} {path}")
        return answer

    async def scale(self, scale: Scale, live: Manifest) -> int | None:
        """Set replicas through /scale, unless `live` has them.

        Return the version to wait for, if written.
        """
        if live["spec"].get("replicas", 1) == scale.replicas:
            return None
        body = {"metadata": {"uid": live["metadata"]["uid"]}, "spec": {"replicas": scale.replicas}}
        path = path_of(scale.reference, "scale")
        try:
            answer = await self.write("PATCH", path, kind="Scale", body=body, content_type=MERGE_PATCH)
        except ApiError as error:
            raise refusal(error, scale.reference) from error
        return int(answer.body["metadata"]["resourceVersion"])

    async def delete(self, delete: Delete) -> int | None:
        """Delete the object if the server still has it with this UID.

        Return the version after which it is gone or going.
        """
        live = await self.read(delete.reference)
        if live is None or live["metadata"]["uid"] != delete.uid or "deletionTimestamp" in live["metadata"]:
            return None
        options = {"preconditions": {"uid": delete.uid}, "propagationPolicy": "Background"}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        try:
            await self.write("DELETE", path_of(delete.reference), kind=delete.reference.kind, body=body)
        except ApiError as error:
            if error.status in (404, CONFLICT):
                return None
            raise refusal(error, delete.reference) from error
        return int(live["metadata"]["resourceVersion"]) + 1

    async def create(self, manifest: Manifest) -> Manifest | None:
        """Create an object that is not there; None if one of that name exists."""
        reference = Reference.of(manifest)
        try:
            path = kind_of(reference).collection(reference.namespace)
            return (await self.write("POST", path, kind=reference.kind, body=manifest)).body
        except ApiError as error:
            if error.status == CONFLICT:
                return None
            raise refusal(error, reference) from error


def refusal(error: ApiError, reference: Reference) -> Exception:
    """Return what a refused write means: OutdatedError if our knowledge is old, else NotWrittenError with one
    sentence."""
    if error.status == CONFLICT:
        return OutdatedError(f"{reference}: {error.message}")
    sentence = f"The API server refused {reference} ({error.status} {error.reason}): {error.message}"
    return NotWrittenError(Problem(WRITE_REFUSED, sentence))
