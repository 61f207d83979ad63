"""What a search for a recipe tried and found, for report.json. Written beside tenants' code: shown, never judged by."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from modelpress.api.auto import AutoObjective
from modelpress.api.base import ApiType
from modelpress.api.figures import Figures


class Sensitivity(ApiType):
    """How much the outputs depend on one weight, measured before any trial."""

    name: str
    """Name of the node, as `targets` of stage quantize knows it."""
    parameters: int
    """Number of its weights."""
    loss: float
    """‖y' - y‖² / ‖y‖² of the outputs on calibration data, with this weight alone stored in 4 bits."""


class Trial(ApiType):
    """One recipe, carried out and measured on validation data."""

    number: int
    """In the order of the trials, from 1; 0 is the model as it came."""
    name: str
    """The recipe in a few words: `50 % of the parameters pruned, distilled, INT8`."""
    stages: tuple[dict[str, Any], ...] = ()
    """The recipe, as `spec.compression.stages` would have it."""
    seconds: float = 0.0
    """How long it took to carry out and to measure."""
    figures: Figures | None = None
    """What was measured, on validation data. None: the recipe came to nothing."""
    loss: float | None = None
    """How much worse the result is than the original, in units of the first metric."""
    loss_bound: float | None = None
    """Upper bound of it, with 95 % confidence; the loss itself where too few samples tell no bound."""
    speedup: float | None = None
    """Median of the original's time by the result's, in alternation: 2.0 is twice as fast."""
    speedup_low: float | None = None
    """Lower bound of it, with 95 % confidence."""
    speedup_high: float | None = None
    """Upper bound of it, with 95 % confidence."""
    failing: tuple[str, ...] = ()
    """Metrics whose gates did not pass on validation data."""
    undecided: tuple[str, ...] = ()
    """Those of them whose gates so few samples cannot decide, and whose estimates keep them."""
    chance: float | None = None
    """How likely those gates are kept, as far as the data tells; None: none is undecided."""
    front: bool = False
    """Whether no other trial is at least as good in bytes, bound of the loss and time, and better in one of them."""
    failure: str = ""
    """Why the recipe came to nothing."""

    @property
    def verdict(self) -> str:
        """What the gates said: `failed top1`, `undecided top1`, or both; nothing if all passed."""
        failed = [metric for metric in self.failing if metric not in self.undecided]
        parts = (("failed", failed), ("undecided", self.undecided))
        return ", ".join(f"{word} {', '.join(metrics)}" for word, metrics in parts if metrics)


class Search(ApiType):
    """A search: every trial, and which one was chosen."""

    objective: AutoObjective
    """What was made small."""
    max_trials: int
    """Trials that were allowed."""
    max_seconds: float
    """Time that was allowed, in seconds."""
    seconds: float
    """Time that was used, sensitivities counted in."""
    loss: str
    """What the loss is of: name of the first metric."""
    data: str
    """What it was measured on, in words."""
    samples: int
    """Number of those samples."""
    trials: tuple[Trial, ...]
    """In order; the first is the model as it came."""
    chosen: int
    """Number of the trial whose result this is."""
    why: str
    """Why it was chosen, as a sentence."""
    notes: tuple[str, ...] = ()
    """What was not tried, and why, in sentences."""
    sensitivities: tuple[Sensitivity, ...] = Field(default=())
    """Of single weights, the most sensitive first. Empty if they were not measured."""

    @model_validator(mode="after")
    def _one_chosen(self) -> Self:
        if [trial.number for trial in self.trials] != list(range(len(self.trials))):
            raise ValueError("trials are numbered from 0")
        if not 0 <= self.chosen < len(self.trials) or self.result.figures is None:
            raise ValueError("chosen is the number of a trial that was measured")
        return self

    @property
    def result(self) -> Trial:
        """The trial that was chosen."""
        return self.trials[self.chosen]
