"""Where the pod's folders are, and where it answers. Overridden in tests and on a laptop."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from modelpress.api.tasks import (
    ANSWERS_FOLDER,
    DATA_FOLDER,
    OUT_FOLDER,
    PROGRESS_PORT,
    SCORES_FOLDER,
    SCRATCH_FOLDER,
    SOURCE_FOLDER,
    TEACHERS,
)
from modelpress.api.tasks import TERMINATION_MESSAGE_PATH as MESSAGE_PATH
from modelpress.store.locations import in_root

ORIGINAL = "original/model.onnx"
"""The export of the untouched source, below the out folder."""
COMPRESSED = "compressed/model.onnx"
"""What the recipe made of it, below the out folder."""
FACTS = "compression.json"
"""What each stage changed, below the out folder. Shown, never judged by."""
STAGES, TRIALS, BASELINES = "stages", "trials", "baselines"
"""What stood after stages, what searches tried, and what originals answered, below the cache folder."""
CACHE_VARIABLE = "MODELPRESS_CACHE"
"""In a judge's environment: the cache folder. Unset in a pod."""
ASSETS = "assets"
"""Files that are carried into the artifact, below the out folder."""


@dataclass(frozen=True)
class Layout:
    """Folders of the work beside tenants' code, and how it reports."""

    source: Path = field(default_factory=lambda: in_root(SOURCE_FOLDER))
    """The source, read only."""
    data: Path = field(default_factory=lambda: in_root(DATA_FOLDER))
    """One subfolder per role of dataset, and one for the teachers, read only."""
    out: Path = field(default_factory=lambda: in_root(OUT_FOLDER))
    """What is made, read by the judge."""
    answers: Path = field(default_factory=lambda: in_root(ANSWERS_FOLDER))
    """Both models' answers, read only, for metrics that the source's code computes."""
    scores: Path = field(default_factory=lambda: in_root(SCORES_FOLDER))
    """What such code says of them."""
    scratch: Path = field(default_factory=lambda: in_root(SCRATCH_FOLDER))
    """What may be lost."""
    message: Path = field(default_factory=lambda: in_root(MESSAGE_PATH))
    """The termination message."""
    cache: Path | None = None
    """What stood after each stage, what a search tried and what originals answered, for later runs. None: stages keep
    nothing, and a search keeps what it needs in `scratch`, which outlives the process that it runs in."""
    port: int = PROGRESS_PORT
    """Port of /progress; 0: any free one."""

    def teacher(self, name: str) -> Path:
        """Return the folder of a teacher."""
        return self.data / TEACHERS / name
