"""The pages for probes and for Prometheus."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from modelpress.api.base import API_VERSION
from modelpress.control.health import Health
from modelpress.control.kinds import WATCHED
from modelpress.control.metrics import Metrics
from modelpress.control.objects import Objects


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def page(health: Health, path: str) -> tuple[int, str]:
    async with TestClient(TestServer(health.app())) as client:
        response = await client.get(path)
        return response.status, await response.text()


async def test_one_silent_watch_among_live_ones_turns_the_probe_red_and_is_named() -> None:
    clock = Clock()
    health = Health(75.0, Metrics(), clock)
    health.start(WATCHED, ("team", "other"))
    clock.now = 74.0
    assert await page(health, "/healthz") == (200, "ok")
    for kind in WATCHED:
        for scope in ("team", "other"):
            if (kind.plural, scope) != ("jobs", "team"):
                health.sign(kind.plural, scope)
    clock.now = 76.0
    assert await page(health, "/healthz") == (503, "jobs in team: silent for 76 s")
    health.sign("jobs", "team")
    assert await page(health, "/healthz") == (200, "ok")


async def test_standing_by_is_ready_and_leading_is_ready_once_everything_is_listed() -> None:
    health, objects = Health(75.0, Metrics()), Objects(kinds=WATCHED[:2])
    health.missing_lists = objects.missing_lists
    assert (await page(health, "/readyz"))[0] == 200
    health.start(WATCHED[:2], (None,))
    assert await page(health, "/readyz") == (503, "compressedmodels: not listed yet\nmodelartifacts: not listed yet")
    for kind in WATCHED[:2]:
        objects.replace(kind, None, [], 1)
    assert (await page(health, "/readyz"))[0] == 200


async def test_conditions_are_shown_as_they_are_now_and_go_with_their_model() -> None:
    metrics, objects = Metrics(), Objects()
    metrics.read_models(objects)
    metrics.read_queue(lambda: 3, lambda: 4)
    health = Health(75.0, metrics)
    metadata = {"name": "digits", "namespace": "team", "uid": "u", "resourceVersion": "1"}
    status = {"conditions": [{"type": "Ready", "status": "False", "reason": "Compressing"}]}
    model = {"apiVersion": API_VERSION, "kind": "CompressedModel", "metadata": metadata, "status": status}
    objects.put(model)
    shown = (await page(health, "/metrics"))[1]
    labels = 'name="digits",namespace="team",reason="Compressing",status="False",type="Ready"'
    sample = f"modelpress_model_condition{{{labels}}} 1.0"
    assert sample in shown
    assert 'modelpress_queue_depth{state="ready"} 3.0' in shown
    objects.drop(model | {"metadata": metadata | {"resourceVersion": "2"}})
    assert sample not in (await page(health, "/metrics"))[1]


async def test_a_model_shows_its_revisions_pods_and_figures() -> None:
    metrics, objects = Metrics(), Objects()
    metrics.read_models(objects)
    metadata = {"name": "digits", "namespace": "team", "uid": "u", "resourceVersion": "1"}
    figures = {"originalBytes": 100, "compressedBytes": 25}
    status = {
        "currentRevision": "digits-1",
        "replicas": 3,
        "readyReplicas": 2,
        "compression": {**figures, "metrics": [{"name": "top1", "original": 0.98, "compressed": 0.97}]},
        "rollout": {
            "candidate": "digits-2",
            "stage": "Step",
            "step": 2,
            "weightWanted": 25,
            "weightReached": 33,
            "analysis": {"outcome": "Passed"},
        },
    }
    model = {"apiVersion": API_VERSION, "kind": "CompressedModel", "metadata": metadata, "status": status}
    objects.put(model | {"spec": {"serving": {"autoscaling": {"maxReplicas": 8}}}})
    shown = (await page(Health(75.0, metrics), "/metrics"))[1]
    key = 'name="digits",namespace="team"'
    for sample in (
        f'modelpress_model_info{{candidate_revision="",current_revision="digits-1",{key}}} 1.0',
        f"modelpress_model_replicas{{{key}}} 3.0",
        f"modelpress_model_ready_replicas{{{key}}} 2.0",
        f"modelpress_model_max_replicas{{{key}}} 8.0",
        f"modelpress_model_compression_ratio{{{key}}} 4.0",
        f'modelpress_model_metric{{metric="top1",{key},of="compressed"}} 0.97',
        f'modelpress_rollout_step{{candidate_revision="digits-2",{key},stage="Step"}} 2.0',
        f'modelpress_rollout_weight{{candidate_revision="digits-2",{key},of="wanted"}} 25.0',
        f'modelpress_rollout_weight{{candidate_revision="digits-2",{key},of="reached"}} 33.0',
        f'modelpress_rollout_verdict{{candidate_revision="digits-2",{key},outcome="Passed"}} 1.0',
    ):
        assert sample in shown
