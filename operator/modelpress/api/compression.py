"""`spec.compression`: the recipe, a ladder of them or a search for one, what it may learn from, how its pod runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from .auto import Auto
from .base import ApiType, Duration, rules
from .data import CompressionData
from .durations import seconds
from .fields import Entrypoint, Name, Quantity, ResourceRequirements, SecretName
from .source import Source, SourceFormat
from .stages import Stage
from .stages.quantize import calibrated


class Loss(StrEnum):
    """What training makes small."""

    CROSS_ENTROPY = "CrossEntropy"
    MSE = "MSE"
    COSINE = "Cosine"
    CAUSAL_LM = "CausalLM"
    ENTRYPOINT = "Entrypoint"


class Objective(ApiType):
    """What training makes small."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.loss == 'Entrypoint') == has(self.entrypoint)",
                "loss Entrypoint needs objective.entrypoint, as file:function, and no other loss takes one",
            )
        )
    )

    loss: Loss
    """CrossEntropy: integer targets, and -100 where none is to be learned. Scores are [batch, classes], for tokens
    [batch, tokens, classes], for nodes of a graph [nodes, classes], for images [batch, classes, height, width]; the
    axis without which the shape of the targets is left counts the classes. MSE: mean squared error. Cosine: 1 - cosine
    similarity over the last axis. CausalLM: cross-entropy of scores [batch, tokens, vocabulary] with the token after
    each; targets are the tokens themselves, and -100 where none is to be learned. Entrypoint: what a function of the
    source says."""
    entrypoint: Entrypoint | None = None
    """`file:function` of the source; `losses:loss` calls `loss(outputs, targets)` of `losses.py`, which returns the
    mean over a batch as a tensor of one number. `outputs` and `targets` are mappings from the names of outputs to
    tensors whose first axis counts samples; targets are those that the dataset has. It runs where the source's code
    does, so `source.trustCode` is needed. Needed by loss Entrypoint. Default: none."""
    output: Name | None = None
    """Output that the loss is taken of, and that distill compares. Default: the loss is the sum over all outputs that
    the training data has targets for, distill compares all of floating point; a loss of an entrypoint sees all of
    them."""


class Scratch(ApiType):
    """Disk of a compression pod."""

    size: Quantity
    """Limit of each scratch volume, as a quantity: `20Gi`."""


class JobSettings(ApiType):
    """How the compression pod runs. Not part of the artifact's key: changing it compresses nothing again."""

    resources: ResourceRequirements | None = None
    """Resources of the container that compresses. Default: requests of 500m CPU and 1Gi memory."""
    timeout: Duration | None = None
    """Longest time one attempt may take. Default: 1h."""
    retries: Annotated[int, Field(ge=0, le=10)] | None = None
    """Further attempts after a crash or an eviction. Judgements are never retried; a store that is away or a lost node
    does not count. Default: 2."""
    scratch: Scratch | None = None
    """Disk of the pod. Default: 20Gi."""
    node_selector: dict[str, str] | None = None
    """Labels that the node must carry. Default: none."""
    tolerations: Annotated[tuple[dict[str, Any], ...], Field(max_length=32)] | None = None
    """Tolerations of the pod. Default: none."""
    service_account_name: SecretName | None = None
    """Service account of the pod; its token is not mounted. Default: the namespace's default."""


Stages = Annotated[tuple[Stage, ...], Field(max_length=16)]

TEACHER_ROLE = "teacher."
"""How the role of a teacher begins."""


def _quantizes_last(stages: str) -> str:
    return (
        f"!{stages}.exists(stage, has(stage.quantize)) || has({stages}[{stages}.size() - 1].quantize)"
        f" && {stages}.filter(stage, has(stage.quantize)).size() == 1"
    )


QUANTIZES_LAST = "quantize works on the exported graph: compression.stages may have it once, as the last stage"

TEACHER_NAME = "^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$"
UNKNOWN_TEACHER = "distill.teacher.name must be one of the names in compression.teachers"
TEACHERS: tuple[tuple[str, str], ...] = (
    (
        f"!has(self.teachers) || self.teachers.all(name, name.matches('{TEACHER_NAME}'))",
        "names in compression.teachers are small letters, digits and hyphens, at most 32",
    ),
    (
        "!has(self.teachers)"
        " || self.teachers.all(name, self.teachers[name].format in ['torch', 'transformers']"
        " && !has(self.teachers[name].assets))",
        "compression.teachers have format torch or transformers, and no assets: none are carried over",
    ),
    (
        "!has(self.teachers) || !has(self.auto)",
        "compression.teachers are named by distill stages, which auto chooses itself: leave teachers out",
    ),
)
"""What is demanded of teachers: rules in CEL, with their messages."""

NEEDS: tuple[tuple[Callable[[str], str], str], ...] = (
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.finetune))"
            " || has(self.data) && has(self.data.train) && has(self.objective)"
        ),
        "a finetune stage needs compression.data.train and compression.objective",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.prune) && (has(stage.prune.recovery)"
            " || has(stage.prune.importance) && stage.prune.importance in ['Taylor', 'LossChange']))"
            " || has(self.data) && has(self.data.train) && has(self.objective)"
        ),
        "prune with recovery, or with importance Taylor or LossChange, needs compression.data.train and"
        " compression.objective",
    ),
    (
        lambda stages: f"!{stages}.exists(stage, has(stage.distill)) || has(self.data) && has(self.data.train)",
        "a distill stage needs compression.data.train",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.distill) && (!has(stage.distill.alpha)"
            " || stage.distill.alpha < 1.0)) || has(self.objective)"
        ),
        "distill with alpha below 1 needs compression.objective: alpha 1 learns from the teacher alone",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.distill) && has(stage.distill.student))"
            f" || {stages}.filter(stage, has(stage.distill) && has(stage.distill.student)).size() == 1"
            f" && has({stages}[0].distill) && has({stages}[0].distill.student)"
        ),
        "distill.student takes the place of the source's module: it belongs to the first stage, and to no other",
    ),
    (
        lambda stages: (
            f"{stages}.all(stage, !has(stage.distill) || !has(stage.distill.teacher)"
            " || !has(stage.distill.teacher.name)"
            " || has(self.teachers) && stage.distill.teacher.name in self.teachers)"
        ),
        UNKNOWN_TEACHER,
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.cut) && has(stage.cut.keep))"
            " || has(self.data) && (has(self.data.calibration) || has(self.data.train))"
        ),
        "cut with keep needs compression.data.calibration or compression.data.train",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.finetune) && has(stage.finetune.labelSmoothing)"
            " || has(stage.prune) && has(stage.prune.recovery) && has(stage.prune.recovery.labelSmoothing))"
            " || has(self.objective) && self.objective.loss in ['CrossEntropy', 'CausalLM']"
        ),
        "labelSmoothing needs an objective with loss CrossEntropy or CausalLM",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.finetune) && has(stage.finetune.quantizationAware)"
            " && stage.finetune.quantizationAware || has(stage.distill) && has(stage.distill.quantizationAware)"
            f" && stage.distill.quantizationAware) || {stages}.exists(stage, has(stage.quantize)"
            " && !has(stage.quantize.mixed)"
            " && !(has(stage.quantize.algorithm) && stage.quantize.algorithm in ['GPTQ', 'AWQ']))"
        ),
        "quantizationAware trains for a quantize stage that rounds to nearest: without mixed, and without algorithm"
        " GPTQ or AWQ",
    ),
    (
        lambda stages: (
            f"!{stages}.exists(stage, has(stage.quantize) && ({calibrated('stage.quantize')}"
            " || has(stage.quantize.mixed)"
            " || has(stage.quantize.algorithm) && stage.quantize.algorithm in ['GPTQ', 'AWQ']))"
            " || has(self.data) && (has(self.data.calibration) || has(self.data.train))"
        ),
        "quantize with preset INT8 or calibrated activations, with mixed, and with algorithm GPTQ or AWQ needs"
        " compression.data.calibration or compression.data.train",
    ),
)
"""What stages need that stands beside them: rules in CEL on the stages that a variable holds, with their messages."""


def each_recipe(rule: Callable[[str], str], compression: str = "self") -> str:
    """Return, in CEL, that `rule` holds for the stages of every recipe in the variable `compression`."""
    stages, ladder = f"{compression}.stages", f"{compression}.ladder"
    return f"(!has({stages}) || {rule(stages)}) && (!has({ladder}) || {ladder}.all(rung, {rule('rung.stages')}))"


TIMEOUT, SEARCH_TIME = "1h", "10m"
"""What `job.timeout` and `auto.maxTime` are if they are unset."""
IN_TIME = (
    f"!has(self.auto) || duration(has(self.auto.maxTime) ? self.auto.maxTime : '{SEARCH_TIME}')"
    f" < duration(has(self.job) && has(self.job.timeout) ? self.job.timeout : '{TIMEOUT}')"
)
TOO_LONG = f"auto.maxTime must be shorter than job.timeout, which is {TIMEOUT} if it is unset"


class Rung(ApiType):
    """One recipe of a ladder."""

    model_config = ConfigDict(json_schema_extra=rules((_quantizes_last("self.stages"), QUANTIZES_LAST)))

    stages: Stages
    """Steps of this recipe, in order, as in `compression.stages`."""


class Compression(ApiType):
    """The recipe, or several to choose from, and what it may learn from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.stages), has(self.ladder), has(self.auto)].filter(set, set).size() == 1",
                "compression has exactly one of stages, ladder, auto",
            ),
            (IN_TIME, TOO_LONG),
            *TEACHERS,
            *((each_recipe(rule), message) for rule, message in NEEDS),
            (f"!has(self.stages) || {_quantizes_last('self.stages')}", QUANTIZES_LAST),
        )
    )

    data: CompressionData | None = None
    """Training, validation and calibration data. Default: none."""
    teachers: Annotated[dict[str, Source], Field(max_length=4)] | None = None
    """Models of their own that distill may learn from, larger ones than the source for instance, by the name that
    stands in `distill.teacher.name`: `large: {uri: "s3://models/large/", format: transformers, task: MaskedLM}`. Each
    is written as `source` is, with a Secret and trustCode of its own; format torch or transformers. A teacher takes the
    inputs of the source, by name, and answers in the same shapes what is compared. Default: none."""
    objective: Objective | None = None
    """What training makes small. Needed by finetune, by distill with alpha below 1, and by prune with importance Taylor
    or LossChange. Default: none."""
    seed: Annotated[int, Field(ge=0, le=2147483647)] | None = None
    """Seed of everything random. Default: 0."""
    stages: Stages | None = None
    """Steps of the recipe, in order. An empty list only exports, measures and serves. Default: none, ladder or auto
    stands instead."""
    ladder: Annotated[tuple[Rung, ...], Field(min_length=1, max_length=8)] | None = None
    """Recipes in the order in which they are tried, the boldest first: the first whose result passes the gates is
    served. Default: none, stages or auto stands instead."""
    auto: Auto | None = None
    """A search for a recipe, by trials on the machine that compresses. Default: none, stages or ladder stands
    instead."""
    job: JobSettings | None = None
    """How the compression pod runs."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.stages, self.ladder, self.auto)) != 1:
            raise ValueError("exactly one of stages, ladder, auto must be set")
        timeout = (self.job.timeout if self.job is not None else None) or TIMEOUT
        if self.auto is not None and seconds(self.auto.max_time or SEARCH_TIME) >= seconds(timeout):
            raise ValueError(TOO_LONG)
        return self

    @model_validator(mode="after")
    def _sound_teachers(self) -> Self:
        """A name becomes a folder's; who checks it is not always an API server."""
        teachers = self.teachers or {}
        name_rule, source_rule, auto_rule = (message for _, message in TEACHERS)
        if not all(re.fullmatch(TEACHER_NAME, name) for name in teachers):
            raise ValueError(name_rule)
        able = (SourceFormat.TORCH, SourceFormat.TRANSFORMERS)
        if any(source.format not in able or source.assets for source in teachers.values()):
            raise ValueError(source_rule)
        if teachers and self.auto is not None:
            raise ValueError(auto_rule)
        lost = sorted(self._taught_by() - set(teachers))
        if lost:
            raise ValueError(f"{UNKNOWN_TEACHER}: there is no {lost[0]}")
        return self

    @property
    def recipe(self) -> tuple[Stage, ...]:
        """The steps of the one recipe that this is; none of a search, which has yet to find them.

        Raises ValueError for a ladder: each of its rungs is one.
        """
        if self.ladder is not None:
            raise ValueError("a ladder is no recipe: choose one of its rungs")
        return self.stages or ()

    def rungs(self) -> tuple[Recipe, ...]:
        """Return every recipe that this is, in the order in which they are tried; of a search there is one.

        Each has the teachers that it names itself.
        """
        taught = self.taught_by()
        return tuple(
            Recipe(
                data=self.data,
                teachers={name: source for name, source in taught.items() if name in teachers_of(stages)} or None,
                objective=self.objective,
                seed=self.seed,
                stages=stages,
                auto=self.auto,
                job=self.job,
            )
            for stages in self._tried()
        )

    def taught_by(self) -> dict[str, Source]:
        """Return the teachers that stages of any recipe name, by name; one that no stage names is not looked at."""
        named = self._taught_by()
        return {name: source for name, source in sorted((self.teachers or {}).items()) if name in named}

    def _taught_by(self) -> set[str]:
        return {name for stages in self._tried() for name in teachers_of(stages)}

    def _tried(self) -> list[Stages | None]:
        return [rung.stages for rung in self.ladder] if self.ladder is not None else [self.stages]


def teachers_of(stages: Stages | None) -> set[str]:
    """Return the names of the teachers that stages name."""
    taught = [stage.distill.teacher for stage in stages or () if stage.distill is not None]
    return {teacher.name for teacher in taught if teacher is not None and teacher.name is not None}


def teacher_role(name: str) -> str:
    """Return the role of a teacher among all that a spec reads: `train`, `test`, `teacher.large`."""
    return f"{TEACHER_ROLE}{name}"


def comes_from(digests: Mapping[str, str]) -> dict[str, str]:
    """Return digests by role as an artifact's lineage has them: `data.train`, `teacher.large`."""
    return {role if role.startswith(TEACHER_ROLE) else f"data.{role}": digests[role] for role in sorted(digests)}


class Recipe(Compression):
    """One recipe, given or searched for, and what it may learn from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.stages) != has(self.auto)", "a recipe has exactly one of stages, auto"),
            *TEACHERS,
            *((f"!has(self.stages) || {rule('self.stages')}", message) for rule, message in NEEDS),
            (f"!has(self.stages) || {_quantizes_last('self.stages')}", QUANTIZES_LAST),
        )
    )

    ladder: SkipJsonSchema[None] = None
    """Nothing: this is one recipe."""
