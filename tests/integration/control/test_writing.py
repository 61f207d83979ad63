"""The write door, against a real API server."""

from __future__ import annotations

from tests.integration.control import tiny
from tests.integration.control.conftest import Bench


async def test_an_object_is_made_and_the_second_round_writes_nothing(bench: Bench) -> None:
    resources = {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": 1}}
    ports = [{"name": "http", "containerPort": 8000}, {"name": "grpc", "containerPort": 8001}]
    wishes = [
        {"manifest": tiny.config_map("data", colour="blue", empty="")},
        {"manifest": tiny.deployment("pods", resources=resources, ports=ports, env=[{"name": "A", "value": "1"}]), "atCreation": {"spec": {"replicas": 3}}},
    ]
    async with bench.operator() as operator:
        await bench.want("first", apply=wishes)
        await bench.settled("first")
        await bench.until(lambda: operator.queue.idle, "the queue to be empty")
        before = list(bench.log.writes)
        for _ in range(3):
            for key in operator.objects.keys():
                await operator.reconciler.round(key)
        assert bench.log.writes == before
    assert (await bench.get("Deployment", "pods"))["spec"]["replicas"] == 3
