"""Keeping Triton in the state that models.json asks for, whatever restarts.

Two loops share one table of models. `work` brings in what is missing: files, load, warm-up, proof. `watch` asks Triton
every INTERVAL what it holds; what it lost (its container was restarted) is loaded and proved again by `work`.

Nothing is remembered that could be wrong after a restart: an agent that starts beside a running Triton hashes its files
again, and proves again that the answers are the judge's; it loads again only if Triton may hold something else.
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
from modelpress.triton.client import TritonAwayError, TritonClient, TritonError

from . import fetching, verification
from .failure import AgentError
from .fetching import Prepared
from .settings import Settings

log = logging.getLogger(__name__)

INTERVAL = 0.5
"""Seconds between two looks at models.json and at Triton."""
RETRY_SECONDS = 30.0
"""Seconds until a model that failed is tried again, while others are served."""


@dataclass
class Held:
    """One model of the pod, as far as it has come."""

    wanted: ServedModel
    prepared: Prepared | None = None
    """Its files are in the repository."""
    loaded: ServedModel | None = None
    """What Triton was last told to load."""
    verified: bool = False
    """This Triton gave the reference answers, and has not lost the model since."""
    failure: Failure | None = None
    """Why the last try failed."""
    not_before: float = 0.0
    """Time of the loop's clock before which it is not tried again."""


class Keeper:
    """The models of one pod."""

    def __init__(self, settings: Settings, triton: TritonClient) -> None:
        self._settings, self._triton = settings, triton
        self.models: dict[str, Held] = {}
        """By name."""
        self.proxy_answers = False
        """Whether a request from outside reaches Triton."""
        self._complete: frozenset[str] = frozenset()

    @property
    def ready(self) -> bool:
        """Whether the pod should get requests: every model it ever had complete, or else every model, is verified.

        So a model that is added to a running pod does not take the others' clients away.
        """
        needed = [held for name, held in self.models.items() if name in (self._complete or self.models)]
        return self.proxy_answers and bool(needed) and all(held.verified for held in needed)

    async def work(self) -> None:
        """Bring in what is missing, for ever. Raises AgentError if a model fails and no other is served."""
        while True:
            await self.step()
            await asyncio.sleep(INTERVAL)

    async def watch(self) -> None:
        """Ask Triton and the proxy what they have, for ever; a pod that is to end is left alone."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            while True:
                if not self._settings.stopping_file.exists():
                    await self.look()
                    self.proxy_answers = await self._ask_proxy(session)
                await asyncio.sleep(INTERVAL)

    async def step(self) -> None:
        """Do once what `work` does for ever."""
        for name in self._read_wanted():
            await self._drop(name)
        for held in list(self.models.values()):
            if not held.verified and asyncio.get_running_loop().time() >= held.not_before:
                await self._advance(held)
        if self.models and all(held.verified for held in self.models.values()):
            self._complete = frozenset(self.models)

    async def look(self) -> None:
        """Ask Triton once what it still has."""
        for name, held in list(self.models.items()):
            if held.verified and not await self._triton.ready(name, held.wanted.version):
                log.warning("Triton no longer has %s; it is loaded again", name)
                held.verified, held.loaded = False, None

    def _read_wanted(self) -> list[str]:
        """Bring the table of models in line with models.json; return the names of those that are no longer wanted.

        Raises AgentError if models.json cannot be read at the start.
        """
        try:
            pod = ServingPod.model_validate_json(self._settings.models_file.read_bytes())
        except (OSError, ValidationError) as error:
            if not self.models:
                raise AgentError(Reason.OPERATOR_ERROR, f"models.json cannot be read: {error}") from error
            log.error("models.json cannot be read, what is there stays: %s", error)
            return []
        wanted = {model.name: model for model in pod.models}
        for name, model in wanted.items():
            if name not in self.models:
                self.models[name] = Held(model)
            elif self.models[name].wanted != model:
                self.models[name] = Held(model, loaded=self.models[name].loaded)
        return [name for name in self.models if name not in wanted]

    async def _drop(self, name: str) -> None:
        """Unload a model and take its files away. What Triton cannot do now is asked of it again at the next look."""
        try:
            await self._triton.unload(name)
        except (TritonAwayError, TritonError) as error:
            log.warning("%s is not unloaded yet: %s", name, error)
            return
        fetching.forget(name, self._settings.repository)
        self._complete -= {name}
        del self.models[name]

    async def _advance(self, held: Held) -> None:
        name = held.wanted.name
        try:
            if held.prepared is None:
                log.info("bringing in %s from %s", name, held.wanted.uri)
                held.prepared = await asyncio.to_thread(
                    fetching.prepare, held.wanted, self._settings.repository, self._settings.task
                )
            await self._load(held)
            await self._prove(held.prepared)
        except TritonAwayError:
            return
        except AgentError as error:
            log.error("%s: %s", name, error)
            held.failure = error.failure
            held.not_before = asyncio.get_running_loop().time() + RETRY_SECONDS
            if not any(other.verified for other in self.models.values()):
                raise
            return
        held.verified, held.failure = True, None
        log.info("%s gives the judge's reference answers", name)

    async def _load(self, held: Held) -> None:
        """Have Triton load the model unless it has exactly this one. Raises TritonAwayError, AgentError."""
        name = held.wanted.name
        mark = self._settings.run / f"loaded-{name}.json"
        text = held.wanted.model_dump_json()
        same = held.loaded == held.wanted or (mark.exists() and mark.read_text() == text)
        if not await self._triton.live():
            raise TritonAwayError("Triton does not answer")
        if same and await self._triton.ready(name, held.wanted.version):
            return
        mark.unlink(missing_ok=True)
        try:
            await self._triton.load(name)
        except TritonError as error:
            raise AgentError(Reason.MODEL_LOAD_FAILED, f"Triton cannot load {name}: {error}") from error
        mark.write_text(text)
        held.loaded = held.wanted

    async def _prove(self, prepared: Prepared) -> None:
        """Raise AgentError with AnswersDiffer unless Triton gives the reference answers, or TritonAwayError."""
        name, limit = prepared.model.name, prepared.model.max_batch_size
        reference, manifest = prepared.reference, prepared.manifest
        outputs = list(reference.outputs)
        try:
            for arrays in verification.warm_up(reference, manifest, limit):
                await self._triton.infer(name, arrays, outputs)
            answers = [
                await self._triton.infer(name, arrays, outputs)
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

    async def _ask_proxy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{self._settings.ports.http}/v2/health/live") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False
