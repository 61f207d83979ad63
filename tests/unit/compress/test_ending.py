"""What the end of a child means, from exceptions, exit codes and signals."""

from __future__ import annotations

import errno
import signal

import pytest

from modelpress.api.reasons import Reason
from modelpress.api.results import MESSAGE_LIMIT, ExitCode, Failure
from modelpress.compress.ending import encode, exit_code, failure_of, failure_of_exit
from modelpress.compress.errors import Judged


def raised_from(cause: BaseException) -> Exception:
    error = Judged(Reason.EXPORT_FAILED, "no export")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), Reason.OUT_OF_MEMORY),
        (raised_from(MemoryError()), Reason.OUT_OF_MEMORY),
        (OSError(errno.ENOSPC, "No space left on device"), Reason.OUT_OF_SCRATCH),
        (raised_from(OSError(errno.EDQUOT, "quota")), Reason.OUT_OF_SCRATCH),
        (Judged(Reason.NOT_FINITE, "NaN"), Reason.NOT_FINITE),
        (KeyError("x"), Reason.CRASHED),
    ],
)
def test_exceptions_become_reasons(error: BaseException, reason: Reason) -> None:
    assert failure_of(error, "prune").reason is reason


def test_a_full_disk_is_told_with_the_field_to_raise() -> None:
    failure = failure_of(OSError(errno.ENOSPC, "No space left on device"), "prune")
    assert failure.message == "The disk was full while doing prune: raise compression.job.scratch.size."


@pytest.mark.parametrize(
    ("code", "reason", "ends"),
    [
        (-signal.SIGKILL, Reason.OUT_OF_MEMORY, ExitCode.JUDGED),
        (-signal.SIGSEGV, Reason.CRASHED, 1),
        (0, Reason.ENTRYPOINT_FAILED, ExitCode.JUDGED),
        (3, Reason.ENTRYPOINT_FAILED, ExitCode.JUDGED),
    ],
)
def test_a_wordless_end_is_judged_by_its_code(code: int, reason: Reason, ends: int) -> None:
    failure = failure_of_exit(code, "finetune")
    assert failure.reason is reason
    assert "finetune" in failure.message
    assert exit_code(failure.reason) == ends


@pytest.mark.parametrize("letter", ["a", "ä", "漢", '"'])
def test_a_long_sentence_is_cut_to_the_limit_of_the_message(letter: str) -> None:
    text = encode(Failure(reason=Reason.STAGE_FAILED, message=letter * 4000))
    assert len(text.encode()) <= MESSAGE_LIMIT
    assert Failure.model_validate_json(text).message.startswith(letter)
