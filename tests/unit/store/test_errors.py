"""Whatever a store's library raises becomes one of few reasons; only a store that is away is asked again."""

from __future__ import annotations

import errno

import pytest
import tenacity
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ParamValidationError

from modelpress.api.reasons import Reason
from modelpress.store.errors import TRIES, StoreError, attempt, translate


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError("Forbidden"), Reason.ACCESS_DENIED),
        (NoCredentialsError(), Reason.ACCESS_DENIED),
        (OSError(errno.EROFS, "read-only"), Reason.ACCESS_DENIED),
        (FileNotFoundError("NoSuchKey"), Reason.DATASET_NOT_FOUND),
        (ParamValidationError(report="bad bucket"), Reason.DATASET_NOT_FOUND),
        (OSError(errno.ENOSPC, "no space"), Reason.STORE_FULL),
        (OSError(errno.EIO, "XMinioStorageFull: Storage full"), Reason.STORE_FULL),
        (EndpointConnectionError(endpoint_url="http://x"), Reason.STORE_UNAVAILABLE),
        (TimeoutError(), Reason.STORE_UNAVAILABLE),
        (OSError(121, "Internal Error"), Reason.STORE_UNAVAILABLE),
        (RuntimeError("never seen before"), Reason.STORE_UNAVAILABLE),
    ],
)
def test_an_error_becomes_a_reason(error: Exception, reason: Reason) -> None:
    assert translate(error, "s3://a/b", Reason.DATASET_NOT_FOUND).reason is reason


def test_a_message_is_short_and_holds_no_credential() -> None:
    message = translate(OSError(f"boom Signature=abcdef&Credential=AKIA {'x' * 5000}"), "s3://a").message
    assert "abcdef" not in message and "AKIA" not in message
    assert len(message) < 400


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda seconds: None)


@pytest.mark.usefixtures("_no_waiting")
def test_a_store_that_comes_back_is_asked_again() -> None:
    answers = iter([TimeoutError(), ConnectionResetError(), "done"])

    def request() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert attempt(request, "s3://a") == "done"


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.parametrize(
    ("error", "asked"), [(TimeoutError(), TRIES), (PermissionError(), 1), (FileNotFoundError(), 1)]
)
def test_a_request_is_repeated_only_while_that_can_help(error: Exception, asked: int) -> None:
    count = 0

    def request() -> None:
        nonlocal count
        count += 1
        raise error

    with pytest.raises(StoreError):
        attempt(request, "s3://a")
    assert count == asked
