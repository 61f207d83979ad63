"""From MODELPRESS_TASK to an exit code: the one place where a task's outcome becomes what the operator reads."""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from modelpress.api.base import ApiType
from modelpress.api.reasons import ENVIRONMENT, Reason
from modelpress.api.results import ExitCode, Failure
from modelpress.api.tasks import (
    TASK_VARIABLE,
    TERMINATION_MESSAGE_PATH,
    AskTask,
    CompressTask,
    ConcludeTask,
    FetchTask,
    JudgeTask,
    PublishTask,
    ResolveTask,
    ScoreTask,
)
from modelpress.compress.errors import Judged
from modelpress.store.errors import StoreError
from modelpress.store.locations import in_root

from .logs import log
from .messages import encode

CRASH = 1
"""Exit code of what was not foreseen."""

Answer = ApiType | int | None
"""A document for the termination message, an exit code of its own, or nothing to say."""


def run(kind: str, environment: Mapping[str, str]) -> int:
    """Do the task of `kind` that `environment` holds, write the termination message, and return the exit code."""
    log("started", task=kind)
    try:
        task_type, function = TASKS[kind]
        task = task_type.model_validate_json(environment.get(TASK_VARIABLE) or "")
        answer = function(task)
        if answer is not None and not isinstance(answer, int):
            write_message(encode(answer))
    except BaseException as error:  # whatever it is, the operator must be told
        code, failure = classify(error)
        if code == CRASH:
            log("traceback", text=traceback.format_exc())
        log("failed", task=kind, reason=failure.reason, message=failure.message, exitCode=code)
        write_message(encode(failure))
        return code
    log("done", task=kind)
    return answer if isinstance(answer, int) else ExitCode.DONE


def classify(error: BaseException) -> tuple[int, Failure]:
    """Return the exit code and the failure that `error` amounts to."""
    if isinstance(error, StoreError | Judged):
        code = ExitCode.ENVIRONMENT if error.reason in ENVIRONMENT else ExitCode.JUDGED
        return code, Failure(reason=error.reason, message=error.message)
    if isinstance(error, MemoryError):
        text = "the memory limit does not suffice: raise compression.job.resources.limits.memory"
        return ExitCode.JUDGED, Failure(reason=Reason.OUT_OF_MEMORY, message=text)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        text = "a volume of the pod is full: raise compression.job.scratch.size"
        return ExitCode.JUDGED, Failure(reason=Reason.OUT_OF_SCRATCH, message=text)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        text = f"{TASK_VARIABLE} is not understood by this image at {'.'.join(map(str, first['loc']))}: {first['msg']}"
        return CRASH, Failure(reason=Reason.CRASHED, message=text)
    text = f"{type(error).__name__}: {error}; the container's log has the traceback"
    return CRASH, Failure(reason=Reason.CRASHED, message=" ".join(text.split()))


def write_message(text: str) -> None:
    """Write the termination message. Where there is no such file, outside a pod, its folder is made."""
    path = in_root(TERMINATION_MESSAGE_PATH)
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")


def _resolve(task: ResolveTask) -> Answer:
    from .resolve import resolve  # noqa: PLC0415 - each container pays for its own libraries alone

    return resolve(task)


def _fetch(task: FetchTask) -> Answer:
    from .fetch import fetch  # noqa: PLC0415

    fetch(task)
    return None


def _beside_tenants_code(task: CompressTask | ScoreTask) -> Answer:
    from modelpress.compress.worker import main  # noqa: PLC0415

    return int(main(task))


def _judge(task: JudgeTask) -> Answer:
    from modelpress.compress.judge import judge  # noqa: PLC0415

    judge(task)
    return None


def _conclude(_task: ConcludeTask) -> Answer:
    from modelpress.compress.judge.concluding import conclude  # noqa: PLC0415

    conclude()
    return None


def _ask(task: AskTask) -> Answer:
    from modelpress.compress.judge.asking import ask_server  # noqa: PLC0415

    return ask_server(task)


def _publish(task: PublishTask) -> Answer:
    from .publish import publish  # noqa: PLC0415

    return publish(task)


TASKS: Mapping[str, tuple[type[ApiType], Callable[[Any], Answer]]] = {
    "resolve": (ResolveTask, _resolve),
    "fetch": (FetchTask, _fetch),
    "compress": (CompressTask, _beside_tenants_code),
    "judge": (JudgeTask, _judge),
    "score": (ScoreTask, _beside_tenants_code),
    "conclude": (ConcludeTask, _conclude),
    "ask": (AskTask, _ask),
    "publish": (PublishTask, _publish),
}
"""Type of each task, and what does it."""
