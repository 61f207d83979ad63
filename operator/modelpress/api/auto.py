"""`spec.compression.auto`: a recipe that is searched for, by trials on the machine that compresses."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import ApiType, Duration


class AutoObjective(StrEnum):
    """What the search makes small."""

    LATENCY = "Latency"
    SIZE = "Size"


class Auto(ApiType):
    """A search for a recipe: sensitivity is measured first, then recipes are carried out and measured on validation
    data. Of those that pass `evaluation.gates` there, the best by the objective is the result."""

    objective: AutoObjective
    """What is made small among the recipes that pass. Latency: the median time of one request, measured in alternation
    with the original, with `evaluation.latency`. Size: bytes on disk."""
    max_trials: Annotated[int, Field(ge=1, le=100)] | None = None
    """Number of recipes that are carried out and measured. Default: 12."""
    max_time: Duration | None = None
    """Time for all of it, as a duration; a trial under way when it is over is dropped. Must be shorter than
    `job.timeout`. Default: 10m."""
