"""What was tried, kept in a folder: a search that is killed goes on without trying anything twice.

The folder belongs to everything that decides what a trial comes to: source, data, seed, metrics, versions, machine.
Of a trial it holds the model and one JSON document, which is written last.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelpress.api.base import ApiType
from modelpress.api.figures import Figures
from modelpress.api.keys import canonical_json
from modelpress.api.stages import Stage

from ..facts import StageFacts
from ..layout import COMPRESSED
from .budget import Budget

DOCUMENT, BEGUN = "trial.json", "begun"
TRIES = 2
"""So often a trial is begun that ends the process each time."""


class Record(ApiType):
    """One trial."""

    seconds: float
    figures: Figures | None = None
    speedup: float = 1.0
    speedup_low: float = 1.0
    speedup_high: float = 1.0
    facts: tuple[StageFacts, ...] = ()
    failure: str = ""


class Records:
    """The trials of one search, by recipe."""

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self.folder = folder / hashlib.sha256(canonical_json(content)).hexdigest()

    def place(self, stages: Sequence[Stage]) -> Path:
        """Return the folder of a trial."""
        key = hashlib.sha256(canonical_json([stage.to_wire() for stage in stages])).hexdigest()
        return self.folder / key[:32]

    def epochs(self, budget: Budget) -> int | None:
        """Return how many epochs trials of such a search trained; None: nothing trained, or it is the first."""
        try:
            return int(self._epochs(budget).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def keep_epochs(self, budget: Budget, epochs: int) -> None:
        """Write down how many epochs trials train: a machine that is busier later would come to other recipes."""
        path = self._epochs(budget)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{uuid.uuid4().hex}")
        aside.write_text(str(epochs), encoding="ascii")
        aside.replace(path)

    def _epochs(self, budget: Budget) -> Path:
        return self.folder / f"epochs-{budget.trials}-{budget.seconds:g}"

    def find(self, stages: Sequence[Stage]) -> Record | None:
        """Return what a trial came to, if it was tried; its model lies in its place."""
        place = self.place(stages)
        try:
            found = Record.model_validate_json((place / DOCUMENT).read_bytes())
        except (OSError, ValidationError):
            found = None
        if found is not None and (found.figures is None or (place / COMPRESSED).is_file()):
            return found
        begun = place / BEGUN
        if begun.is_file() and begun.stat().st_size >= TRIES:
            return Record(seconds=0.0, failure=f"It ended the process {TRIES} times; memory may not suffice for it.")
        return None

    def begin(self, stages: Sequence[Stage]) -> Path:
        """Return the emptied folder of a trial, in which it is noted that it begins."""
        place = self.place(stages)
        place.mkdir(parents=True, exist_ok=True)
        for item in place.iterdir():
            if item.name != BEGUN:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        with (place / BEGUN).open("ab") as file:
            file.write(b".")
        return place

    def keep(self, stages: Sequence[Stage], record: Record) -> None:
        """Write down what a trial came to."""
        place = self.place(stages)
        aside = place / f".{uuid.uuid4().hex}"
        aside.write_text(record.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
        aside.replace(place / DOCUMENT)

    def forget(self, stages: Sequence[Stage]) -> None:
        """Remove a trial."""
        shutil.rmtree(self.place(stages), ignore_errors=True)
