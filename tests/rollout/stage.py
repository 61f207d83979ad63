"""A rollout on the real cluster, half way and under load: what tests do to it, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import kubectl
from tests.e2e import rollouts
from tests.e2e.rollouts import AT_ONCE, FIRST, NAME, SHORT, await_gone, current, pods, question, wanted
from tests.support.waves import LastGrowth
from tests.support.workplace import Workplace, wait_for

REPLICAS = 2
PAUSE = "2s"
FINAL = {"weight": 50}
STRATEGIES: Mapping[str, Mapping[str, Any]] = {
    "Canary": {"strategy": "Canary", "steps": [{"weight": 20, "pause": PAUSE}, FINAL]},
    "BlueGreen": {"strategy": "BlueGreen", "scaleDownDelay": PAUSE},
    "Recreate": {"strategy": "Recreate"},
}
"""The canary waits at 50 % for a person: it is half way then. The others are while the second set starts."""
COMMON: Mapping[str, Any] = {"revisionHistoryLimit": 30, "progressDeadline": "4m"}
PATIENCE = 240.0
ENOUGH = 20
"""Answers in a row by one version alone that show that no other one answers."""


class Stage:
    """One case, from `async with` to its end: FIRST serves from two pods, as `old`, and clients of both kinds ask.

    `token`: differs from case to case, so that none remembers what was rejected in another. `loser`: version that is to
    go in the end; its last answer, or failure to answer, is noted.
    """

    def __init__(self, workplace: Workplace, strategy: str, token: str, loser: str) -> None:
        self.workplace, self.strategy, self._token, self._loser = workplace, strategy, token, loser
        self.old, self.candidate = "", ""
        self.injected = self.ended = 0.0
        self._last: LastGrowth

    async def __aenter__(self) -> Self:
        await self._set_out()
        self.waves, self.kept = rollouts.waves(self.workplace), rollouts.keepers(self.workplace)
        self._last = LastGrowth(self._met_by_loser)
        for part in (self.waves, self.kept, self._last):
            await part.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended = time.monotonic()
        for part in (self._last, self.kept, self.waves):
            await part.__aexit__(kind, error, trace)

    @property
    def interrupts(self) -> bool:
        """Whether the strategy says itself that nothing answers for a while."""
        return self.strategy == "Recreate"

    @property
    def requests(self) -> int:
        """Requests so far."""
        return self.waves.sent + self.kept.http.sent + self.kept.grpc.sent

    @property
    def failures(self) -> list[str]:
        """What failed so far, and answers that are nobody's."""
        kept = (self.kept.http, self.kept.grpc)
        wrong = ["a wrong answer"] * sum(tally.wrong for tally in kept)
        return [*self.waves.failures, *wrong, *(failure for tally in kept for failure in tally.failures)]

    @property
    def last_answer(self) -> float | None:
        """Seconds from what happened to the last answer of the loser; None if there was none since."""
        return self._last.at - self.injected if self._last.at is not None and self._last.at > self.injected else None

    def happens(self, row: int | None = None) -> None:
        """Note that now happens what the case is about. `row`: what clients that come and go ask for from now on."""
        self.injected = time.monotonic()
        if row is not None:
            self.waves.question = question(row)

    def spec(self, version: str, rollout: Mapping[str, Any] | None = None, **serving: Any) -> dict[str, Any]:
        """Return the model in `version`, to take over by the strategy of the case."""
        fields = {**STRATEGIES[self.strategy], **COMMON, "retryToken": self._token, **(rollout or {})}
        replicas = {} if "autoscaling" in serving else {"replicas": REPLICAS}
        return wanted(self.workplace, version, fields, **{**replicas, **serving})

    async def apply(self, version: str, rollout: Mapping[str, Any] | None = None, **serving: Any) -> None:
        """Apply the model in `version`."""
        await asyncio.to_thread(self.workplace.apply, self.spec(version, rollout, **serving))

    async def half_way_to(self, version: str, rollout: Mapping[str, Any] | None = None, **serving: Any) -> None:
        """Apply `version` and return when it is half way: it has its last share, or is being started."""
        await self.apply(version, rollout, **serving)
        steps = {**STRATEGIES[self.strategy], **(rollout or {})}.get("steps", ())
        found = await asyncio.to_thread(
            rollouts.await_rollout,
            self.workplace,
            lambda status: bool(status) and status.get("step", 0) == len(steps) and status["candidate"] != self.old,
            f"{self.strategy} to be half way to {version}",
        )
        self.candidate = found["candidate"]
        if steps:
            await self.waves.until(lambda answers: answers[version] > 0, PATIENCE)

    async def another_candidate(self) -> str:
        """Return the candidate once it is not the one of `half_way_to` any more."""

        def look() -> str | None:
            found = rollouts.rollout_of(self.workplace).get("candidate")
            return str(found) if found and found != self.candidate else None

        return await asyncio.to_thread(wait_for, look, "another candidate", PATIENCE, self._explain)

    async def ends_at(self, version: str) -> None:
        """Promote what waits for it; return when `version` serves and answers, and no other revision has pods."""
        await asyncio.to_thread(self._promote_what_waits)
        await asyncio.to_thread(self._await_alone)
        await self._answers_alone(version)

    async def goes_back(self, reason: str) -> None:
        """Return when the model says `reason`, the candidate's pods are gone, and FIRST alone answers."""
        await asyncio.to_thread(self.workplace.await_condition, NAME, "Stalled", "True", reason, PATIENCE)
        model = await asyncio.to_thread(self.workplace.model, NAME)
        self.candidate = str(model["status"]["candidateRevision"])
        await asyncio.to_thread(await_gone, self.workplace, self.candidate)
        assert await asyncio.to_thread(current, self.workplace) == self.old
        await asyncio.to_thread(self._await_pods_of_old)
        await self._answers_alone(FIRST)

    async def _set_out(self) -> None:
        """Have FIRST serve alone, whatever the case before this one left."""
        at_once = {**AT_ONCE, **COMMON, "retryToken": self._token}
        manifest = wanted(self.workplace, FIRST, at_once, replicas=REPLICAS)
        await asyncio.to_thread(self.workplace.apply, manifest)
        await asyncio.to_thread(self._take_decisions_back)
        await asyncio.to_thread(self.workplace.await_ready, NAME, 600)
        await asyncio.to_thread(self._await_alone)
        self.old = await asyncio.to_thread(current, self.workplace)

    def _take_decisions_back(self) -> None:
        """Remove the word of an earlier case to promote a revision: it would be promoted at once in this one, too."""
        patch = json.dumps({"spec": {"rollout": {"action": None}}})
        where = f"--namespace={self.workplace.namespace}"
        kubectl.run("kubectl", "patch", "compressedmodel", NAME, where, "--type=merge", f"--patch={patch}")

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

    def _await_alone(self) -> None:
        def alone() -> bool:
            return rollouts.revisions_with_pods(self.workplace) == {current(self.workplace)}

        wait_for(alone, "what serves to be alone", PATIENCE, self._explain)

    def _await_pods_of_old(self) -> None:
        wait_for(lambda: pods(self.workplace, self.old), f"pods of {self.old}", PATIENCE, self._explain)

    def _explain(self) -> str:
        return self.workplace.explain(NAME)

    def _met_by_loser(self) -> int:
        """Return how many requests the loser answered, or failed: nobody else fails while SHORT is asked for more."""
        answers = self.waves.answers + self.kept.http.answers + self.kept.grpc.answers
        return answers[self._loser] + (len(self.failures) if self._loser == SHORT else 0)
