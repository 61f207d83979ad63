"""Carry out a plan, in its order, and decide nothing: applies, scales, deletions, Events, statuses.

What could not be written becomes a Problem, which the planner sees in the next round. After a problem nothing is scaled
or deleted in that round: the world is not as the planner took it to be. Statuses are still written, and come last, so
that they never promise more than was done; an Event comes before the status that says the same, since the planner asks
for it only as long as the status does not say it yet.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field

from modelpress.control.applying import Applier
from modelpress.control.door import CONFLICT, Door, NotWrittenError, OutdatedError, refusal
from modelpress.control.events import EventPoster
from modelpress.control.kinds import path_of
from modelpress.control.lease import LeaseLostError
from modelpress.control.objects import Key, Objects, version_of
from modelpress.control.plan import Manifest, Observed, Plan, Problem, Reference, StatusWrite
from modelpress.control.sender import ApiError, UnavailableError

logger = logging.getLogger(__name__)

OUTDATED_REST = 1.0
"""Seconds until another look when the server knew better; the watch usually brings the key back before."""

ERROR_REST = 60.0


@dataclass(slots=True)
class Outcome:
    """What came of a plan.

    `seen`: versions the next snapshot must have seen. `again_in`: seconds until another look, if wanted.
    """

    problems: dict[Reference, Problem] = field(default_factory=dict)
    seen: dict[Reference, int] = field(default_factory=dict)
    again_in: float | None = None

    def look_again(self, seconds: float) -> None:
        """Ask for another look in `seconds`.

        An earlier wish stands.
        """
        self.again_in = seconds if self.again_in is None else min(seconds, self.again_in)


class CarryOut:
    """Carries out plans."""

    def __init__(self, door: Door, applier: Applier, poster: EventPoster, objects: Objects) -> None:
        self._door, self._applier, self._poster, self._objects = door, applier, poster, objects

    async def carry_out(self, key: Key, plan: Plan, observed: Observed) -> Outcome:
        """Make all of `plan`'s writes.

        Raises UnavailableError and LeaseLostError; everything else ends in the outcome.
        """
        outcome = Outcome(again_in=plan.requeue_after)
        if "deletionTimestamp" not in observed.model["metadata"]:
            await self._change_objects(plan, outcome)
        await self._poster.post(key, observed.model, plan.events)
        for status in plan.status:
            await self._attempt(status.reference, self._write_status(status), outcome)
        return outcome

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a model that is gone."""
        self._poster.forget(key)

    async def _change_objects(self, plan: Plan, outcome: Outcome) -> None:
        for wish in plan.apply:
            await self._attempt(Reference.of(wish.manifest), self._version(self._applier.apply(wish)), outcome)
        if outcome.problems:
            return
        for scale in plan.scale:
            live = self._objects.get(scale.reference)
            if live is not None:
                await self._attempt(scale.reference, self._door.scale(scale, live), outcome)
        for delete in plan.delete:
            await self._attempt(delete.reference, self._door.delete(delete), outcome)

    async def _attempt(self, reference: Reference, write: Awaitable[int | None], outcome: Outcome) -> None:
        """Make one write and note in `outcome` what came of it."""
        try:
            version = await write
        except NotWrittenError as error:
            logger.warning(error.problem.message, extra={"object": str(reference), "reason": error.problem.reason})
            outcome.problems[reference] = error.problem
            outcome.look_again(error.retry_after)
        except OutdatedError as error:
            logger.info("what we know is old; looking again", extra={"object": str(reference), "detail": str(error)})
            outcome.look_again(OUTDATED_REST)
        except (UnavailableError, LeaseLostError):
            raise
        except Exception as error:
            logger.exception("a write failed inside the operator", extra={"object": str(reference)})
            sentence = f"The operator failed at {reference}: {type(error).__name__}: {error}. Its log says more."
            outcome.problems[reference] = Problem("OperatorError", sentence)
            outcome.look_again(ERROR_REST)
        else:
            if version is not None:
                outcome.seen[reference] = version

    async def _version(self, applied: Awaitable[Manifest | None]) -> int | None:
        written = await applied
        return version_of(written) if written is not None else None

    async def _write_status(self, write: StatusWrite) -> int | None:
        """Replace a status, if it means something else than the one there.

        Return the version to wait for.
        """
        live = self._objects.get(write.reference)
        if live is None or live["metadata"]["uid"] != write.uid:
            return None
        if (live.get("status") or {}) == write.status:  # the server says 1 where 1.0 was written
            return None
        names = {"name": write.reference.name, "namespace": write.reference.namespace}
        metadata = names | {"uid": write.uid, "resourceVersion": write.resource_version}
        identity = {"apiVersion": write.reference.api_version, "kind": write.reference.kind}
        body = identity | {"metadata": metadata, "spec": live.get("spec"), "status": write.status}
        try:
            answer = await self._door.write(
                "PUT", path_of(write.reference, "status"), kind=write.reference.kind, body=body
            )
        except ApiError as error:
            if error.status == 404:
                return None
            if error.status == CONFLICT:
                raise OutdatedError(str(error)) from error
            raise refusal(error, write.reference) from error
        return version_of(answer.body)
