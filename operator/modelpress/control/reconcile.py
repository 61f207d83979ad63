"""One round on one model: observe, plan, carry out.

And the workers that make rounds all day. The planner is a parameter: this file knows nothing about models. A round
that fails comes back with backoff; a problem that a write met is put into the next snapshot, which follows at once,
so that the model's status says it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from modelpress.control import logs
from modelpress.control.carry_out import CarryOut, Outcome
from modelpress.control.kinds import MODEL
from modelpress.control.lease import LeaseLostError
from modelpress.control.metrics import Metrics
from modelpress.control.objects import Key, Objects
from modelpress.control.observe import Observer
from modelpress.control.plan import Observed, Plan, Problem, Reference
from modelpress.control.queue import WorkQueue
from modelpress.control.sender import UnavailableError

logger = logging.getLogger(__name__)

Installation = TypeVar("Installation")
Planner = Callable[[Observed, datetime, Installation], Plan]
Problems = dict[Reference, Problem]


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


class Reconciler(Generic[Installation]):
    """Makes rounds."""

    def __init__(
        self,
        planner: Planner[Installation],
        installation: Installation,
        *,
        observer: Observer,
        carrier: CarryOut,
        queue: WorkQueue[Key],
        metrics: Metrics,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._planner, self._installation = planner, installation
        self._observer, self._carrier, self._queue = observer, carrier, queue
        self._metrics, self._clock = metrics, clock
        self._problems: dict[Key, Problems] = {}

    async def work(self) -> None:
        """Make rounds on whatever the queue hands out, for ever.

        Raises LeaseLostError.
        """
        while True:
            key = await self._queue.get()
            try:
                with logs.about(key):
                    await self.round(key)
            finally:
                self._queue.done(key)

    async def round(self, key: Key) -> None:
        """Make one round on `key`; on an error, ask for another one later.

        Raises LeaseLostError.
        """
        try:
            with self._metrics.reconcile_duration.time():
                await self._observer.settle(key)
                observed = self._observer.observe(key, self._problems.get(key, {}))
                if observed is None:
                    self._problems.pop(key, None)
                    self._queue.succeeded(key)
                    self._carrier.forget(key)
                    return
                plan = self._planner(observed, self._clock(), self._installation)
                outcome = await self._carrier.carry_out(key, plan, observed)
        except LeaseLostError:
            raise
        except UnavailableError as error:
            self._fail(key, error)
        except Exception as error:
            logger.exception("the round failed")
            self._fail(key, error)
        else:
            self._queue.succeeded(key)
            self._conclude(key, outcome)

    def _conclude(self, key: Key, outcome: Outcome) -> None:
        """Remember what the round met, and ask for the next one."""
        for reference, version in outcome.seen.items():
            self._observer.expect(key, reference, version)
        for problem in outcome.problems.values():
            self._metrics.problems.labels(problem.reason).inc()
        if outcome.problems != self._problems.get(key, {}):
            self._problems[key] = outcome.problems
            self._queue.add(key)
        elif outcome.again_in is not None:
            self._queue.add_after(key, outcome.again_in)

    def _fail(self, key: Key, error: Exception) -> None:
        seconds = self._queue.failed(key)
        self._metrics.reconcile_errors.labels(type(error).__name__).inc()
        logger.warning("the round will be made again", extra={"error": str(error), "seconds": round(seconds, 1)})
        reference = Reference(MODEL.api_version, MODEL.kind, *key)
        sentence = (
            f"The operator could not finish its last round: {type(error).__name__}: {error}. It tries again by itself."
        )
        self._problems[key] = {**self._problems.get(key, {}), reference: Problem("OperatorError", sentence)}


async def resync(objects: Objects, queue: WorkQueue[Key], interval: float) -> None:
    """Ask for a round on every model once each `interval` seconds, spread over it.

    A round without need writes nothing.
    """
    while True:
        keys = objects.models()
        random.shuffle(keys)
        pause = interval / (len(keys) + 1)
        for key in keys:
            await asyncio.sleep(pause)
            queue.add(key)
        await asyncio.sleep(pause)
