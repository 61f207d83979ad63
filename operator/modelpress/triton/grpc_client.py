"""A client of one model over gRPC, asking as its users do: one request at a time, no key, no proxy."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import tenacity
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from .client import TritonAwayError, TritonError

CALL_SECONDS = 120.0
"""Longest wait for one answer."""
READY_SECONDS = 60.0
"""Longest wait for the model: a Service leads to a pod a moment after that is ready."""
AWAY = frozenset(f"StatusCode.{name}" for name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "NOT_FOUND"))
"""What gRPC says when nobody answers, or a server does that has not loaded the model; all else is its answer."""


class GrpcClient:
    """The model `model` of the server at `address` (host:port): its `version`, else whichever answers."""

    def __init__(self, address: str, model: str, version: int | None = None) -> None:
        self.address, self.model, self._version = address, model, "" if version is None else str(version)
        self._client = InferenceServerClient(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def wait_until_ready(self, seconds: float = READY_SECONDS) -> None:
        """Return once the server is there and has the model. Raises TritonAwayError after `seconds`."""
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TritonAwayError),
            stop=tenacity.stop_after_delay(seconds),
            wait=tenacity.wait_fixed(0.5),
            reraise=True,
        )
        again(self._check_ready)

    def max_batch_size(self) -> int:
        """Return the most samples of one request, 0 if it batches nothing. Raises TritonError or TritonAwayError."""
        answer = self._call(self._client.get_model_config, self.model, self._version)
        return int(answer.config.max_batch_size)

    def axes(self) -> dict[str, int]:
        """Return how many axes each input has on its way. Raises TritonError or TritonAwayError."""
        answer = self._call(self._client.get_model_metadata, self.model, self._version)
        return {str(tensor.name): len(tensor.shape) for tensor in answer.inputs}

    def infer(self, inputs: Mapping[str, NDArray[Any]], outputs: list[str]) -> dict[str, NDArray[Any]]:
        """Return the answers to `inputs`, by name of output. Raises TritonError or TritonAwayError."""
        given = []
        for name, array in inputs.items():
            tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            given.append(tensor)
        wanted = [InferRequestedOutput(name) for name in outputs]
        answer = self._call(self._client.infer, self.model, given, self._version, outputs=wanted)
        return {name: answer.as_numpy(name) for name in outputs}

    def _check_ready(self) -> None:
        if not self._call(self._client.is_model_ready, self.model, self._version):
            version = f" in version {self._version}" if self._version else ""
            raise TritonAwayError(f"{self.address} has no model {self.model}{version}")

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, client_timeout=CALL_SECONDS, **named)
        except InferenceServerException as error:
            told = " ".join(str(error.message()).split())
            if error.status() in AWAY:
                raise TritonAwayError(f"{self.address} does not answer: {told}") from error
            raise TritonError(told) from error
