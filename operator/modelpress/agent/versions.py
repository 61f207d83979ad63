"""The versions of one model in a running Triton: one is loaded and proved beside another, and takes over from it.

Triton answers requests that name no version by the highest version that it holds. So what is to be proved first gets a
lower number than what answers, and takes over when that is unloaded; Triton unloads a version only after its last
request. All versions of a model share one config.pbtxt: they must take and give the same.

What is in the repository is read off it each time; nothing is remembered that could be wrong after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from modelpress.api.reasons import ENVIRONMENT, Reason
from modelpress.api.results import Failure
from modelpress.api.servingpod import ServedModel
from modelpress.triton import repository
from modelpress.triton.client import TritonAwayError, TritonClient, TritonError, VersionState

from . import fetching, verification
from .failure import AgentError
from .fetching import Prepared
from .settings import Settings

log = logging.getLogger(__name__)

INTERVAL = 0.2
"""Seconds between two questions whether Triton has loaded or unloaded something."""
NOTICE_SECONDS = 10.0
"""Time within which Triton, which looks every second, has noticed what is new."""
LOAD_SECONDS = 900.0
"""Longest time to load a version, of a big model from a slow disk."""


@dataclass
class Held:
    """One version of a model, as far as it has come."""

    wanted: ServedModel
    prepared: Prepared | None = None
    """Its files are in the pod."""
    verified: bool = False
    """This Triton gave the reference answers, and has not lost the version since."""
    failure: Failure | None = None
    """Why the last try failed."""
    not_before: float = 0.0
    """Time of the loop's clock before which it is not tried again."""

    @property
    def is_judged(self) -> bool:
        """Whether another try would fail like the last one."""
        return self.failure is not None and self.failure.reason not in ENVIRONMENT


class Versions:
    """Brings versions into one Triton, and takes them away."""

    def __init__(self, settings: Settings, triton: TritonClient) -> None:
        self._settings, self._triton = settings, triton

    async def bring(self, held: Held, *, beside: bool) -> None:
        """Fetch a version, have it loaded, and prove it.

        `beside`: it must not be reached before it is told to take over. Else what stands in its way goes before it
        comes. Raises AgentError, or TritonAwayError: it is to be tried again.
        """
        if held.prepared is None:
            log.info("bringing in %s from %s", held.wanted.name, held.wanted.uri)
            held.prepared = await asyncio.to_thread(fetching.prepare, held.wanted, self._settings)
        if not await self._triton.live():
            raise TritonAwayError("Triton does not answer")
        before = await self._place(held.prepared, beside=beside)
        await self._loaded(held.wanted, before)
        await self._prove(held.prepared)

    async def leave_only(self, prepared: Prepared, keep: Iterable[ServedModel]) -> bool:
        """Have all versions go but those of `keep`, of which `prepared` is one; return whether any went.

        Raises TritonAwayError: it is to be tried again.
        """
        name, kept = prepared.model.name, list(keep)
        there = fetching.placed(name, self._settings)
        others = {number for number, model in there.items() if model not in kept}
        if not others:
            return False
        self._configure(prepared, there.keys() - others)
        await self._unloaded(name, others)
        for number in others:
            log.info("version %d of %s is unloaded", number, name)
            repository.take(self._settings.repository, name, number)
        return True

    def withdraw(self, prepared: Prepared, number: int) -> None:
        """Have a Triton that has ended start without version `number`. `prepared`: of another one, which stays."""
        name = prepared.model.name
        self._configure(prepared, fetching.placed(name, self._settings).keys() - {number})
        repository.take(self._settings.repository, name, number)

    async def remove(self, name: str) -> None:
        """Take a model away, and return when Triton holds it no longer. Raises TritonAwayError."""
        numbers = fetching.placed(name, self._settings).keys()
        repository.remove(self._settings.repository, name)
        await self._unloaded(name, numbers)

    async def _place(self, prepared: Prepared, *, beside: bool) -> str:
        """Put the version into the repository; return why Triton could not load another one of that number before.

        Raises AgentError, TritonAwayError.
        """
        wanted, there = prepared.model, fetching.placed(prepared.model.name, self._settings)
        if there and not repository.configuration(self._settings.repository, wanted.name):
            repository.remove(self._settings.repository, wanted.name)  # an agent was killed over the first one
            there = {}
        if there.get(wanted.version) == wanted:
            self._configure(prepared, there)
            return ""
        if conflict := self._conflict(prepared, there):
            if beside:
                raise AgentError(Reason.IN_PLACE_INCOMPATIBLE, conflict)
            log.warning("%s is taken away before its other version comes: %s", wanted.name, conflict)
            await self.remove(wanted.name)
            there = {}
        known = (await self._states(wanted.name)).get(wanted.version)
        await asyncio.to_thread(fetching.place, prepared, self._settings, {*there, wanted.version})
        return known.failure if known is not None else ""

    def _conflict(self, prepared: Prepared, there: dict[int, ServedModel | None]) -> str:
        """Say why a version cannot be loaded beside those that are `there`; empty if it can."""
        wanted = prepared.model
        if not there:
            return ""
        now = repository.configuration(self._settings.repository, wanted.name)
        if now != fetching.configured(prepared, self._settings.task, there):
            return f"{wanted.revision or 'it'} takes or gives other tensors than what {wanted.name} serves now."
        for number, other in there.items():
            same = other is not None and other.manifest_digest == wanted.manifest_digest
            if number == wanted.version or (number < wanted.version and not same):
                return f"version {number} is there, and requests would reach version {wanted.version} unproved."
        return ""

    def _configure(self, prepared: Prepared, numbers: Iterable[int]) -> None:
        name, text = prepared.model.name, fetching.configured(prepared, self._settings.task, numbers)
        if repository.configuration(self._settings.repository, name) != text:
            repository.configure(self._settings.repository, name, text)

    async def _loaded(self, wanted: ServedModel, before: str) -> None:
        """Return when Triton holds the version. Raises AgentError if it cannot, or TritonAwayError.

        `before`: the failure of another one of its number, which Triton shows until it tries this one.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        deadline = begun + LOAD_SECONDS
        while not await self._triton.ready(wanted.name, wanted.version):
            state = (await self._states(wanted.name)).get(wanted.version)
            if state is not None and not state.failure:
                before = ""
            if state is not None and state.failure and (state.failure != before or clock() > begun + NOTICE_SECONDS):
                why = f"Triton cannot load {wanted.name}: {state.failure}"
                raise AgentError(Reason.MODEL_LOAD_FAILED, why)
            if clock() > deadline:
                why = f"Triton did not load {wanted.name} within {LOAD_SECONDS:.0f} s; its log may tell why."
                raise AgentError(Reason.MODEL_LOAD_FAILED, why)
            await asyncio.sleep(INTERVAL)

    async def _unloaded(self, name: str, numbers: Collection[int]) -> None:
        """Return when Triton holds none of the versions `numbers` any more. Raises TritonAwayError."""
        while any(state.ready for number, state in (await self._states(name)).items() if number in numbers):  # noqa: ASYNC110
            await asyncio.sleep(INTERVAL)

    async def _states(self, name: str) -> dict[int, VersionState]:
        try:
            return await self._triton.versions(name)
        except TritonError as error:
            raise TritonAwayError(f"Triton does not tell what it holds: {error}") from error

    async def _prove(self, prepared: Prepared) -> None:
        """Raise AgentError with AnswersDiffer unless Triton gives the reference answers, or TritonAwayError."""
        name, number, limit = prepared.model.name, prepared.model.version, prepared.model.max_batch_size
        reference, manifest = prepared.reference, prepared.manifest
        outputs = list(reference.outputs)
        try:
            for arrays in verification.warm_up(reference, manifest, limit):
                await self._triton.infer(name, arrays, outputs, number)
            answers = [
                await self._triton.infer(name, arrays, outputs, number)
                for arrays in verification.requests(reference, manifest, limit)
            ]
            found = verification.difference(reference, answers)
        except (TritonError, ValueError, KeyError) as error:
            found = f"the reference input is refused: {error}"
        if found:
            raise AgentError(
                Reason.ANSWERS_DIFFER,
                f"{name} does not give the answers here that it gave when it was judged: {found}. "
                "Serve it on the kind of machine it was compressed on, or choose a milder recipe.",
            )
