"""A tiny language for tests of the planner: models, Jobs, pods and Deployments as the API server shows them."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from modelpress.api.base import API_VERSION
from modelpress.api.figures import DiscordantPairs, Figures, MetricFigure
from modelpress.api.results import AskResult, PublishResult, ResolveResult
from modelpress.api.verification import DisagreementFigure, ServedFigures, ServedLatency
from modelpress.render.installation import Installation

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
"""When every test begins."""

INSTALLATION = Installation.model_validate(
    {
        "images": {"operator": "operator:1", "compressor": "compressor:1", "triton": "triton:1"},
        "artifacts": {"uri": "s3://artifacts", "secretName": "artifacts-write", "readSecretName": "artifacts-read"},
    }
)


def at(seconds: float) -> datetime:
    """Return the time so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def stamp(time: datetime) -> str:
    """Return `time` as the API server writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def digest(text: str) -> str:
    """Return a digest that looks like one of `text`."""
    return "sha256:" + text.encode().hex().ljust(64, "0")[:64]


def a_spec(**changes: Any) -> dict[str, Any]:
    """Return a spec.

    A torch model, one test set, one gate on accuracy, and versions that take over at once. Top-level fields may be
    replaced; None removes one.
    """
    spec: dict[str, Any] = {
        "source": {
            "uri": "s3://models/digits/",
            "format": "torch",
            "entrypoint": "model:build",
            "trustCode": True,
            "inputs": [{"name": "image", "shape": ["batch", 1, 8, 8]}],
            "outputs": [{"name": "logits"}],
        },
        "compression": {"stages": [{"fuse": {}}]},
        "evaluation": {
            "test": {"uri": "s3://data/test.npz"},
            "metrics": [{"name": "top1", "type": "accuracy"}],
            "gates": [{"metric": "top1", "goal": "MaxDegradation", "value": 0.05}],
        },
        "rollout": {"strategy": "BlueGreen"},
    }
    spec.update(copy.deepcopy(changes))
    return {name: value for name, value in spec.items() if value is not None}


def a_model(
    name: str = "digits", spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a CompressedModel as it was just created."""
    metadata = {"name": name, "namespace": "team-a", "uid": f"uid-{name}", "generation": 1, "resourceVersion": "1"}
    model = {
        "apiVersion": API_VERSION,
        "kind": "CompressedModel",
        "metadata": metadata | {"creationTimestamp": stamp(NOON)},
        "spec": a_spec() if spec is None else spec,
    }
    return model | ({"status": status} if status is not None else {})


def a_resolution(source: str = "v1", **datasets: str) -> str:
    """Return what a resolve Job answers."""
    digests = {role: digest(text) for role, text in ({"test": "test"} | datasets).items()}
    return json.dumps(ResolveResult(source=digest(source), datasets=digests).to_wire())


def figures(top1: float = 0.98, latency: float | None = None) -> Figures:
    """Return figures of 10,000 samples on which the original is right 98 times in 100."""
    lost = max(0, round((0.98 - top1) * 10_000))
    metric = MetricFigure(
        name="top1",
        original=0.98,
        compressed=top1,
        higher_is_better=True,
        samples=10_000,
        pairs=DiscordantPairs(original_only=lost, compressed_only=0),
    )
    return Figures(original_bytes=80_000, compressed_bytes=15_000, metrics=(metric,))


def a_publication(manifest: str = "manifest", memory: int | None = None, **figure: Any) -> str:
    """Return what a compress or an evaluate Job answers."""
    result = PublishResult(
        manifest_digest=digest(manifest),
        report_digest=digest("report"),
        figures=figures(**figure),
        batched=True,
        memory=memory,
    )
    return json.dumps(result.to_wire())


def an_answer(
    job: dict[str, Any], top1: float = 0.98, milliseconds: float = 5.0, different: int = 0, compared: int = 10_000
) -> str:
    """Return what a Job answers that asks a server: it compares if it was told to."""
    ask = json.loads(job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])
    comparison = ask.get("comparison")
    latency = ServedLatency(batch_size=1, requests=100, p50=milliseconds, p95=2 * milliseconds, p99=3 * milliseconds)
    disagreement = None
    if comparison is not None:
        disagreement = DisagreementFigure(
            stable=comparison["revision"], compare=comparison["compare"], samples=compared, different=different
        )
    result = AskResult(
        figures=ServedFigures(samples=10_000, metrics=figures(top1).metrics, latency=(latency,), agreement=0.99),
        disagreement=disagreement,
        answers_digest=digest("answers"),
    )
    return json.dumps(result.to_wire())


def a_failure(reason: str, message: str = "Something is wrong; mend it.") -> str:
    """Return what a container of ours says when it fails."""
    return json.dumps({"reason": reason, "message": message})


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return one condition of a status."""
    found: dict[str, Any] = next(item for item in status["conditions"] if item["type"] == kind)
    return found


def summary(status: dict[str, Any]) -> dict[str, str]:
    """Return all conditions of a status, each as `Status/Reason`."""
    return {item["type"]: f"{item['status']}/{item['reason']}" for item in status["conditions"]}
