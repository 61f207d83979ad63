"""What a pod is told: one JSON document in the environment variable MODELPRESS_TASK, written by the operator alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .auto import Auto
from .base import ApiType, Digest
from .data import Dataset
from .evaluation import Evaluation, Metric
from .objective import Objective
from .source import Source
from .stages import Stage
from .verification import Compare

TASK_VARIABLE = "MODELPRESS_TASK"
TERMINATION_MESSAGE_PATH = "/dev/termination-log"
SECRETS_FOLDER = "/etc/modelpress/secrets"
"""Each Secret is mounted below, in a folder named as itself."""

SOURCE_FOLDER = "/work/source"
DATA_FOLDER = "/work/data"
"""One subfolder for each of train, validation, calibration, holding the one file of the dataset."""
EARLIER_SEARCH = "search/report.json"
"""Below DATA_FOLDER: the report of an earlier search of which only the gates were others."""
TEACHERS = "teachers"
"""Below DATA_FOLDER: one subfolder for each teacher, named as it."""
TEST_FOLDER = "/work/test"
OUT_FOLDER = "/work/out"
REPORT_FOLDER = "/work/report"
ANSWERS_FOLDER = "/work/answers"
"""Both models' answers to the test data, and the truth, for metrics that a function of the source computes."""
SCORES_FOLDER = "/work/scores"
"""What such functions say of them."""
SCRATCH_FOLDER = "/tmp"
PROGRESS_PORT = 8090


class Location(ApiType):
    """A place in a store, and the Secret that opens it."""

    uri: str
    """fsspec URL."""
    secret_name: str | None = None
    """Name of a Secret that is mounted below SECRETS_FOLDER. None: anonymous or the pod's own identity."""


class PinnedLocation(Location):
    """A place in a store, and what must be found there."""

    digest: Digest
    """Refused with DigestMismatch if anything else is there."""


class ResolveTask(ApiType):
    """Say what the URIs hold now."""

    kind: Literal["resolve"] = "resolve"
    source: Location
    """The model's source."""
    datasets: dict[str, Location] = Field(default_factory=dict)
    """Datasets by role: train, validation, calibration, test."""
    teachers: dict[str, Location] = Field(default_factory=dict)
    """Teachers by name."""


class FetchTask(ApiType):
    """Bring source and data into the pod, and check them."""

    kind: Literal["fetch"] = "fetch"
    source: PinnedLocation | None = None
    """Goes to SOURCE_FOLDER. None when an artifact that exists is evaluated without code of the source."""
    artifact: PinnedLocation | None = None
    """Folder of an artifact that exists, for an evaluation; the digest is its manifest's. Its files go to OUT_FOLDER,
    laid out as compression leaves them: original/model.onnx, compressed/model.onnx, compression.json. So `publish`
    keeps `original/` in the store."""
    search: PinnedLocation | None = None
    """Folder of an artifact whose recipe was searched for as this one's is, but with other gates; the digest is its
    manifest's. Its report goes to EARLIER_SEARCH, and nothing fails if it cannot be brought."""
    original_only: bool = False
    """Of the artifact, only the original is brought in: the result is asked where it is served."""
    datasets: dict[str, PinnedLocation] = Field(default_factory=dict)
    """By role; `test` goes to TEST_FOLDER, the others to DATA_FOLDER/<role>. Test samples that are among the others'
    too are counted; an evaluation may name the training data for that alone."""
    teachers: dict[str, PinnedLocation] = Field(default_factory=dict)
    """By name; each goes to DATA_FOLDER/TEACHERS/<name>."""
    readings: dict[str, Dataset] = Field(default_factory=dict)
    """How to read the datasets, by role, without Secrets' names. Default: format by the ending of the URI, columns by
    name."""
    searches: bool | None = None
    """Whether a recipe is searched for: without other data it is chosen by calibration data. Default: false."""


class CompressTask(ApiType):
    """Run the stages. Executed beside tenants' code: holds no credentials and no test data."""

    kind: Literal["compress"] = "compress"
    source: Source
    """As in the spec, without Secrets' names."""
    stages: tuple[Stage, ...]
    """The recipe; empty beside `auto`."""
    auto: Auto | None = None
    """How the recipe is searched for. None: it is given."""
    evaluation: Evaluation | None = None
    """What a search chooses by: metrics, latency and gates, on validation data. Never with the test data."""
    targets: dict[str, str] | None = None
    """Column of each output's target in the test data, for a search: what it chooses by may have such a column, too."""
    objective: Objective | None = None
    """What training makes small."""
    metrics: tuple[Metric, ...] | None = None
    """Metrics that functions of the source compute later on: they are looked up before any work begins. None: none."""
    datasets: dict[str, Dataset] = Field(default_factory=dict)
    """How to read the files below DATA_FOLDER, by role: train, validation, calibration."""
    teachers: dict[str, Source] = Field(default_factory=dict)
    """Models that stages learn from, as in the spec, without Secrets' names, by name."""
    seed: int = 0
    """Seed of everything random."""
    timeout_seconds: float = 3600.0
    """After this long the worker is ended and the outcome is CompressionTimeout."""


class JudgeTask(ApiType):
    """Measure original and result. Never imports tenants' code.

    If `evaluation` has metrics of type entrypoint, what these need goes to ANSWERS_FOLDER, and the report lacks their
    figures until ScoreTask and ConcludeTask are done."""

    kind: Literal["judge"] = "judge"
    name: str = ""
    """Name of the model, for the title of the report."""
    evaluation: Evaluation
    """Metrics, latency and test data, without Secrets' names."""
    seed: int = 0
    """Seed of samples and bootstraps."""


class ScoreTask(ApiType):
    """Score the answers in ANSWERS_FOLDER by functions of the source, into SCORES_FOLDER.

    Executed beside tenants' code: holds no credentials, and can write nothing but the scores."""

    kind: Literal["score"] = "score"
    metrics: tuple[Metric, ...]
    """Those of type entrypoint."""
    trust_code: bool = False
    """`source.trustCode`."""
    timeout_seconds: float = 3600.0
    """After this long the worker is ended and the outcome is EvaluationFailed."""


class ConcludeTask(ApiType):
    """Put the figures that come of SCORES_FOLDER into the report, and judge its gates. Never imports tenants' code."""

    kind: Literal["conclude"] = "conclude"


class Comparison(ApiType):
    """The revision that serves, and when its answers are the same as another's."""

    revision: str
    """Name of its ModelRevision."""
    address: str
    """host:port of its gRPC endpoint."""
    compare: Compare
    """When two answers are the same."""
    output: str | None = None
    """Output that is compared. None: the first."""
    at_least: float = 0.99
    """For Cosine: how similar the same answer is."""


class AskTask(ApiType):
    """Ask a server for the test data, and compare its answers with the original's and with another server's.

    Never imports tenants' code; holds no credentials."""

    kind: Literal["ask"] = "ask"
    address: str
    """host:port of the gRPC endpoint that is asked."""
    model: str
    """Name by which the server knows the model."""
    version: int | None = None
    """Triton's number of the version that is asked. None: whichever answers."""
    evaluation: Evaluation
    """Metrics, latency and test data, without Secrets' names."""
    comparison: Comparison | None = None
    """Another server to ask the same. None: none."""
    seed: int = 0
    """Seed of samples and bootstraps."""


class PublishTask(ApiType):
    """Put the artifact into the store."""

    kind: Literal["publish"] = "publish"
    destination: Location
    """Folder of the artifact."""
    artifact: str
    """Name of the ModelArtifact."""
    lineage: dict[str, str] = Field(default_factory=dict)
    """Digests of source, recipe and data, and the images that made it; goes into the manifest."""
    manifest_digest: Digest | None = None
    """Set for an evaluation of an artifact that is in the store: nothing but the new report is added, and this digest
    is answered again."""
    evaluation: str | None = None
    """Key of that evaluation; its report goes to `evaluations/<evaluation>/report.json` in the artifact's folder."""


class AgentTask(ApiType):
    """Keep a serving pod. Told to the containers `agent` (`modelpress agent run`) and `proxy` (`modelpress agent
    proxy`) alike."""

    kind: Literal["agent"] = "agent"
    backend: Literal["onnxruntime", "python"] = "onnxruntime"
    """Triton's backend that runs ONNX: a fact of the image."""
    drain_seconds: float = 20.0
    """Longest wait for requests in flight once the pod is out of its Services; the pod's grace period is longer."""
    threads: int | None = None
    """CPUs that Triton may use, for the threads of its instances. None: as many as the node has."""


Task = ResolveTask | FetchTask | CompressTask | JudgeTask | ScoreTask | ConcludeTask | AskTask | PublishTask | AgentTask
