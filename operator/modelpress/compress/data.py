"""What stages may learn from: each dataset is read once, when it is first asked for."""

from __future__ import annotations

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
            dataset, folder = self.task.datasets[role], self.folder / role
            specs = self.signature.inputs, self.signature.outputs
            self.known[role] = read(dataset, folder, *specs, self.task.seed, tokenizer=self.source)
        return self.known[role]
