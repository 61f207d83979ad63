"""A rollout on the real cluster, half way and under load: what tests do to it, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tests.e2e import rollouts
from tests.e2e.rollouts import AT_ONCE, NAME, TABLES, await_gone, current, question, wanted
from tests.rollout import standing
from tests.support.waves import LastGrowth
from tests.support.workplace import Workplace, wait_for

REPLICAS = 2
PAUSE = "2s"
FINAL = {"weight": 50}
IN_PLACE, RECREATE = "InPlace", "Recreate"
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    IN_PLACE: {"strategy": IN_PLACE},  # its cases take longest, so they come first
    "Canary": {"strategy": "Canary", "steps": [{"weight": 20, "pause": PAUSE}, FINAL]},
    "BlueGreen": {"strategy": "BlueGreen", "scaleDownDelay": PAUSE},
    RECREATE: {"strategy": RECREATE},
}
"""The canary waits at 50 % for a person: it is half way then. Others are while the second set starts, and in place it
is as soon as a pod has proved the new version beside the old one."""
COMMON: Mapping[str, Any] = {"revisionHistoryLimit": 30, "progressDeadline": "4m"}
PATIENCE = 400.0
"""In place, a kubelet may take a minute and a half to bring each of three changed ConfigMaps."""
KEPT = 4
"""Connections of each protocol that are kept."""
ENOUGH = 20
"""Answers in a row by one version alone that show that no other one answers."""


class Stage:
    """One case, from `async with` to its end: a version serves from two pods, and clients of both kinds ask.

    `token`: differs from case to case, so that none remembers what was rejected in another. `first` serves; `second`
    is to come, `third` may. `old`: the revision of `first`, and `own` the set of its pods. `a_pod`: in place, one that
    has proved `second`.
    """

    def __init__(self, workplace: Workplace, strategy: str, token: str) -> None:
        self.workplace, self.strategy, self._token = workplace, strategy, token
        self.first = self.second = self.third = ""
        self.old = self.own = self.candidate = self.a_pod = ""
        self.injected = self.ended = 0.0
        self._fails = ""

    async def __aenter__(self) -> Self:
        at_once = {**AT_ONCE, **COMMON, "retryToken": self._token}
        own_pods = self.strategy != IN_PLACE
        found = await asyncio.to_thread(standing.begin, self.workplace, at_once, REPLICAS, own_pods=own_pods)
        self.first, (self.second, self.third) = found.version, found.others
        self.old, self.own = found.revision, found.own
        self.waves = rollouts.waves(self.workplace)
        self.kept = rollouts.keepers(self.workplace, connections=KEPT)
        self._last = {name: LastGrowth(lambda name=name: self._met_by(name)) for name in TABLES}
        for part in (self.waves, self.kept, *self._last.values()):
            await part.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended = time.monotonic()
        for part in (*self._last.values(), self.kept, self.waves):
            await part.__aexit__(kind, error, trace)

    @property
    def interrupts(self) -> bool:
        """Whether the strategy says itself that nothing answers for a while."""
        return self.strategy == RECREATE

    @property
    def requests(self) -> int:
        """Requests so far."""
        return self.waves.sent + self.kept.http.sent + self.kept.grpc.sent

    @property
    def failures(self) -> list[str]:
        """What failed so far, and answers that are nobody's."""
        return [*self.waves.failures, *self.kept.http.troubles, *self.kept.grpc.troubles]

    def last_answer_but_of(self, version: str) -> float | None:
        """Return the seconds from what happened to the last answer of any other version; None if there was none."""
        times = (last.at for name, last in self._last.items() if name != version and last.at is not None)
        return max((at - self.injected for at in times if at > self.injected), default=None)

    def happens(self, row: int | None = None, fails: str = "") -> None:
        """Note that now happens what the case is about. `row`: what clients that come and go ask for from now on, at
        which the version `fails` fails, and no other."""
        self.injected = time.monotonic()
        if row is not None:
            self._fails, self.waves.question = fails, question(row)

    def spec(self, version: str, rollout: Mapping[str, Any] | None = None, **serving: Any) -> dict[str, Any]:
        """Return the model in `version`, to take over by the strategy of the case."""
        fields = {**STRATEGIES[self.strategy], **COMMON, "retryToken": self._token, **(rollout or {})}
        replicas = {} if "autoscaling" in serving else {"replicas": REPLICAS}
        return wanted(self.workplace, version, fields, **{**replicas, **serving})

    async def apply(self, version: str, rollout: Mapping[str, Any] | None = None, **serving: Any) -> None:
        """Apply the model in `version`."""
        await asyncio.to_thread(self.workplace.apply, self.spec(version, rollout, **serving))

    @property
    def seconds(self) -> float:
        """Seconds from what happened until all was as it must be."""
        return self.ended - self.injected

    async def half_way(self, version: str | None = None, rollout: Mapping[str, Any] | None = None) -> None:
        """Apply `version`, by default the second one, and return when it is half way, see STRATEGIES."""
        version, steps = version or self.second, len(STRATEGIES[self.strategy].get("steps", ()))
        await self.begins(version, rollout, step=steps)
        if steps:
            await self.answers(version)
        if self.strategy == IN_PLACE:
            self.a_pod = await asyncio.to_thread(standing.await_proof, self.workplace, self.candidate)

    async def begins(self, version: str, rollout: Mapping[str, Any] | None = None, step: int = 0) -> None:
        """Apply `version` and return when it is a candidate, at `step` if it has steps."""
        await self.apply(version, rollout)
        found = await asyncio.to_thread(
            rollouts.await_rollout,
            self.workplace,
            lambda status: bool(status) and status.get("step", 0) == step and status["candidate"] != self.old,
            f"{self.strategy} to be at step {step} of {version}",
        )
        self.candidate = found["candidate"]

    async def answers(self, version: str) -> None:
        """Return when `version` answers."""
        await self.waves.until(lambda answers: answers[version] > 0, PATIENCE)

    async def fails(self) -> None:
        """Return when a request has failed."""
        async with asyncio.timeout(PATIENCE):
            while not self.failures:  # noqa: ASYNC110 - clients count plainly
                await asyncio.sleep(0.05)

    async def another_candidate(self) -> str:
        """Return the candidate once it is not the one of `half_way` any more."""

        def look() -> str | None:
            found = rollouts.rollout_of(self.workplace).get("candidate")
            return str(found) if found and found != self.candidate else None

        return await asyncio.to_thread(wait_for, look, "another candidate", PATIENCE, self._explain)

    async def ends_at(self, version: str) -> None:
        """Promote what waits for it; return when `version` serves and answers, and there are no other pods."""
        await asyncio.to_thread(self._promote_what_waits)
        await asyncio.to_thread(standing.await_alone, self.workplace)
        await self._answers_alone(version)

    async def goes_back(self, reasons: tuple[str, ...]) -> str:
        """Return which of `reasons` the model says, when the candidate has no pods and the first version answers alone.

        `candidate` is then the one that went.
        """
        told = await asyncio.to_thread(wait_for, lambda: self._stalled(reasons), "a failure", PATIENCE, self._explain)
        model = await asyncio.to_thread(self.workplace.model, NAME)
        self.candidate = str(model["status"]["candidateRevision"])
        await asyncio.to_thread(await_gone, self.workplace, self.candidate)
        assert await asyncio.to_thread(current, self.workplace) == self.old
        await asyncio.to_thread(standing.await_alone, self.workplace)
        await self._answers_alone(self.first)
        return told

    def _stalled(self, reasons: tuple[str, ...]) -> str | None:
        found = self.workplace.conditions(NAME).get("Stalled", {})
        if found.get("status") != "True":
            return None
        assert found["reason"] in reasons, found
        return str(found["reason"])

    def _promote_what_waits(self) -> None:
        def waits_or_serves() -> str | None:
            ready, stalled = (self.workplace.conditions(NAME).get(kind, {}) for kind in ("Ready", "Stalled"))
            assert stalled.get("status") != "True", f"stalled: {stalled}"
            over = ready.get("status") == "True" or ready.get("reason") == "AwaitingPromotion"
            return str(ready["reason"]) if over else None

        if wait_for(waits_or_serves, "what waits or serves", PATIENCE, self._explain) == "AwaitingPromotion":
            rollouts.command(self.workplace, "promote", NAME)
        self.workplace.await_ready(NAME, PATIENCE)

    async def _answers_alone(self, version: str) -> None:
        """Return when `version` alone has given the last answers."""
        async with asyncio.timeout(PATIENCE):
            while True:
                before = self.waves.answers
                await self.waves.until(lambda answers: answers.total() >= ENOUGH, PATIENCE)
                if set(self.waves.answers - before) == {version}:
                    return

    def _explain(self) -> str:
        return self.workplace.explain(NAME)

    def _met_by(self, version: str) -> int:
        """Return how many requests a version answered, or failed."""
        answers = self.waves.answers + self.kept.http.answers + self.kept.grpc.answers
        return answers[version] + (len(self.failures) if version == self._fails else 0)
