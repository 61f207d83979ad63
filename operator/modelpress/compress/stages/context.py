"""What a stage is given besides the model: data, randomness, a place for files, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from modelpress.api.objective import Objective
from modelpress.api.source import Source
from modelpress.api.stages import Quantize

from ..datasets import Samples
from ..facts import LayerFacts
from ..models import ModuleModel
from ..signature import Arrays


class Reader(Protocol):
    """Gives the samples of a role, or None if there is no such data."""

    def __call__(self, role: str) -> Samples | None:
        """Return the samples of train, validation or calibration."""
        ...


CALIBRATION_SAMPLES = 256
"""So many samples of the training data calibrate when there is no calibration data."""


@dataclass
class Context:
    """Surroundings of one stage."""

    samples: Reader
    seed: int
    scratch: Path
    source: Path
    """Folder of the source, for sentences about tenants' code."""
    spec: Source | None = None
    """What the spec says of the source."""
    objective: Objective | None = None
    quantization: Quantize | None = None
    """The quantize stage that comes later in the recipe, if any."""
    teacher: ModuleModel | None = None
    """The untouched source, kept where a later stage learns from it."""
    teachers: Mapping[str, tuple[Source, Path]] = field(default_factory=dict)
    """Models of their own that a stage may learn from, by name: what the spec says of each, and its folder."""
    report: Callable[[float, str], None] = lambda _fraction, _detail: None
    """Takes the fraction that is done, 0 to 1, and a few words."""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layers: list[LayerFacts] = field(default_factory=list)
    """What became of single nodes, where the stage says so."""
    configuration: dict[str, Any] = field(default_factory=dict)
    """What a transformer's config.json has to say after the stage, by key."""

    def calibration(self) -> Arrays | None:
        """Return inputs to calibrate or verify with: calibration data, or some of the training data."""
        given = self.samples("calibration")
        if given is not None:
            return given.inputs
        train = self.samples("train")
        if train is None:
            return None
        if train.count <= CALIBRATION_SAMPLES:
            return train.inputs
        chosen = np.sort(np.random.default_rng(self.seed).choice(train.count, CALIBRATION_SAMPLES, replace=False))
        return {name: column[chosen] for name, column in train.inputs.items()}
