"""Steady load on a served model: keep-alive HTTP and gRPC connections, retries off, every answer checked.

Each client keeps one connection for as long as the server lets it and asks once per `interval`. What a client meets
is what it counts: nothing is sent twice. Answers are told apart by `accepted`: the outputs of each revision that may
answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import grpc
import numpy
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

Arrays = Mapping[str, NDArray[Any]]
CALL_SECONDS = 30.0
"""Longest request, unless a test says otherwise."""


@dataclass(frozen=True)
class Question:
    """What is asked, and what may be answered."""

    model: str
    inputs: Arrays
    accepted: Mapping[str, Arrays]
    """Right answers by the name of the revision that gives them."""
    tolerance: float = 1e-3

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs that are asked for."""
        return sorted({name for arrays in self.accepted.values() for name in arrays})

    def revision(self, answer: Arrays) -> str | None:
        """Name the revision whose answer this is; None if it is nobody's."""
        for name, expected in self.accepted.items():
            if all(_close(answer[key], array, self.tolerance) for key, array in expected.items()):
                return name
        return None


@dataclass
class Tally:
    """What the clients of one protocol met."""

    sent: int = 0
    wrong: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """Right answers by revision."""
    failures: list[str] = field(default_factory=list)
    """What each failed request failed with."""
    seconds: list[float] = field(default_factory=list)
    """Time of each answered request."""

    def __str__(self) -> str:
        worst = max(self.seconds, default=0.0)
        failed = f"{len(self.failures)} failed {sorted(set(self.failures))[:3]}"
        return f"{self.sent} sent, {dict(self.answers)}, {self.wrong} wrong, {failed}, slowest {worst:.2f} s"

    @property
    def troubles(self) -> list[str]:
        """What failed, and answers that are nobody's."""
        return [*["a wrong answer"] * self.wrong, *self.failures]

    @property
    def clean(self) -> bool:
        """Whether every request got a right answer."""
        return not self.failures and not self.wrong and self.sent == sum(self.answers.values()) > 0


class Load:
    """Clients of one model, from `async with` to its end. `http` and `grpc` are host:port."""

    def __init__(
        self,
        question: Question,
        *,
        http: str,
        grpc: str,
        connections: int = 50,
        interval: float = 1.0,
        hostnames: tuple[str, str] | None = None,
        patience: float = CALL_SECONDS,
    ) -> None:
        """`hostnames`: by which a gateway tells the model's HTTP and gRPC requests from others. `patience`: longest
        request in seconds; longer ones count as failed."""
        self._question, self._interval, self._hostnames, self._patience = question, interval, hostnames, patience
        self.http, self.grpc = Tally(), Tally()
        self._stop = asyncio.Event()
        self._clients: Sequence[Any] = [
            *(self._http_client(http, number * interval / connections) for number in range(connections)),
            *(self._grpc_client(grpc, number * interval / connections) for number in range(connections)),
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(client) for client in self._clients]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def until_sent(self, more: int, seconds: float = 120.0) -> None:
        """Return when `more` requests have been sent over each protocol from now on."""
        goals = [(tally, tally.sent + more) for tally in (self.http, self.grpc)]
        async with asyncio.timeout(seconds):
            while any(tally.sent < goal for tally, goal in goals):  # noqa: ASYNC110 - clients count plainly
                await asyncio.sleep(0.05)

    async def _http_client(self, address: str, delay: float) -> None:
        asked = [_http_input(name, array) for name, array in self._question.inputs.items()]
        wanted = [InferRequestedOutput(name) for name in self._question.outputs]
        body, length = InferenceServerClient.generate_request_body(asked, outputs=wanted)
        headers = {"Inference-Header-Content-Length": str(length)} if length is not None else {}
        headers |= {"Host": self._hostnames[0]} if self._hostnames else {}
        url = f"http://{address}/v2/models/{self._question.model}/infer"
        limit = aiohttp.ClientTimeout(total=self._patience)
        connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=3600)
        async with aiohttp.ClientSession(connector=connector, timeout=limit) as session:

            async def ask() -> Arrays:
                async with session.post(url, data=body, headers=headers) as response:
                    content = await response.read()
                    if response.status != 200:
                        raise RuntimeError(f"{response.status} {content[:200]!r}")
                    split = response.headers.get("Inference-Header-Content-Length")
                result = InferenceServerClient.parse_response_body(content, header_length=int(split) if split else None)
                return {name: result.as_numpy(name) for name in self._question.outputs}

            await self._ask_for_ever(ask, self.http, delay)

    async def _grpc_client(self, address: str, delay: float) -> None:
        request = _grpc_request(self._question)
        options: list[tuple[str, Any]] = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        options += [("grpc.default_authority", self._hostnames[1])] if self._hostnames else []
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

            async def ask() -> Arrays:
                answer = await stub.ModelInfer(request, timeout=self._patience)
                return {
                    output.name: numpy.frombuffer(content, triton_to_np_dtype(output.datatype)).reshape(output.shape)
                    for output, content in zip(answer.outputs, answer.raw_output_contents, strict=True)
                }

            await self._ask_for_ever(ask, self.grpc, delay)

    async def _ask_for_ever(self, ask: Any, tally: Tally, delay: float) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(delay)
        while not self._stop.is_set():
            begun = clock()
            tally.sent += 1
            try:
                revision = self._question.revision(await ask())
            except grpc.aio.AioRpcError as error:
                tally.failures.append(f"{error.code().name}: {error.details()}")
            except (aiohttp.ClientError, RuntimeError, TimeoutError, OSError) as error:
                tally.failures.append(f"{type(error).__name__}: {error}")
            else:
                tally.seconds.append(clock() - begun)
                if revision is None:
                    tally.wrong += 1
                else:
                    tally.answers[revision] += 1
            try:
                async with asyncio.timeout(max(0.0, begun + self._interval - clock())):
                    await self._stop.wait()
            except TimeoutError:
                continue


def _http_input(name: str, array: NDArray[Any]) -> InferInput:
    found = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    found.set_data_from_numpy(array)
    return found


def _grpc_request(question: Question) -> Any:
    request = service_pb2.ModelInferRequest(model_name=question.model)
    for name, array in question.inputs.items():
        datatype = np_to_triton_dtype(array.dtype)
        request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(numpy.ascontiguousarray(array).tobytes())
    for name in question.outputs:
        request.outputs.add(name=name)
    return request


def _close(given: NDArray[Any], expected: NDArray[Any], tolerance: float) -> bool:
    if given.shape == (*expected.shape, 1):  # Triton has no tensor without axes beside the batch
        given = given.reshape(expected.shape)
    return given.shape == expected.shape and bool(numpy.allclose(given, expected, rtol=tolerance, atol=tolerance))
