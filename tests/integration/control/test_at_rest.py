"""A model at rest, with all that is rendered for one which an autoscaler scales: no write, whatever restarts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.control.conftest import Bench
from tests.support.rendering import (
    EVERYTHING,
    FULL_INSTALLATION,
    INSTALLATION,
    MINIMAL,
    autoscalers_of,
    model_of,
    served_of,
)

from modelpress.control import marks
from modelpress.control.kinds import path_of
from modelpress.control.operator import Operator
from modelpress.render.installation import Installation


def wishes(spec: dict[str, Any], installation: Installation) -> list[dict[str, Any]]:
    """Return what the operator wants of a model that serves, and an HPA for it."""
    found = []
    for manifest in [*served_of(model_of(spec), installation), autoscalers_of()[0]]:
        metadata = {name: part for name, part in manifest["metadata"].items() if name != "namespace"}
        wanted = manifest | {"metadata": metadata}
        if manifest["kind"] == "Deployment":
            wanted = dict(marks.marked(wanted, {marks.RETRY_TOKEN: ""}))
            found.append({"manifest": wanted, "atCreation": {"spec": {"replicas": 2}}})
        else:
            found.append({"manifest": wanted})
    return found


async def scale(bench: Bench, name: str, count: int) -> None:
    """Set the number of pods as autoscalers do: what is read at /scale is written back there."""
    path = path_of(bench.reference("Deployment", name), "scale")
    read = (await bench.sender.send("GET", path, kind="test")).body
    manager = {"fieldManager": "kube-controller-manager"}
    await bench.sender.send("PUT", path, kind="test", body=read | {"spec": {"replicas": count}}, params=manager)


async def made(bench: Bench, operator: Operator) -> list[str]:
    """Have rounds made until nothing is left to do, one more on every model, and return all writes but Events."""
    await bench.until(operator.objects.models, "the model to be listed")
    await bench.until(lambda: operator.queue.idle, "the queue to be empty")
    for key in operator.objects.models():
        await operator.reconciler.round(key)
    return [write for write in bench.log.writes if "events" not in write]


@pytest.mark.parametrize(
    ("spec", "installation"),
    [(MINIMAL, INSTALLATION), (EVERYTHING, FULL_INSTALLATION)],
    ids=["minimal", "everything"],
)
async def test_a_model_that_an_autoscaler_scales_is_written_once_and_never_again(
    bench: Bench, spec: dict[str, Any], installation: Installation
) -> None:
    wanted = wishes(spec, installation)
    (name,) = [wish["manifest"]["metadata"]["name"] for wish in wanted if wish["manifest"]["kind"] == "Deployment"]
    async with bench.operator() as operator:
        await bench.want("model", apply=wanted)
        assert (await bench.settled("model"))["problems"] == []
        before = await made(bench, operator)
        for count in (5, 0, 3):
            await scale(bench, name, count)
            await bench.patch("Deployment", name, {"status": {"replicas": count}}, subresource="status")
            assert await made(bench, operator) == before
    bench.log.writes.clear()
    async with bench.operator() as operator:
        assert await made(bench, operator) == []
    live = await bench.get("Deployment", name)
    assert live is not None
    assert live["spec"]["replicas"] == 3
