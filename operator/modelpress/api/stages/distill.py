"""Stage `distill`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from ..base import ApiType, rules
from ..fields import Entrypoint
from .training import Training

WeightsFile = Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*[.]safetensors$")]
"""Name of a file in the source's folder."""


class Match(StrEnum):
    """How the student's output is compared with the teacher's."""

    LOGITS = "Logits"
    MSE = "MSE"
    COSINE = "Cosine"


class FeaturePair(ApiType):
    """A layer of the student and the teacher's layer whose output it imitates."""

    layer: Annotated[str, Field(min_length=1, max_length=256)]
    """Module of the student, by name, as it is called after the stages before."""
    teacher: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Module of the teacher, by name. Default: the same name."""


class SourceModule(ApiType):
    """Another module of the source, built by an entrypoint; it takes the same inputs as the source's module and answers
    in the same shapes. Format torch only; without `weights` they are random by the seed."""

    entrypoint: Entrypoint | None = None
    """`file:function` of the source. Default: `source.entrypoint`."""
    kwargs: dict[str, Any] | None = None
    """Keyword arguments of the entrypoint: `{width: 8}`. Default: none."""
    weights: WeightsFile | None = None
    """File of the source with its weights. Needed by a teacher without a name. Default: none, random ones."""


class Teacher(SourceModule):
    """What is learned from: one of `compression.teachers`, by its name alone, or another module of the source, built by
    an entrypoint, with its weights."""

    name: Annotated[str, Field(max_length=32)] | None = None
    """Name of one of `compression.teachers`, a model of its own. Default: none, a module of the source."""


class Distill(Training):
    """Train the model to answer as a teacher does (Hinton et al. 2015, arXiv:1503.02531).

    Trains on `compression.data.train`; with `alpha: 1` its targets are not looked at. The student is the model as the
    stages before left it, or starts anew; the teacher is the untouched source, another module beside it, or a model of
    its own, which may be larger than the source.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.temperature) || !has(self.match) || self.match == 'Logits'",
                "temperature softens class scores: it goes with match Logits",
            ),
            (
                "!has(self.teacher) || has(self.teacher.name) || has(self.teacher.weights)",
                "a teacher has learned something: name one of compression.teachers in teacher.name, or the file of the"
                " source with its weights in teacher.weights",
            ),
            (
                "!has(self.teacher) || !has(self.teacher.name)"
                " || !has(self.teacher.entrypoint) && !has(self.teacher.kwargs) && !has(self.teacher.weights)",
                "teacher.name stands alone: entrypoint, kwargs and weights are of a module of the source",
            ),
            ("!has(self.featureWeight) || has(self.features)", "featureWeight is the weight of features: name them"),
        )
    )

    student: SourceModule | None = None
    """A module that learns in the place of the source's, in the first stage alone. Default: the model as the stages
    before left it."""
    teacher: Teacher | None = None
    """What is learned from. Default: the untouched source."""
    match: Match | None = None
    """How the output is compared with the teacher's. Logits: Kullback-Leibler divergence of softened class scores;
    classes are counted by the axis that the objective CrossEntropy takes, without targets by the last, or the second of
    four. MSE: mean squared error. Cosine: 1 - cosine similarity over the last axis, for embeddings. Several outputs
    add up; an output that the match does not fit is compared by MSE then, and a warning says so; MSE is divided by the
    variance of the teacher's output, so that units do not count. Whole numbers are not compared.
    `objective.output` names one output. Default: Logits."""
    temperature: Annotated[float, Field(gt=0, le=100)] | None = None
    """Softens the class scores of both before they are compared. Match Logits only. Default: 4.0."""
    alpha: Annotated[float, Field(gt=0, le=1)] | None = None
    """Weight of the teacher's answers; the rest is `compression.objective` on the targets. With 1 neither targets nor
    an objective are needed. Default: 0.7."""
    features: Annotated[tuple[FeaturePair, ...], Field(max_length=64)] | None = None
    """Layers inside whose outputs are imitated too, by mean squared error; where widths differ, through a linear layer
    that is trained along and thrown away (Romero et al. 2015, arXiv:1412.6550, section 2.2). Default: none."""
    feature_weight: Annotated[float, Field(gt=0, le=10000)] | None = None
    """Weight of the features' mean loss, beside the 1 of all else. Default: 1.0."""
