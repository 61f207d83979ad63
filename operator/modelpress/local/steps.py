"""Running the steps of a Job's pod in a workspace: each a process of its own, as each is a container there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from modelpress.api.base import ApiType
from modelpress.api.reasons import Reason
from modelpress.api.results import ExitCode, Failure, Progress
from modelpress.api.tasks import TASK_VARIABLE, CompressTask, ScoreTask
from modelpress.compress.ending import START, exit_code
from modelpress.compress.layout import CACHE_VARIABLE
from modelpress.compress.worker import Supervisor
from modelpress.store.locations import ROOT_VARIABLE

from .workspace import Workspace

Tell = Callable[[Progress], None]
Answer = TypeVar("Answer", bound=ApiType)

AWS_IDENTITY = ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_PROFILE")
AWS_FILES = ("credentials", "config")


class StepError(Exception):
    """A step did not do its work."""

    def __init__(self, failure: Failure, code: int) -> None:
        super().__init__(f"{failure.reason}: {failure.message}")
        self.failure = failure
        self.code = code
        """Exit code of the step."""


def run_step(kind: str, task: ApiType, place: Workspace, tell: Tell) -> str:
    """Do the pod's task `kind` in `place`; return its termination message. Raises StepError."""
    place.message.unlink(missing_ok=True)
    tell(Progress(stage=kind))
    environment = surroundings() | {
        TASK_VARIABLE: task.model_dump_json(by_alias=True, exclude_none=True),
        ROOT_VARIABLE: str(place.root),
        CACHE_VARIABLE: str(place.cache or ""),
    }
    command = [sys.executable, "-m", "modelpress.local.step", kind]
    with place.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                if (progress := _transfer(kind, line)) is not None:
                    tell(progress)
            code = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = place.message.read_text(encoding="utf-8") if place.message.is_file() else ""
    if code != ExitCode.DONE:
        raise StepError(_failure(text, code, kind), code if code > 0 else 1)
    return text


def compress(task: CompressTask, place: Workspace, tell: Tell) -> None:
    """Supervise the process that runs the recipe, as a pod's container `compress` does. Raises StepError."""
    tell(Progress(stage="load", of=len(task.stages)))
    _supervise(task, place, tell)


def score(task: ScoreTask, place: Workspace, tell: Tell) -> None:
    """Supervise the process that runs metrics of the source, as a pod's container `score` does. Raises StepError."""
    tell(Progress(stage="score"))
    _supervise(task, place, tell)


def _supervise(task: CompressTask | ScoreTask, place: Workspace, tell: Tell) -> None:
    with place.log.open("ab") as log:
        failure = Supervisor(task, place.layout(), _Listener(tell), log=log).run()
    if failure is not None:
        raise StepError(failure, int(exit_code(failure.reason)))


def answer(kind: type[Answer], text: str) -> Answer:
    """Return the document of a termination message."""
    return kind.model_validate_json(text)


def surroundings() -> dict[str, str]:
    """Return the environment of a step: the user's own, so that stores open with the user's own credentials."""
    found = dict(os.environ)
    folder = Path.home() / ".aws"
    if not any(found.get(name) for name in AWS_IDENTITY) and any((folder / name).is_file() for name in AWS_FILES):
        found["AWS_PROFILE"] = "default"  # without a word of these, stores are opened anonymously
    return found


class _Listener:
    """Tells each message on."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._latest = Progress(stage=START)

    @property
    def latest(self) -> Progress:
        return self._latest

    @latest.setter
    def latest(self, progress: Progress) -> None:
        self._latest = progress
        self._tell(progress)


def _transfer(kind: str, line: bytes) -> Progress | None:
    """Return how far a transfer is, if `line` says so."""
    try:
        found: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("event") != "transfer" or not found.get("of"):
        return None
    return Progress(stage=kind, fraction=min(found["bytes"] / found["of"], 1.0), detail=str(found.get("what", "")))


def _failure(text: str, code: int, kind: str) -> Failure:
    try:
        return Failure.model_validate_json(text)
    except ValidationError:
        pass
    if code == -signal.SIGKILL:
        return Failure(reason=Reason.OUT_OF_MEMORY, message=f"Memory ran out while doing {kind}.")
    return Failure(reason=Reason.CRASHED, message=f"The step {kind} ended with {code} and left no word.")
