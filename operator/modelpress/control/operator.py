"""The operator process: wire the parts, wait for the Lease, run until told to stop or until something essential is
lost.

Nothing here is mended at run time: a lost Lease, a watch that cannot go on, or a worker's failure ends the process
with its own exit code, and the kubelet starts a fresh one, which holds nothing from before.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import kopf
from aiohttp import web

from modelpress.control import extensions, handlers
from modelpress.control.applying import Applier
from modelpress.control.carry_out import CarryOut
from modelpress.control.counts import CountsPoller
from modelpress.control.door import Door
from modelpress.control.events import EventPoster
from modelpress.control.extensions import ExtensionsChangedError
from modelpress.control.health import Health
from modelpress.control.holdings import HoldingsPoller
from modelpress.control.kinds import WATCHED, Kind
from modelpress.control.lease import Lease, LeaseLostError
from modelpress.control.metrics import Metrics
from modelpress.control.objects import Key, Objects
from modelpress.control.observe import Observer
from modelpress.control.progress import ProgressPoller
from modelpress.control.queries import QueryPoller
from modelpress.control.queue import WorkQueue
from modelpress.control.reconcile import Installation, Planner, Reconciler, resync
from modelpress.control.seam import Seam
from modelpress.control.sender import Sender, load_configuration
from modelpress.control.settings import Settings

logger = logging.getLogger(__name__)

EXIT_STOPPED = 0
EXIT_FAILED = 1
EXIT_LEASE_LOST = 3
EXIT_EXTENSIONS_CHANGED = 4


class Operator:
    """All parts of one operator, wired.

    `run` makes it work; tests look inside while it does.
    """

    def __init__(
        self,
        settings: Settings,
        planner: Planner[Installation],
        installation: Installation,
        *,
        sender: Sender,
        metrics: Metrics,
        seam: Seam | None = None,
    ) -> None:
        self.settings, self.metrics, self._sender = settings, metrics, sender
        self.objects = Objects(settings.scopes)
        self.queue: WorkQueue[Key] = WorkQueue()
        self.lease = Lease(sender, settings)
        self.door = Door(sender, self.lease, seam or Seam())
        self.progress = ProgressPoller(self.objects, self.queue.add, settings.progress_interval)
        self.counts = CountsPoller(self.objects, self.queue.add, settings.counts_interval)
        self.queries = QueryPoller(self.objects, self.queue.add, settings.counts_interval, settings.prometheus)
        self.holdings = HoldingsPoller(self.objects, self.queue.add, settings.counts_interval)
        told = (self.progress.answers, self.counts.counts, self.queries.answers, self.holdings.answers)
        self.observer = Observer(self.objects, self.door, *told)
        self.applier = Applier(self.door, self.objects)
        self.objects.on_gone = self.applier.forget
        self.carrier = CarryOut(
            self.door, self.applier, EventPoster(self.door, settings.identity, metrics), self.objects
        )
        self.reconciler = Reconciler(
            planner, installation, observer=self.observer, carrier=self.carrier, queue=self.queue, metrics=metrics
        )
        self.health = Health(settings.watch_silence, metrics)
        self.health.missing_lists = self.objects.missing_lists
        self._listed = asyncio.Event()
        metrics.read_queue(lambda: len(self.queue), lambda: self.queue.delayed)
        metrics.read_models(self.objects)

    def changed(self, keys: Collection[Key]) -> None:
        """Have rounds made on `keys`; the first ones when every kind has been listed."""
        for key in keys:
            self.queue.add(key)
        if not self._listed.is_set() and not self.objects.missing_lists():
            logger.info("every kind is listed", extra={"models": len(self.objects.models())})
            self._listed.set()

    async def run(self, stop: asyncio.Event) -> int:
        """Lead when the Lease allows it and work until `stop`.

        Return the exit code.
        """
        if not await _unless(stop, self.lease.acquire()):
            return EXIT_STOPPED
        self.metrics.leader.set(1)
        tasks = [asyncio.create_task(part) for part in (self.lease.hold(), stop.wait(), self._lead())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return _exit_code(done)
        finally:
            await _cancel(tasks)
            await self.lease.release()

    async def _lead(self) -> None:
        """Find out what there is to watch, and do everything else until a part of it ends."""
        more = await extensions.present(self._sender)
        self.objects.extend(more)
        kinds = WATCHED + more
        self.health.start(kinds, self.settings.scopes)
        pollers = (self.progress, self.counts, self.queries, self.holdings)
        parts = [*(poller.poll() for poller in pollers), self._resync()]
        parts.append(extensions.stay_the_same(self._sender, more))
        parts += [self._work() for _ in range(self.settings.workers)]
        tasks = [asyncio.create_task(part) for part in [*parts, self._watch(kinds)]]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _cancel(tasks)

    async def _work(self) -> None:
        await self._listed.wait()
        await self.reconciler.work()

    async def _resync(self) -> None:
        await self._listed.wait()
        await resync(self.objects, self.queue, self.settings.resync)

    async def _watch(self, kinds: tuple[Kind, ...]) -> None:
        """Run kopf.

        It ends by itself only when it is told to stop by a signal, or when a watch cannot go on.
        """
        with handlers.watched_closely(self.objects, self.health, self.changed):
            await kopf.operator(
                registry=handlers.make_registry(self.objects, self.changed, self.settings.kubeconfig, kinds),
                settings=handlers.make_settings(self.settings, kinds),
                standalone=True,
                clusterwide=not self.settings.watch_namespaces,
                namespaces=self.settings.watch_namespaces,
            )


async def run(
    settings: Settings, planner: Planner[Installation], installation: Installation, seam: Seam | None = None
) -> int:
    """Run an operator, with its pages for probes and Prometheus, until a signal.

    Return the exit code.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with Sender(await load_configuration(settings.kubeconfig), settings, metrics) as sender:
        operator = Operator(settings, planner, installation, sender=sender, metrics=metrics, seam=seam)
        async with _served(operator.health.app(), settings):
            code = await operator.run(stop)
    logger.info("ended", extra={"code": code})
    return code


@asynccontextmanager
async def _served(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.http_host, settings.http_port).start()
        yield
    finally:
        await runner.cleanup()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do `work`, unless `stop` comes first.

    Return whether it was done.
    """
    tasks = [asyncio.create_task(work), asyncio.create_task(stop.wait())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await _cancel(tasks)
    if tasks[0] in done:
        tasks[0].result()
    return tasks[0] in done


def _exit_code(done: Collection[asyncio.Task[Any]]) -> int:
    """Return what the first part that ended makes of the whole."""
    for task in done:
        error = task.exception()
        if isinstance(error, LeaseLostError):
            logger.error("the Lease is lost", extra={"reason": str(error)})
            return EXIT_LEASE_LOST
        if isinstance(error, ExtensionsChangedError):
            logger.info("ends to start anew", extra={"reason": str(error)})
            return EXIT_EXTENSIONS_CHANGED
        if error is not None:
            logger.error("an essential part failed", exc_info=error)
            return EXIT_FAILED
    return EXIT_STOPPED


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel what still runs and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
