"""The few kinds of request we make, over one aiohttp session: a third of the CPU a generated client takes.

The `kubernetes` package loads the configuration (in-cluster with a rotating token, or a kubeconfig) and refreshes
tokens; here they are sent. A token bucket bounds the rate. 429, 5xx and lost connections are retried a few times with
backoff; `guard` is called before every single attempt, so that no retry goes out after the Lease was lost.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import orjson
import tenacity
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import Configuration

from modelpress.control.metrics import Metrics
from modelpress.control.settings import Settings

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
ATTEMPTS = 4
RETRIED = frozenset({429, 500, 502, 503, 504})
UNAVAILABLE = frozenset({429, 502, 503, 504})
MESSAGE_LIMIT = 1024


class Answer(NamedTuple):
    """What the server said to a request it fulfilled."""

    status: int
    body: dict[str, Any]


class ApiError(Exception):
    """The server refused a request, and will refuse it again.

    The message is the server's own, causes included.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message}"[:MESSAGE_LIMIT])
        self.status, self.reason, self.message, self.retry_after = status, reason, message[:MESSAGE_LIMIT], retry_after


class UnavailableError(Exception):
    """The server could not be reached, was overloaded, or did not answer in time.

    Whether it did what was asked is unknown.
    """


async def load_configuration(kubeconfig: str) -> Configuration:
    """Return how to reach the API server: `kubeconfig` if given, the pod's service account if there, else
    ~/.kube/config."""
    configuration = Configuration()
    if not kubeconfig and os.environ.get("KUBERNETES_SERVICE_HOST"):
        kubernetes_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await kubernetes_config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig or None, client_configuration=configuration, persist_config=False
        )
    return configuration


class Sender:
    """Sends requests to one API server.

    Use as an async context manager.
    """

    def __init__(self, configuration: Configuration, settings: Settings, metrics: Metrics) -> None:
        self._configuration = configuration
        self._metrics = metrics
        self._timeout = aiohttp.ClientTimeout(total=settings.request_timeout)
        self._bucket = Bucket(settings.requests_per_second, 2 * settings.requests_per_second)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Sender:
        connector = aiohttp.TCPConnector(ssl=_tls(self._configuration), limit=32)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        verb: str,
        path: str,
        *,
        kind: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
        attempts: int = ATTEMPTS,
        guard: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send one request and return what the server answers.

        Raises ApiError, UnavailableError, and what `guard` raises.
        """
        data = None if body is None else orjson.dumps(body)
        headers = {"Accept": JSON, "User-Agent": "modelpress", "Content-Type": content_type}
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(attempts),
            wait=_wait,
            retry=tenacity.retry_if_exception(_is_worth_retrying),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    await self._bucket.take()
                    guard()
                    return await self._send_once(verb, path, kind=kind, data=data, params=params, headers=headers)
        except ApiError as error:
            if error.status in UNAVAILABLE:
                raise UnavailableError(f"{verb} {path}: {error}") from error
            raise
        raise AssertionError("tenacity returns or raises")

    async def _send_once(
        self,
        verb: str,
        path: str,
        *,
        kind: str,
        data: bytes | None,
        params: Mapping[str, str] | None,
        headers: dict[str, str],
    ) -> Answer:
        if self._session is None:
            raise RuntimeError("the sender is used outside its context")
        headers = headers | await self._authorization()
        code = "error"
        try:
            async with self._session.request(
                verb, self._configuration.host + path, data=data, params=params, headers=headers, allow_redirects=False
            ) as response:
                code = str(response.status)
                return _read(response, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnavailableError(f"{verb} {path}: {error or type(error).__name__}") from error
        finally:
            self._metrics.api_requests.labels(verb, kind, code).inc()

    async def _authorization(self) -> dict[str, str]:
        """Return the token's header, read anew where it rotates; nothing when a client certificate speaks for us."""
        token = await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            return {"Authorization": token}
        if self._configuration.username:
            return {"Authorization": self._configuration.get_basic_auth_token() or ""}
        return {}


class Bucket:
    """A token bucket: `rate` requests a second on average, `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._filled_at = burst, clock()

    async def take(self) -> None:
        """Take one token; wait for it if there is none."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate) - 1.0
        self._filled_at = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)


def _tls(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=configuration.ssl_ca_cert, cadata=getattr(configuration, "ca_cert_data", None)
    )
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _read(response: aiohttp.ClientResponse, raw: bytes) -> Answer:
    """Return the answer, or raise the ApiError it is.

    What is not JSON comes from something in front of the server.
    """
    try:
        body = orjson.loads(raw) if raw else {}
    except orjson.JSONDecodeError:
        body = {"message": raw[:MESSAGE_LIMIT].decode(errors="replace")}
    if response.status < 300:
        return Answer(response.status, body)
    message = str(body.get("message") or response.reason or "no message")
    details = body.get("details") or {}
    for cause in details.get("causes") or ():
        text = f"{cause.get('field', '')}: {cause.get('message', '')}".strip(": ")
        if cause.get("message", "") not in message:
            message += f"; {text}"
    retry_after = response.headers.get("Retry-After", "")
    seconds = float(retry_after) if retry_after.isdigit() else 0.0
    raise ApiError(response.status, str(body.get("reason") or response.reason or ""), message, seconds)


def _is_worth_retrying(error: BaseException) -> bool:
    return isinstance(error, UnavailableError) or (isinstance(error, ApiError) and error.status in RETRIED)


def _wait(state: tenacity.RetryCallState) -> float:
    """Return how long to wait: what the server asks for, up to 5 s, else 0.2, 0.4, 0.8 s with jitter."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, ApiError) else 0.0
    return min(5.0, max(asked, tenacity.wait_random_exponential(multiplier=0.2, max=2)(state)))
