"""The containers that measure original and result: judge; two more where a function of the source computes a metric.

| container | image      | code         | Secrets | reads                | writes          |
| --------- | ---------- | ------------ | ------- | -------------------- | --------------- |
| judge     | compressor | ours         | none    | out, test            | report, answers |
| score     | compressor | **tenants'** | none    | source, answers      | scores          |
| conclude  | compressor | ours         | none    | out, answers, scores | report          |

So the judge runs nobody's code, whatever is asked, and what tenants' code says can touch no figure but its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelpress.api.asked import judge_task
from modelpress.api.defaults import EffectiveJobSettings
from modelpress.api.durations import seconds
from modelpress.api.evaluation import Evaluation, Metric, of_the_source
from modelpress.api.resources import CompressedModel
from modelpress.api.tasks import ConcludeTask, JudgeTask, ScoreTask

from ..installation import Installation
from .disks import disks
from .job import DEADLINE_MARGIN_SECONDS, worker


@dataclass(frozen=True)
class Judging:
    """What a pod needs to measure what `model` asks for."""

    model: CompressedModel
    installation: Installation
    settings: EffectiveJobSettings

    @property
    def theirs(self) -> tuple[Metric, ...]:
        """Metrics that functions of the source compute."""
        return of_the_source((self.model.spec.evaluation or Evaluation()).metrics)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the containers, in order."""
        return ("judge", "score", "conclude") if self.theirs else ("judge",)

    @property
    def disks(self) -> tuple[str, ...]:
        """Disks that no other container has to do with."""
        return ("answers", "scores") if self.theirs else ()

    @property
    def deadline_seconds(self) -> float:
        """How long a pod may run: tenants' code as long as `job.timeout` says, wherever it runs, and all the rest."""
        timeout = seconds(self.settings.timeout)
        return DEADLINE_MARGIN_SECONDS + (2 * timeout if self.theirs else timeout)

    def containers(self) -> list[dict[str, Any]]:
        """Return them, in order. The judge sees neither source nor training data."""
        judge = judge_task(self.model.metadata.name, self.model.spec)
        if not self.theirs:
            return [self._worker("judge", judge, "out", "test", "report", write=("report",))]
        score = ScoreTask(
            metrics=self.theirs,
            trust_code=bool(self.model.spec.source.trust_code),
            timeout_seconds=seconds(self.settings.timeout),
        )
        written = ("report", "answers")
        return [
            self._worker("judge", judge, "out", "test", *written, write=written),
            self._worker("score", score, "source", "answers", "scores", write=("scores",)),
            self._worker("conclude", ConcludeTask(), "out", "answers", "scores", "report", write=("report",)),
        ]

    def _worker(
        self, name: str, task: JudgeTask | ScoreTask | ConcludeTask, *mounted: str, write: tuple[str, ...]
    ) -> dict[str, Any]:
        return worker(name, task, self.installation, self.settings.resources, disks(*mounted, write=write))
