"""An operator with the tiny planner, run inside the test's own event loop against a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.control import tiny
from tests.support.apiserver import ApiServer, running_api_server

from modelpress.control.kinds import MODEL, kind_of, path_of
from modelpress.control.metrics import Metrics
from modelpress.control.operator import Operator
from modelpress.control.plan import Reference
from modelpress.control.seam import Seam
from modelpress.control.sender import MERGE_PATCH, ApiError, Sender, load_configuration
from modelpress.control.settings import Settings

PATIENCE = 60.0


class WriteLog(Seam):
    """Records every write an operator makes."""

    def __init__(self) -> None:
        self.writes: list[str] = []

    async def after_write(self, write: str) -> None:
        self.writes.append(write)


class Bench:
    """A namespace of the test's own, the administrator's hands in it, and operators."""

    def __init__(self, namespace: str, kubeconfig: Path, sender: Sender) -> None:
        self.namespace, self.kubeconfig, self.sender = namespace, kubeconfig, sender
        self.log = WriteLog()

    def settings(self, **changes: Any) -> Settings:
        base = Settings(namespace=self.namespace, watch_namespaces=(self.namespace,), kubeconfig=str(self.kubeconfig))
        return replace(base, retry_period=1.0, identity=f"test-{uuid.uuid4().hex[:6]}", **changes)

    @contextlib.asynccontextmanager
    async def operator(self, settings: Settings | None = None, planner: Any = tiny.plan) -> AsyncIterator[Operator]:
        """Run an operator until the block ends; it has taken the Lease and listed everything when the block begins."""
        settings, metrics = settings or self.settings(), Metrics()
        async with Sender(await load_configuration(settings.kubeconfig), settings, metrics) as sender:
            operator = Operator(settings, planner, None, sender=sender, metrics=metrics, seam=self.log)
            stop = asyncio.Event()
            running = asyncio.create_task(operator.run(stop))
            operator.ended = running  # type: ignore[attr-defined]
            try:
                await self.until(
                    lambda: operator.health.leading and not operator.objects.missing_lists(), "the first LISTs"
                )
                yield operator
            finally:
                stop.set()
                await running

    def reference(self, kind: str, name: str) -> Reference:
        group = {"Deployment": "apps/v1", "CompressedModel": MODEL.api_version, "Job": "batch/v1"}.get(kind, "v1")
        return Reference(group, kind, self.namespace, name)

    async def get(self, kind: str, name: str) -> dict[str, Any] | None:
        try:
            return (await self.sender.send("GET", path_of(self.reference(kind, name)), kind=kind)).body
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        manifest = manifest | {"metadata": manifest["metadata"] | {"namespace": self.namespace}}
        path = kind_of(Reference.of(manifest)).collection(self.namespace)
        return (await self.sender.send("POST", path, kind="test", body=manifest)).body

    async def patch(self, kind: str, name: str, body: Any, manager: str = "someone", subresource: str = "") -> Any:
        path = path_of(self.reference(kind, name), subresource)
        parameters = {"fieldManager": manager}
        return (
            await self.sender.send("PATCH", path, kind="test", body=body, params=parameters, content_type=MERGE_PATCH)
        ).body

    async def delete(self, kind: str, name: str) -> None:
        await self.sender.send("DELETE", path_of(self.reference(kind, name)), kind="test")

    async def want(self, name: str, **spec: Any) -> None:
        """Create the model or replace its spec."""
        if await self.get("CompressedModel", name) is None:
            await self.create(tiny.model(name, self.namespace, **spec))
        else:
            live = await self.get("CompressedModel", name)
            assert live is not None
            path = path_of(self.reference("CompressedModel", name))
            await self.sender.send("PUT", path, kind="test", body=live | {"spec": spec})

    async def settled(self, name: str) -> dict[str, Any]:
        """Wait until the operator has acted on the model's present spec, and return its status."""

        async def look() -> Any:
            live = await self.get("CompressedModel", name)
            assert live is not None
            status = live.get("status") or {}
            return status if status.get("observedGeneration") == live["metadata"]["generation"] else None

        return dict(await self.until(look, f"{name} to be planned"))

    async def until(self, look: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Return the first true value of `look` (plain or async)."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            await asyncio.sleep(0.05)


@pytest.fixture(scope="session")
def served_kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server of these tests' own: what it serves takes any spec, and one test restarts it."""
    with running_api_server(tmp_path_factory.mktemp("any-spec")) as server:
        serve_any_spec(server)
        yield server


def serve_any_spec(api_server: ApiServer) -> None:
    done = api_server.kubectl(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": tiny.definitions()})
    )
    assert done.returncode == 0, done.stderr
    done = api_server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    assert done.returncode == 0, done.stderr


@pytest_asyncio.fixture
async def bench(served_kinds: ApiServer) -> AsyncIterator[Bench]:
    namespace, metrics = f"test-{uuid.uuid4().hex[:8]}", Metrics()
    settings = Settings(namespace=namespace, kubeconfig=str(served_kinds.kubeconfig))
    async with Sender(await load_configuration(settings.kubeconfig), settings, metrics) as sender:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await sender.send("POST", "/api/v1/namespaces", kind="Namespace", body=body)
        yield Bench(namespace, served_kinds.kubeconfig, sender)
