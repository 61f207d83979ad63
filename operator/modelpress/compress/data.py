"""What stages may learn from: each dataset is read once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from modelpress.api.tasks import CompressTask

from .datasets import Samples, read
from .signature import Signature


class Data:
    """The datasets of a task, below a folder."""

    def __init__(self, task: CompressTask, folder: Path, source: Path) -> None:
        """`source`: the folder of the source, whose tokenizer reads text."""
        self.task = task
        self.folder = folder
        self.source = source
        self.signature: Signature | None = None
        """Of the model, once it is loaded; nothing is read before."""
        self.known: dict[str, Samples] = {}

    def __call__(self, role: str) -> Samples | None:
        """Return the samples of a role, None if the task has none."""
        if role not in self.task.datasets or self.signature is None:
            return None
        if role not in self.known:
            self.known[role] = self.read(role)
        return self.known[role]

    def read(self, role: str, columns: Collection[str] = ()) -> Samples:
        """Return the samples of a role, anew, with these further columns. Raises Judged as reading does."""
        assert self.signature is not None, "the model is loaded"
        dataset, specs = self.task.datasets[role], (self.signature.inputs, self.signature.outputs)
        return read(dataset, self.folder / role, *specs, self.task.seed, columns, tokenizer=self.source)
