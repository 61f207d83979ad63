"""The three resources: CompressedModel, and the immutable ModelArtifact and ModelRevision the operator makes of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from .base import ApiType, Digest
from .compression import Recipe
from .evaluation import Evaluation, Goal
from .figures import Figures
from .rollout import RolloutStatus
from .source import Source
from .spec import CompressedModelSpec
from .verification import DisagreementFigure, ServedFigures, VerificationRecord


class Condition(ApiType):
    """One condition, as in all of Kubernetes."""

    type: str
    """Ready, Available, Reconciling, Stalled, Accepted, Verified or Progressing."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """A constant that machines read."""
    message: str = ""
    """One sentence for a person."""
    last_transition_time: str
    """When status last changed, RFC 3339."""
    observed_generation: int = 0
    """Generation of the spec it was judged by."""


class SourceStatus(ApiType):
    """What the URIs held when they were last looked at."""

    resolved_digest: Digest
    """Digest of the source."""
    datasets: dict[str, Digest] = Field(default_factory=dict)
    """Digests of the datasets, by role; of a teacher by `teacher.<name>`."""
    resolved_at: str
    """When, RFC 3339."""
    resolved_for: str
    """Hash of the URIs and pinned digests that were asked for."""


class GateOutcome(ApiType):
    """One gate, judged."""

    metric: str
    """Its metric."""
    goal: Goal
    """Its goal."""
    outcome: Literal["Pass", "Fail", "Inconclusive"]
    """What came of it."""
    message: str
    """The figures in a sentence."""


class CompressionStatus(Figures):
    """What compression cost and brought, for the artifact that the spec asks for."""

    ratio_text: str = ""
    """Ratio of sizes, for people: `5.3x`."""
    accuracy_text: str = ""
    """First metric, and its change, for people: `0.986 (-0.004)`."""
    gates: tuple[GateOutcome, ...] = ()
    """The gates, judged."""
    report: str = ""
    """URI of the report."""
    rung: int | None = None
    """Rung of the ladder that the figures are of, from 1; none for a recipe that is no ladder."""
    recipe: str | None = None
    """Recipe that a search chose, in a few words; the report has its stages. None for a recipe that was given."""
    warnings: tuple[str, ...] = ()
    """Sentences that a person should read."""


class VerificationStatus(ServedFigures):
    """What the revision that the spec asks for answered before it got any request."""

    revision: str
    """Name of the ModelRevision."""
    node: str = ""
    """Node that its pod ran on: latency depends on it."""
    gates: tuple[GateOutcome, ...] = ()
    """The gates that are measured on the serving runtime, judged."""
    disagreement: DisagreementFigure | None = None
    """How far it and the revision that served disagree, if that was asked."""


class Endpoint(ApiType):
    """Where clients ask."""

    http: str
    """URL of the HTTP endpoint inside the cluster."""
    grpc: str
    """host:port of the gRPC endpoint inside the cluster."""
    hostname: str | None = None
    """Hostname of HTTP requests at the Gateway, if there is one."""
    grpc_hostname: str | None = None
    """Hostname of gRPC requests there."""


class Rejection(ApiType):
    """What was tried and refused, so that it is not tried again until something it was judged by changes."""

    artifact: str = ""
    """Name of the ModelArtifact; empty while the source could not be resolved."""
    judged_by: str
    """Digest of gates, limits and retryToken at that time."""
    reason: str
    """A constant that machines read."""
    message: str
    """The figures in a sentence."""


class ProgressStatus(ApiType):
    """What the running Job last said of itself. Shown, never decisive."""

    job: str
    """Name of the Job."""
    message: str
    """`finetune 2/4, epoch 12 of 30`."""


class AutoscalingStatus(ApiType):
    """How the number of pods is found."""

    engine: Literal["HPA", "KEDA"]
    """Who counts the pods."""
    message: str = ""
    """What the autoscaler complains of; empty if nothing."""


class CompressedModelStatus(ApiType):
    """What the operator knows of one model."""

    observed_generation: int = 0
    """Generation of the spec that this status speaks of."""
    conditions: tuple[Condition, ...] = ()
    """See the table in docs/conditions.md."""
    source: SourceStatus | None = None
    """What the URIs hold."""
    artifact: str | None = None
    """ModelArtifact that the spec asks for."""
    current_revision: str | None = None
    """ModelRevision that answers."""
    candidate_revision: str | None = None
    """ModelRevision that is to answer next."""
    rollout: RolloutStatus | None = None
    """How far it is on its way."""
    compression: CompressionStatus | None = None
    """What compression cost and brought."""
    verification: VerificationStatus | None = None
    """What the serving runtime answered before requests came, if the spec asks for that."""
    rejected: Rejection | None = None
    """What was last refused."""
    progress: ProgressStatus | None = None
    """What the running Job says of itself."""
    endpoint: Endpoint | None = None
    """Where clients ask."""
    replicas: int = 0
    """Serving pods of the current revision."""
    ready_replicas: int = 0
    """Those of them that answer."""
    autoscaling: AutoscalingStatus | None = None
    """How the number of pods is found, if not by `spec.serving.replicas`."""
    selector: str = ""
    """Label selector of serving pods, for autoscalers."""


class ModelArtifactSpec(ApiType):
    """One resolved source, one recipe, its data. Immutable."""

    key: str
    """artifactKey: hash of everything that decides what comes out, 64 hexadecimal digits."""
    source: Source
    """As in the model's spec."""
    source_digest: Digest
    """What the source held."""
    compression: Recipe
    """As in the model's spec."""
    evaluation: Evaluation | None = None
    """What a search chose by, as in the model's spec; none for a recipe that was given."""
    datasets: dict[str, Digest] = Field(default_factory=dict)
    """Digests of the datasets, by role; of a teacher by `teacher.<name>`."""
    destination: str
    """Folder in the store."""


class ModelArtifactStatus(ApiType):
    """What came of it."""

    conditions: tuple[Condition, ...] = ()
    """Ready: files are in the store and measured."""
    manifest_digest: Digest | None = None
    """Digest of manifest.json."""
    report_digest: Digest | None = None
    """Digest of report.json."""
    report: str = ""
    """URI of the report that `figures` are from."""
    figures: Figures | None = None
    """What it cost and brought."""
    ratio_text: str = ""
    """Original size by the size of the result, for people: `5.3x`."""
    evaluated_by: str | None = None
    """Hash of the evaluation (metrics, latency, digest of the test data) that `figures` answer."""
    batched: bool = False
    """Whether the model has a batch axis."""
    memory: int | None = None
    """Bytes of memory that a process took to load it and answer once; none if that was not measured."""
    recipe: str | None = None
    """Recipe that a search chose, in a few words; none for a recipe that was given."""
    attempts: int = 0
    """Attempts that have ended so far, evaluations counted in."""
    crashes: int = 0
    """Those of them that crashed, since something they depend on last changed."""
    setbacks: int = 0
    """Attempts in a row that the surroundings failed; the pause before the next grows with it."""
    rejected: Rejection | None = None
    """Why no further attempt is made, and what that was judged by."""
    retry_token: str = ""
    """`rollout.retryToken` at the time of the last attempt."""
    next_attempt_at: str | None = None
    """When the next attempt is due, RFC 3339."""
    warnings: tuple[str, ...] = ()
    """Sentences that a person should read."""


class ModelRevisionSpec(ApiType):
    """One artifact and how it is served. Immutable, the rendered pod template included."""

    model_config = ConfigDict(extra="forbid")

    key: str
    """revisionKey: hash of artifact and everything that decides how it is served, 64 hexadecimal digits."""
    artifact: str
    """Name of the ModelArtifact."""
    manifest_digest: Digest
    """What pods must find in the store."""
    pod_template: dict[str, Any]
    """The pod template, as it was rendered when the revision was made."""
    models: str
    """models.json, as it was rendered when the revision was made."""


class ModelRevisionStatus(ApiType):
    """What became of it."""

    conditions: tuple[Condition, ...] = ()
    """Verified: pods gave the judge's reference answers, and kept the gates on the serving runtime if there are any."""
    verification: VerificationRecord | None = None
    """What a pod of it answered before it got any request, if the spec asks for that."""
    rejected: Rejection | None = None
    """Why its pods are not started again, and what that was judged by."""
    served_at: str | None = None
    """When all traffic last went over to it, RFC 3339; none if it never had all of it."""


class ObjectMeta(ApiType):
    """What we read of an object's metadata."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: str | None = None


class CompressedModel(ApiType):
    """A model, compressed, measured and served."""

    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: CompressedModelSpec
    status: CompressedModelStatus | None = None


class ModelArtifact(ApiType):
    """The result of one recipe on one source."""

    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: ModelArtifactSpec
    status: ModelArtifactStatus | None = None


class ModelRevision(ApiType):
    """A snapshot of an artifact and how it is served."""

    model_config = ConfigDict(extra="ignore")

    metadata: ObjectMeta
    spec: ModelRevisionSpec
    status: ModelRevisionStatus | None = None
