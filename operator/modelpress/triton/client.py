"""A client of one Triton over HTTP: what is loaded, ready, infer. Carries the key of the restricted APIs.

It loads nothing: Triton reads its repository by itself, in a thread of its own. A load that is asked for over HTTP or
gRPC keeps the thread that takes the request, and with it the requests of every connection that this thread serves.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from numpy.typing import NDArray
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from modelpress.api.servingpod import RESTRICTED_KEY_NAME

CALL_SECONDS = 900.0
"""Longest call: an inference of a big model on a busy machine."""
ASK_SECONDS = 2.0
"""Longest question whether something is ready."""
_PASSING = {"Connection": "close"}
"""Triton waits for connections to go before it ends, so none is kept."""


READY, UNAVAILABLE, UNLOADED = "READY", "UNAVAILABLE", "unloaded"
"""Triton's words for states, and its reason for one that is no failure."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """What Triton says of one version. `failure`: why it could not be loaded, in Triton's words; else empty."""

    ready: bool
    failure: str = ""


class TritonError(Exception):
    """Triton refused, in its own words."""


class TritonAwayError(Exception):
    """Triton does not answer: not started yet, or restarting."""


class TritonClient:
    """Triton at `address` (host:port of its HTTP API)."""

    def __init__(self, address: str, key: str = "") -> None:
        self._client = InferenceServerClient(address, conn_timeout=CALL_SECONDS)
        self._headers = _PASSING | ({RESTRICTED_KEY_NAME: key} if key else {})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def live(self) -> bool:
        """Say whether the server answers."""
        return await self._ask(self._client.is_server_live(headers=_PASSING))

    async def ready(self, model: str, version: int | None = None) -> bool:
        """Say whether `model` is loaded and takes requests."""
        return await self._ask(self._client.is_model_ready(model, _text(version), headers=_PASSING))

    async def versions(self, model: str) -> dict[int, VersionState]:
        """Return what has become of each version of `model` that Triton knows of.

        Raises TritonError or TritonAwayError.
        """
        index = await self._call(self._client.get_model_repository_index(headers=self._headers))
        return {
            int(entry["version"]): _state(entry) for entry in index if entry["name"] == model and "version" in entry
        }

    async def infer(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: list[str], version: int | None = None
    ) -> dict[str, NDArray[Any]]:
        """Return the answers of `version`, else of the highest, to `inputs`, by output name.

        Raises TritonError or TritonAwayError.
        """
        given = []
        for name, array in inputs.items():
            tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            given.append(tensor)
        wanted = [InferRequestedOutput(name) for name in outputs]
        answer = await self._call(
            self._client.infer(model, given, model_version=_text(version), outputs=wanted, headers=_PASSING)
        )
        return {name: answer.as_numpy(name) for name in outputs}

    async def _ask(self, question: Any) -> bool:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return bool(await question)
        except (TimeoutError, aiohttp.ClientError, OSError, InferenceServerException):
            return False

    async def _call(self, call: Any) -> Any:
        try:
            return await call
        except InferenceServerException as error:
            raise TritonError(str(error.message())) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise TritonAwayError(f"Triton does not answer: {error or type(error).__name__}") from error


def _text(version: int | None) -> str:
    return "" if version is None else str(version)


def _state(entry: dict[str, str]) -> VersionState:
    state, reason = entry.get("state", ""), entry.get("reason", "")
    failed = state == UNAVAILABLE and reason not in ("", UNLOADED)
    return VersionState(ready=state == READY, failure=reason if failed else "")
