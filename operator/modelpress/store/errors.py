"""What a store answers when it does not do what was asked, in the reasons and sentences of the API.

Libraries below fsspec raise hundreds of classes; they are told apart by errno and by the names of their base classes,
so that no store's library has to be installed, or imported, to be recognised.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from typing import TypeVar

import tenacity

from modelpress.api.reasons import Reason

Result = TypeVar("Result")

TRIES = 4
"""Attempts at one request, a few seconds in all. Longer outages are the Job's backoff to sit out."""
PATIENCE_SECONDS = 30.0
"""No further attempt after this long: a store that took a connection and fell silent was waited for already."""

_FULL = re.compile(
    r"no space left|disk full|quota ?exceeded|insufficient ?storage|storage ?full|StorageLimitExceeded", re.IGNORECASE
)
_SECRET_TEXT = re.compile(r"(?i)(signature|credential|secret|token|password)[=:]\S+")
_DENIED_TEXT = re.compile(r"\((401|403|AccessDenied|Forbidden)\)|read-?only|permission denied", re.IGNORECASE)
_DENIED_CLASSES = frozenset({"PermissionError", "NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"})
_REFUSED_CLASSES = frozenset({"ParamValidationError", "InvalidRegionError", "InvalidEndpointError"})
_DENIED_NUMBERS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT})


class StoreError(Exception):
    """A store did not do what was asked."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        """Constant that machines read."""
        self.message = message
        """One sentence for a person: what was wrong, where, and what to do."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class ScratchError(StoreError):
    """The pod's own disk is full: not the store's fault."""

    def __init__(self, folder: str) -> None:
        super().__init__(Reason.OUT_OF_SCRATCH, f"the volume of {folder} is full: raise compression.job.scratch.size")


def translate(  # noqa: PLR0911 - one return for each reason
    error: BaseException, uri: str, missing: Reason = Reason.SOURCE_NOT_FOUND
) -> StoreError:
    """Return what `error`, met at `uri`, amounts to. `missing` is the reason if nothing is there."""
    if isinstance(error, StoreError):
        return error
    classes = {base.__name__ for base in type(error).__mro__}
    number = getattr(error, "errno", None)
    text = _shorten(error)
    if number in _FULL_NUMBERS or _FULL.search(str(error)):
        return StoreError(Reason.STORE_FULL, f"the store of {uri} is full ({text}): make room there")
    if classes & _DENIED_CLASSES or number in _DENIED_NUMBERS or _DENIED_TEXT.search(str(error)):
        return StoreError(
            Reason.ACCESS_DENIED,
            f"the store refuses access to {uri} ({text}): check the keys in the Secret and their rights",
        )
    if classes & {"FileNotFoundError", "IsADirectoryError", "NotADirectoryError"}:
        return StoreError(missing, f"nothing is at {uri}: check the URI")
    if "FileExpired" in classes:
        return StoreError(Reason.DIGEST_MISMATCH, f"{uri} was overwritten while it was read: it is looked at again")
    if classes & _REFUSED_CLASSES:
        return StoreError(missing, f"{uri} cannot be asked for ({text}): check the URI")
    if "SSLError" in classes or "ClientConnectorCertificateError" in classes:
        return StoreError(
            Reason.STORE_UNAVAILABLE,
            f"the store of {uri} is not trusted ({text}): give its certificate in the Secret's caBundle",
        )
    return StoreError(
        Reason.STORE_UNAVAILABLE, f"the store of {uri} does not answer as it should ({text}): it is tried again later"
    )


def attempt(
    request: Callable[[], Result], uri: str, missing: Reason = Reason.SOURCE_NOT_FOUND, tries: int = TRIES
) -> Result:
    """Return what `request` returns; ask `tries` times in all while the store is unavailable. Raises StoreError."""

    def once() -> Result:
        try:
            return request()
        except Exception as error:
            raise translate(error, uri, missing) from error

    retrying = tenacity.Retrying(
        stop=tenacity.stop_any(tenacity.stop_after_attempt(tries), tenacity.stop_after_delay(PATIENCE_SECONDS)),
        wait=tenacity.wait_exponential_jitter(multiplier=0.25, max=4.0, jitter=0.25),
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, StoreError) and error.reason is Reason.STORE_UNAVAILABLE
        ),
        reraise=True,
    )
    return retrying(once)


def _shorten(error: BaseException) -> str:
    """Return what `error` says, in one line of at most 160 characters, without what looks like a credential."""
    text = " ".join(str(error).split()) or type(error).__name__
    return _SECRET_TEXT.sub(r"\1=…", text)[:160]
