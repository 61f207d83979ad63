"""What the end of the child process means. Pure."""

from __future__ import annotations

import errno
import signal

from modelpress.api.reasons import ENVIRONMENT, Reason
from modelpress.api.results import MESSAGE_LIMIT, ExitCode, Failure

from .errors import Judged

CRASH = 1
START = "start"
"""What a child does that has not yet said anything: nothing of the tenant's has run."""
TRIAL = "trial"
"""What a search says that it does while a recipe is tried out."""
LONGEST = 6
"""Bytes that JSON needs for one character at most."""
MEMORY_WORDS = ("can't allocate memory", "out of memory", "bad_alloc", "Failed to allocate memory")
"""How torch and onnxruntime say that memory is short, in errors of their own."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def failure_of(error: BaseException, doing: str) -> Failure:
    """Return what an exception of the child amounts to; `doing` is the stage it came from."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in FULL:
            return Failure(
                reason=Reason.OUT_OF_SCRATCH,
                message=f"The disk was full while doing {doing}: raise compression.job.scratch.size.",
            )
        if isinstance(cause, MemoryError) or any(word in str(cause) for word in MEMORY_WORDS):
            return out_of_memory(doing)
    if isinstance(error, Judged):
        return Failure(reason=error.reason, message=error.message)
    text = " ".join(str(error).split())
    return Failure(
        reason=Reason.CRASHED,
        message=f"{type(error).__name__} while doing {doing}: {text[:600]}; the container's log has the traceback.",
    )


def failure_of_exit(code: int, doing: str) -> Failure:
    """Return what it means that the child ended without a word; `code` is negative for a signal."""
    if code == -signal.SIGKILL:
        return out_of_memory(doing)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return Failure(reason=Reason.CRASHED, message=f"The process was ended by {name} while doing {doing}.")
    if doing == START:
        text = f"The process ended with exit code {code} before its work began; the container's log says why."
        return Failure(reason=Reason.CRASHED, message=text)
    return Failure(
        reason=Reason.ENTRYPOINT_FAILED,
        message=f"The process ended itself with exit code {code} while doing {doing}: "
        "code of the source must return, not exit.",
    )


def out_of_memory(doing: str) -> Failure:
    """Return the failure of a process that had too little memory."""
    return Failure(
        reason=Reason.OUT_OF_MEMORY,
        message=f"Memory ran out while doing {doing}: "
        "raise compression.job.resources.limits.memory, or lower batchSize.",
    )


def scoring_timed_out(seconds: float) -> Failure:
    """Return the failure of metrics of the source that took too long."""
    return Failure(
        reason=Reason.EVALUATION_FAILED,
        message=f"Scoring by the metrics of the source was ended after {seconds:g} s: shorten them, ask for fewer "
        "samples, or raise compression.job.timeout.",
    )


def timed_out(seconds: float, doing: str) -> Failure:
    """Return the failure of a child that took too long."""
    return Failure(
        reason=Reason.COMPRESSION_TIMEOUT,
        message=f"Compression was ended after {seconds:g} s while doing {doing}: "
        "raise compression.job.timeout, or shorten the recipe.",
    )


def exit_code(reason: Reason) -> int:
    """Return how a container with this failure ends."""
    if reason is Reason.CRASHED:
        return CRASH
    return ExitCode.ENVIRONMENT if reason in ENVIRONMENT else ExitCode.JUDGED


def encode(failure: Failure) -> str:
    """Return the termination message: JSON within the limit, its sentence cut if need be."""
    cut = len(failure.message)
    while len(text := _encoded(failure, cut).encode()) > MESSAGE_LIMIT:
        cut -= max(1, (len(text) - MESSAGE_LIMIT) // LONGEST)
    return text.decode()


def _encoded(failure: Failure, cut: int) -> str:
    message = failure.message if cut == len(failure.message) else f"{failure.message[:cut]}…"
    return Failure(reason=failure.reason, message=message).model_dump_json(by_alias=True)


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found
