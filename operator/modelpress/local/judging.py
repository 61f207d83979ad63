"""Original and result are measured, as the containers of a pod do it: judge, and where a metric needs it, two more."""

from __future__ import annotations

from modelpress.api.evaluation import of_the_source
from modelpress.api.tasks import ConcludeTask, JudgeTask, ScoreTask

from . import steps
from .steps import Tell
from .workspace import Workspace


def judge(task: JudgeTask, place: Workspace, tell: Tell, *, trusted: bool, timeout: float) -> None:
    """Leave a report about the models in `place`. Raises StepError.

    `trusted`: whether code of the source may run, `timeout`: its longest time in seconds.
    """
    steps.run_step("judge", task, place, tell)
    theirs = of_the_source(task.evaluation.metrics)
    if theirs:
        steps.score(ScoreTask(metrics=theirs, trust_code=trusted, timeout_seconds=timeout), place, tell)
        steps.run_step("conclude", ConcludeTask(), place, tell)
