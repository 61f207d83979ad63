"""What holds for every model of one installation: images, default store, default resources. Written by the chart.

The operator reads it once, when it starts, from `/etc/modelpress/installation.yaml`. A new image or default touches no
revision that exists: a revision keeps the pod template it was rendered with.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field

from modelpress.api.base import ApiType, Duration, Uri
from modelpress.api.compression import JobSettings, Scratch
from modelpress.api.defaults import EffectiveJobSettings, EffectiveServing, with_defaults
from modelpress.api.fields import ResourceRequirements, SecretName
from modelpress.api.gateway import Hostname, NamespaceName, ObjectName
from modelpress.api.resources import CompressedModel
from modelpress.api.serving import Serving
from modelpress.api.spec import Artifacts

_Settings = TypeVar("_Settings", bound=ApiType)


class Images(ApiType):
    """Image references, by tag or by digest."""

    operator: Annotated[str, Field(min_length=1)]
    """Runs the operator, and in tenants' pods what moves files (`fetch`, `publish`, `resolve`), the agent and Envoy."""
    compressor: Annotated[str, Field(min_length=1)]
    """Runs compression and judgement."""
    triton: Annotated[str, Field(min_length=1)]
    """Runs the models."""


class DefaultStore(ApiType):
    """Where results are kept if the model does not say."""

    uri: Uri | None = None
    """fsspec URL of the store's root. Default: none, and every model must name its own."""
    secret_name: SecretName | None = None
    """Secret, in the model's namespace, that may write there. Default: none, the pod's own identity."""
    read_secret_name: SecretName | None = None
    """Secret, in the model's namespace, that may only read there. Default: as `secretName`."""


class DefaultJob(ApiType):
    """What an unset field of `compression.job` means here. Unset here too: the API's own default."""

    resources: ResourceRequirements | None = None
    """Resources of the containers that compress and judge."""
    timeout: Duration | None = None
    """Longest time one attempt may take."""
    scratch: Scratch | None = None
    """Disk of the pod."""


class DefaultServing(ApiType):
    """What an unset field of `serving` means here. Unset here too: the API's own default."""

    resources: ResourceRequirements | None = None
    """Resources of Triton's container."""


class Prometheus(ApiType):
    """The Prometheus that scrapes serving pods."""

    address: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=1024)]
    """URL inside the cluster: `http://prometheus.monitoring:9090`."""
    analysis_queries: bool = False
    """Whether models may have the operator ask it, by `rollout.analysis.queries`, whatever they like."""


class GatewayDefaults(ApiType):
    """The Gateway that leads to a model that names none of its own."""

    name: ObjectName | None = None
    """Name of the Gateway. Default: none, and models are reached inside the cluster only."""
    namespace: NamespaceName | None = None
    """Namespace of the Gateway. Default: that of each model."""
    domain: Hostname | None = None
    """Domain under which models have a hostname each: `<model>.<namespace>.<domain>`. Default: none,
    `<model>.<namespace>`."""


class HttpProxy(ApiType):
    """Environment of what talks to stores."""

    http_proxy: str | None = None
    """Becomes HTTP_PROXY."""
    https_proxy: str | None = None
    """Becomes HTTPS_PROXY."""
    no_proxy: str | None = None
    """Becomes NO_PROXY."""


class CertificateAuthorities(ApiType):
    """Certificates that what talks to stores trusts, instead of the public ones."""

    config_map: Annotated[str, Field(min_length=1, max_length=253)]
    """ConfigMap of that name in every namespace with models."""
    key: Annotated[str, Field(min_length=1, max_length=253)] = "ca.crt"
    """Key that holds the bundle, in PEM."""


class Installation(ApiType):
    """What holds for every model of one installation."""

    images: Images
    """Image references."""
    triton_backend: Literal["onnxruntime", "python"] = "onnxruntime"
    """Triton's backend that runs ONNX: a fact of the image. NVIDIA's images have onnxruntime."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """Of every container. Default: Kubernetes' own."""
    image_pull_secrets: tuple[SecretName, ...] = ()
    """Secrets, in the model's namespace, to pull the images with."""
    artifacts: DefaultStore = DefaultStore()
    """Where results are kept if the model does not say."""
    job: DefaultJob = DefaultJob()
    """How compression pods run if the model does not say."""
    serving: DefaultServing = DefaultServing()
    """How serving pods run if the model does not say."""
    helper_resources: ResourceRequirements = ResourceRequirements(requests={"cpu": "20m", "memory": "96Mi"})
    """Resources of each container of ours that moves files or requests."""
    drain_seconds: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """Longest wait for requests in flight when a serving pod ends."""
    cluster_domain: str = "cluster.local"
    """Domain of the cluster's Services, for `status.endpoint`."""
    operator_namespace: str = "modelpress"
    """Namespace of the operator: the only one that may ask a compression pod for its progress."""
    prometheus: Prometheus | None = None
    """Where autoscalers ask for Triton's figures. Default: nowhere."""
    gateway: GatewayDefaults = GatewayDefaults()
    """Where requests from outside the cluster come in, if the model does not say."""
    proxy: HttpProxy | None = None
    """HTTP proxy between the cluster and the stores. Default: none."""
    certificate_authorities: CertificateAuthorities | None = None
    """Certificates that stores are trusted by. Default: the images' own."""


def job_settings(model: CompressedModel, installation: Installation) -> EffectiveJobSettings:
    """Return how compression pods of `model` run: as it says, else the installation, else the API's default."""
    return with_defaults(_with_fallback(model.spec.compression.job or JobSettings(), installation.job))


def serving_settings(model: CompressedModel, installation: Installation) -> EffectiveServing:
    """Return how `model` is served: as it says, else the installation, else the API's default."""
    return with_defaults(_with_fallback(model.spec.serving or Serving(), installation.serving))


def store_settings(model: CompressedModel, installation: Installation) -> Artifacts:
    """Return where results of `model` are kept, by which Secrets: as it says, else the installation.

    Field by field, but a Secret of the installation opens the installation's store only: a model that names a store of
    its own names its Secrets too. `uri` None: nobody has named a store. `readSecretName` is never None where
    `secretName` is set.
    """
    own = model.spec.artifacts or Artifacts()
    found = own if own.uri else _with_fallback(own, installation.artifacts)
    if own.secret_name and not own.read_secret_name:
        return found.model_copy(update={"read_secret_name": own.secret_name})
    return found.model_copy(update={"read_secret_name": found.read_secret_name or found.secret_name})


def _with_fallback(own: _Settings, fallback: ApiType) -> _Settings:
    gaps = {name: getattr(fallback, name) for name in type(fallback).model_fields if getattr(own, name) is None}
    return own.model_copy(update=gaps)
