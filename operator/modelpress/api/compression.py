"""`spec.compression`: the recipe, a ladder of them or a search for one, what it may learn from, how its pod runs."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from .auto import Auto
from .base import ApiType, Duration, rules
from .compression_rules import NEEDS, QUANTIZES_LAST, each_recipe, quantizes_last
from .data import CompressionData
from .durations import seconds
from .fields import Quantity, ResourceRequirements, SecretName
from .objective import Objective
from .source import Source, SourceFormat
from .stages import Stage
from .teachers import TEACHER_NAME, TEACHERS, UNKNOWN_TEACHER, teachers_of


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
TIMEOUT, SEARCH_TIME = "1h", "10m"
"""What `job.timeout` and `auto.maxTime` are if they are unset."""
IN_TIME = (
    f"!has(self.auto) || duration(has(self.auto.maxTime) ? self.auto.maxTime : '{SEARCH_TIME}')"
    f" < duration(has(self.job) && has(self.job.timeout) ? self.job.timeout : '{TIMEOUT}')"
)
TOO_LONG = f"auto.maxTime must be shorter than job.timeout, which is {TIMEOUT} if it is unset"


class Rung(ApiType):
    """One recipe of a ladder."""

    model_config = ConfigDict(json_schema_extra=rules((quantizes_last("self.stages"), QUANTIZES_LAST)))

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
            (f"!has(self.stages) || {quantizes_last('self.stages')}", QUANTIZES_LAST),
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


class Recipe(Compression):
    """One recipe, given or searched for, and what it may learn from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.stages) != has(self.auto)", "a recipe has exactly one of stages, auto"),
            *TEACHERS,
            *((f"!has(self.stages) || {rule('self.stages')}", message) for rule, message in NEEDS),
            (f"!has(self.stages) || {quantizes_last('self.stages')}", QUANTIZES_LAST),
        )
    )

    ladder: SkipJsonSchema[None] = None
    """Nothing: this is one recipe."""
