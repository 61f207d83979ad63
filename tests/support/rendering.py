"""Facts to render from: a model that sets everything, one that sets as little as can be, and what is made of them."""

from __future__ import annotations

from typing import Any

from modelpress.api.autoscaling import AutoscalingTarget
from modelpress.api.defaults import EffectiveAutoscaling, EffectiveDisagreement
from modelpress.api.resources import CompressedModel, ModelArtifact, ModelRevision
from modelpress.render import jobs, serving
from modelpress.render.installation import GatewayDefaults, Installation, Prometheus
from modelpress.render.places import artifact_folder

DIGESTS = {role: f"sha256:{number:064x}" for number, role in enumerate(("train", "validation", "calibration", "test"))}
SOURCE_DIGEST = "listing-sha256:" + "5" * 64
MANIFEST_DIGEST = "sha256:" + "7" * 64
ARTIFACT_KEY, REVISION_KEY = "a" * 64, "b" * 64

MINIMAL: dict[str, Any] = {
    "source": {"uri": "s3://models/tiny/model.onnx", "format": "onnx"},
    "compression": {"stages": []},
}

APART = {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "other"}}}}

EVERYTHING: dict[str, Any] = {
    "source": {
        "uri": "s3://models/digits/",
        "format": "torch",
        "entrypoint": "model:build",
        "kwargs": {"width": 32, "note": "costs $(HOME) and $$"},
        "trustCode": True,
        "inputs": [{"name": "image", "dtype": "float32", "shape": ["batch", 1, 8, 8]}],
        "outputs": [{"name": "logits"}],
        "assets": ["labels.txt"],
        "secretName": "models.read",
    },
    "compression": {
        "data": {
            "train": {"uri": "s3://data/train.npz", "secretName": "data-read"},
            "validation": {"uri": "s3://data/validation.npz"},
            "calibration": {"uri": "s3://data/calibration.npz", "samples": 99},
        },
        "objective": {"loss": "CrossEntropy", "output": "logits"},
        "seed": 7,
        "stages": [
            {"prune": {"structure": "Channel", "amount": {"channels": 0.5}}},
            {"finetune": {"epochs": 3}},
            {"fuse": {}},
            {"quantize": {"preset": "INT8", "ignore": ["re:.*head$"]}},
        ],
        "job": {
            "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "3500m", "memory": "5Gi"}},
            "timeout": "2h",
            "retries": 1,
            "scratch": {"size": "11Gi"},
            "nodeSelector": {"pool": "training"},
            "tolerations": [{"key": "training", "operator": "Exists"}],
            "serviceAccountName": "trainer",
        },
    },
    "evaluation": {
        "test": {"uri": "s3://data/test.npz", "secretName": "test-read"},
        "metrics": [{"name": "top1", "type": "accuracy"}],
        "latency": {"batchSizes": [1, 32], "threads": 2},
        "gates": [{"metric": "top1", "goal": "MaxDegradation", "value": 0.03}],
    },
    "artifacts": {"uri": "s3://own/store/", "secretName": "own-write", "readSecretName": "own-read"},
    "serving": {
        "batching": {"maxBatchSize": 16, "maxQueueDelay": "5ms"},
        "replicas": 3,
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1500m", "memory": "2Gi"}},
        "nodeSelector": {"pool": "serving"},
        "tolerations": [{"key": "serving", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [APART]}},
        "serviceAccountName": "server",
        "imagePullSecrets": ["pull"],
    },
    "rollout": {"revisionHistoryLimit": 3},
    "update": {"interval": "5m"},
}

OWN_METRIC: dict[str, Any] = {
    "name": "cost",
    "type": "entrypoint",
    "entrypoint": "metrics:cost",
    "target": "price",
    "higherIsBetter": False,
}
OWN: dict[str, Any] = {
    "source": {"uri": "s3://models/tiny/", "format": "onnx", "trustCode": True, "secretName": "models-read"},
    "compression": {"stages": []},
    "evaluation": {
        "test": {"uri": "s3://data/test.npz"},
        "metrics": [{"name": "top1", "type": "accuracy"}, OWN_METRIC],
    },
}
"""A model of which a function of the source computes a metric."""

TAUGHT: dict[str, Any] = EVERYTHING | {
    "compression": EVERYTHING["compression"]
    | {
        "teachers": {
            "large": {
                "uri": "s3://elsewhere/large/",
                "format": "transformers",
                "task": "TextClassification",
                "secretName": "large-read",
            },
            "unused": {"uri": "s3://elsewhere/unused/", "format": "transformers", "task": "TextClassification"},
        },
        "stages": [{"distill": {"epochs": 3, "teacher": {"name": "large"}}}],
    }
}
"""A model that learns from one of its own."""

INSTALLATION = Installation.model_validate(
    {
        "images": {
            "operator": "example/operator:1",
            "compressor": "example/compressor:1",
            "triton": "example/triton:1",
        },
        "tritonBackend": "python",
        "artifacts": {"uri": "s3://artifacts", "secretName": "artifacts-write", "readSecretName": "artifacts-read"},
    }
)

FULL_INSTALLATION = INSTALLATION.model_validate(
    INSTALLATION.to_wire()
    | {
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": ["installation-pull"],
        "drainSeconds": 45.5,
        "proxy": {"httpsProxy": "http://proxy.example:3128", "noProxy": ".svc"},
        "certificateAuthorities": {"configMap": "authorities", "key": "bundle.pem"},
    }
)


def model_of(spec: dict[str, Any], name: str = "digits") -> CompressedModel:
    """Return the model as the API server shows it, resolved."""
    status = {
        "source": {
            "resolvedDigest": SOURCE_DIGEST,
            "datasets": DIGESTS,
            "resolvedAt": "2026-01-01T00:00:00Z",
            "resolvedFor": "c" * 64,
        }
    }
    metadata = {"name": name, "namespace": "team-a", "uid": "uid-of-the-model"}
    return CompressedModel.model_validate({"metadata": metadata, "spec": spec, "status": status})


def artifact_of(model: CompressedModel, installation: Installation = INSTALLATION, **status: Any) -> ModelArtifact:
    """Return the artifact that `model` asks for, published."""
    name = f"{model.metadata.name}-{ARTIFACT_KEY[:10]}"
    spec = {
        "key": ARTIFACT_KEY,
        "source": model.spec.source.to_wire(),
        "sourceDigest": SOURCE_DIGEST,
        "compression": model.spec.compression.to_wire(),
        "datasets": {role: digest for role, digest in DIGESTS.items() if role != "test"},
        "destination": artifact_folder(model, name, installation),
    }
    metadata = {"name": name, "namespace": "team-a", "uid": "uid-of-the-artifact"}
    found = {"manifestDigest": MANIFEST_DIGEST, "batched": True} | status
    return ModelArtifact.model_validate({"metadata": metadata, "spec": spec, "status": found})


def revision_of(model: CompressedModel, installation: Installation = INSTALLATION) -> ModelRevision:
    """Return the revision that serves the artifact of `model`."""
    artifact, name = artifact_of(model, installation), f"{model.metadata.name}-{REVISION_KEY[:10]}"
    spec = {
        "key": REVISION_KEY,
        "artifact": artifact.metadata.name,
        "manifestDigest": MANIFEST_DIGEST,
        "podTemplate": serving.pod_template(model, artifact, name, installation),
        "models": serving.models_json(model, artifact, installation),
    }
    metadata = {"name": name, "namespace": "team-a", "uid": "uid-of-the-revision"}
    return ModelRevision.model_validate({"metadata": metadata, "spec": spec})


def jobs_of(model: CompressedModel, installation: Installation = INSTALLATION) -> list[dict[str, Any]]:
    """Return every kind of Job of `model`."""
    artifact = artifact_of(model, installation)
    return [
        jobs.resolve_job(model, installation),
        jobs.compress_job(model, artifact, 1, installation),
        jobs.evaluate_job(model, artifact, 1, installation),
    ]


def served_of(model: CompressedModel, installation: Installation = INSTALLATION) -> list[dict[str, Any]]:
    """Return everything that serves `model`."""
    revision = revision_of(model, installation)
    return [
        serving.config_map(model, revision),
        serving.deployment(model, revision),
        serving.revision_service(model, revision),
        serving.service(model, revision.metadata.name),
        serving.disruption_budget(model, revision.metadata.name),
        serving.network_policy(model),
        serving.job_network_policy(model, installation),
    ]


def verification_of(model: CompressedModel, installation: Installation = INSTALLATION) -> list[dict[str, Any]]:
    """Return everything that verifies the revision of `model` before it gets requests, beside another that serves."""
    artifact, revision = artifact_of(model, installation), revision_of(model, installation)
    limit = EffectiveDisagreement(max=0.02, at_least=0.9)
    stable = f"{model.metadata.name}-{'c' * 10}"
    ask = jobs.ask_job(
        model, artifact, revision, 1, installation, stable=stable, stable_service=stable, disagreement=limit
    )
    return [*serving.verification_set(model, revision), ask]


ASLEEP = {"minReplicas": 0, "maxReplicas": 4, "activation": {"prometheus": {"query": "sum(rate(asked[1m]))"}}}


def autoscalers_of() -> list[dict[str, Any]]:
    """Return an HPA, and ScaledObjects for each target; the last one lets the model sleep."""
    model, prometheus = model_of(MINIMAL), Prometheus(address="http://prometheus.monitoring:9090")
    name = f"{model.metadata.name}-{REVISION_KEY[:10]}"
    awake = EffectiveAutoscaling(min_replicas=2, max_replicas=8)
    asleep = EffectiveAutoscaling.model_validate(ASLEEP)
    found = [serving.horizontal_pod_autoscaler(model, name, awake, 70)]
    for target in ({"cpu": 70}, {"queueTime": "20ms"}, {"pendingRequests": 4}):
        asked = AutoscalingTarget.model_validate(target)
        found.append(serving.scaled_object(model, name, awake, asked, prometheus))
    asked = AutoscalingTarget(pending_requests=4)
    return [*found, serving.scaled_object(model, name, asleep, asked, prometheus)]


def routes_of() -> list[dict[str, Any]]:
    """Return both routes of a model: to what serves, and to two versions by weight."""
    gateway = GatewayDefaults(name="public", namespace="gateways", domain="example.org")
    model, installation = model_of(MINIMAL), INSTALLATION.model_copy(update={"gateway": gateway})
    at = serving.entrance(model, installation)
    assert at is not None
    stable = f"{model.metadata.name}-{REVISION_KEY[:10]}"
    return [
        serving.http_route(model, at, {stable: 100}),
        serving.http_route(model, at, {stable: 90, "digits-cccccccccc": 10}),
        serving.grpc_route(model, at, {stable: 90, "digits-cccccccccc": 10}),
    ]


def everything_of(model: CompressedModel, installation: Installation = INSTALLATION) -> list[dict[str, Any]]:
    """Return every object that is rendered for `model`."""
    return jobs_of(model, installation) + served_of(model, installation) + verification_of(model, installation)
