"""Keeping Triton in the state that models.json asks for, whatever restarts.

Two loops share one table of models. `work` brings in what is missing: files, load, warm-up, proof. `watch` asks Triton
every INTERVAL what it holds; what it lost (its container was restarted) is proved again by `work`.

Of each model there are up to three versions: `serving` answers; `current` is to answer, and takes over once it is
proved, which it mostly is already, since it was the candidate before; `candidate` is loaded and proved beside them.
Whatever goes wrong with one of the others, `serving` stays.

Nothing is remembered that could be wrong after a restart: an agent that starts beside a running Triton hashes its files
again, and proves again that the answers are the judge's; Triton is given nothing that it has.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import aiohttp
from pydantic import ValidationError

from modelpress.api.reasons import Reason
from modelpress.api.results import Failure
from modelpress.api.servingpod import ServedModel, ServingPod
from modelpress.triton.client import TritonAwayError, TritonClient

from . import fetching
from .failure import AgentError
from .settings import Settings
from .versions import Held, Versions

log = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two looks at models.json and at Triton."""
RETRY_SECONDS = 30.0
"""Seconds until a model that failed is tried again, while others are served."""


@dataclass
class Slot:
    """The versions of one model."""

    current: Held
    """What is to answer."""
    candidate: Held | None = None
    """What is loaded beside it."""
    serving: Held | None = None
    """What answers; another than `current` only until that is proved."""

    @property
    def held(self) -> tuple[Held, ...]:
        """All versions, each once, the most important first."""
        named = (self.serving, self.current, self.candidate)
        return tuple({id(held): held for held in named if held is not None}.values())

    @property
    def answers(self) -> bool:
        """Whether clients get right answers."""
        return self.serving is not None and self.serving.verified


class Keeper:
    """The models of one pod."""

    def __init__(self, settings: Settings, triton: TritonClient) -> None:
        self._settings, self._triton = settings, triton
        self._versions = Versions(settings, triton)
        self.slots: dict[str, Slot] = {}
        """By name of the model."""
        self.proxy_answers = False
        """Whether a request from outside reaches Triton."""
        self._complete: frozenset[str] = frozenset()

    @property
    def models(self) -> dict[str, Held]:
        """What is to answer, by name."""
        return {name: slot.current for name, slot in self.slots.items()}

    @property
    def ready(self) -> bool:
        """Whether the pod should get requests: every model it ever had complete, or else every model, answers.

        So a model that is added to a running pod does not take the others' clients away.
        """
        needed = [slot for name, slot in self.slots.items() if name in (self._complete or self.slots)]
        return self.proxy_answers and bool(needed) and all(slot.answers for slot in needed)

    async def work(self) -> None:
        """Bring in what is missing, for ever. Raises AgentError if a model fails and no other is served."""
        while True:
            await self.step()
            await asyncio.sleep(INTERVAL)

    async def watch(self) -> None:
        """Ask Triton and the proxy what they have, for ever; a pod that is to end is left alone.

        On a connection for each question: one that is kept would be a client that the drain waits for.
        """
        connector, timeout = aiohttp.TCPConnector(force_close=True), aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                if not self._settings.stopping_file.exists():
                    await self.look()
                    self.proxy_answers = await self._ask_proxy(session)
                await asyncio.sleep(INTERVAL)

    async def step(self) -> None:
        """Do once what `work` does for ever."""
        for name in self._read_wanted():
            await self._drop(name)
        for slot in list(self.slots.values()):
            try:
                await self._advance(slot)
            except TritonAwayError as error:
                log.debug("%s: %s", slot.current.wanted.name, error)
        if self.slots and all(slot.answers for slot in self.slots.values()):
            self._complete = frozenset(self.slots)

    async def look(self) -> None:
        """Ask Triton once what it still has."""
        for name, slot in list(self.slots.items()):
            lost = [held for held in slot.held if held.verified and not await self._has(held)]
            for held in lost:
                log.warning("Triton no longer has version %d of %s", held.wanted.version, name)
                held.verified = False
            if slot.serving in lost and slot.candidate is not None and not await self._triton.live():
                self._give_up(slot, slot.candidate)

    async def _has(self, held: Held) -> bool:
        return await self._triton.ready(held.wanted.name, held.wanted.version)

    def _give_up(self, slot: Slot, candidate: Held) -> None:
        """Have a Triton that ended beside a candidate start without it."""
        name = slot.current.wanted.name
        why = f"Triton ended while it held two versions of {name}; if memory was short, it needs more for both."
        log.error(why)
        candidate.failure = Failure(reason=Reason.IN_PLACE_INCOMPATIBLE, message=why)
        if slot.current.prepared is not None:
            self._versions.withdraw(slot.current.prepared, candidate.wanted.version)

    def _read_wanted(self) -> list[str]:
        """Bring the table of models in line with models.json; return the names of those that are no longer wanted.

        Raises AgentError if models.json cannot be read at the start.
        """
        try:
            pod = ServingPod.model_validate_json(self._settings.models_file.read_bytes())
        except (OSError, ValidationError) as error:
            if not self.slots:
                raise AgentError(Reason.OPERATOR_ERROR, f"models.json cannot be read: {error}") from error
            log.error("models.json cannot be read, what is there stays: %s", error)
            return []
        candidates = {model.name: model for model in pod.candidates}
        wanted = {model.name: model for model in pod.models}
        for name, model in wanted.items():
            slot = self.slots.setdefault(name, Slot(Held(model)))
            slot.current = _known(slot, model) or Held(model)
            candidate = candidates.get(name)
            slot.candidate = (_known(slot, candidate) or Held(candidate)) if candidate not in (None, model) else None
        return [name for name in self.slots if name not in wanted]

    async def _drop(self, name: str) -> None:
        """Unload a model and take its files away. What Triton cannot do now is asked of it again at the next look."""
        try:
            await self._versions.remove(name)
        except TritonAwayError as error:
            log.warning("%s is not unloaded yet: %s", name, error)
            return
        self._complete -= {name}
        del self.slots[name]

    async def _advance(self, slot: Slot) -> None:
        """Bring a model one step further. Raises AgentError if it fails and nothing is served, or TritonAwayError.

        The candidate comes when that is done, and one that it overtook has left its number.
        """
        answers = slot.serving is slot.current and slot.answers
        for held in slot.held:
            if held is not slot.candidate and _is_due(held):
                await self._bring(slot, held)
        current, candidate = slot.current, slot.candidate
        if current.verified and current.prepared is not None:
            keep = [held.wanted for held in (current, candidate) if held is not None and not held.is_judged]
            if await self._versions.leave_only(current.prepared, keep):
                needed = [held.wanted for slot in self.slots.values() for held in slot.held]
                await asyncio.to_thread(fetching.keep_only, needed, self._settings)
            slot.serving = current
        if answers and candidate is not None and _is_due(candidate) and not candidate.is_judged:
            await self._bring(slot, candidate)

    async def _bring(self, slot: Slot, held: Held) -> None:
        name = held.wanted.name
        try:
            await self._versions.bring(held, beside=held is slot.candidate)
        except AgentError as error:
            log.error("%s: %s", name, error)
            held.failure = error.failure
            held.not_before = asyncio.get_running_loop().time() + RETRY_SECONDS
            if not any(other.answers for other in self.slots.values()):
                raise
            return
        held.verified, held.failure = True, None
        log.info("version %d of %s gives the judge's reference answers", held.wanted.version, name)

    async def _ask_proxy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{self._settings.ports.http}/v2/health/live") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False


def _is_due(held: Held) -> bool:
    """Say whether a version is to be brought in now."""
    return not held.verified and asyncio.get_running_loop().time() >= held.not_before


def _known(slot: Slot, model: ServedModel | None) -> Held | None:
    """Return what is known of a version of the slot, if it is one."""
    return next((held for held in slot.held if held.wanted == model), None)
