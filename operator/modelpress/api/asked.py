"""What containers are asked to do for a spec: the same in a pod and on one's own machine."""

from __future__ import annotations

from .evaluation import Evaluation, of_the_source, targets_of_test, untested
from .roles import learning_datasets, test_dataset, without_secrets
from .spec import CompressedModelSpec
from .tasks import CompressTask, JudgeTask


def compress_task(spec: CompressedModelSpec, timeout: float) -> CompressTask:
    """Return the task of the container `compress`, with `timeout` in seconds."""
    compression, searched = spec.compression, spec.compression.auto is not None
    return CompressTask(
        source=spec.source.model_copy(update={"secret_name": None}),
        stages=compression.recipe,
        auto=compression.auto,
        evaluation=untested(spec.evaluation) if searched else None,
        targets=targets_of_test(spec.evaluation) if searched else None,
        objective=compression.objective,
        metrics=of_the_source((spec.evaluation or Evaluation()).metrics) or None,
        datasets=without_secrets(learning_datasets(spec)),
        teachers=without_secrets(compression.taught_by()),
        seed=compression.seed or 0,
        timeout_seconds=timeout,
    )


def judge_task(name: str, spec: CompressedModelSpec) -> JudgeTask:
    """Return the task of the container `judge`, for the model called `name`."""
    evaluation = (spec.evaluation or Evaluation()).model_copy(update=without_secrets(test_dataset(spec)))
    return JudgeTask(name=name, evaluation=evaluation, seed=spec.compression.seed or 0)
