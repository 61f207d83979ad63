"""Where the pod's folders are, and where it answers. Overridden in tests and on a laptop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelpress.api.tasks import DATA_FOLDER, OUT_FOLDER, PROGRESS_PORT, SCRATCH_FOLDER, SOURCE_FOLDER
from modelpress.api.tasks import TERMINATION_MESSAGE_PATH as MESSAGE_PATH

ORIGINAL = "original/model.onnx"
"""The export of the untouched source, below the out folder."""
COMPRESSED = "compressed/model.onnx"
"""What the recipe made of it, below the out folder."""
FACTS = "compression.json"
"""What each stage changed, below the out folder. Shown, never judged by."""
ASSETS = "assets"
"""Files that are carried into the artifact, below the out folder."""


@dataclass(frozen=True)
class Layout:
    """Folders of one compression, and how it reports."""

    source: Path = Path(SOURCE_FOLDER)
    """The source, read only."""
    data: Path = Path(DATA_FOLDER)
    """One subfolder per role of dataset, read only."""
    out: Path = Path(OUT_FOLDER)
    """What is made, read by the judge."""
    scratch: Path = Path(SCRATCH_FOLDER)
    """What may be lost."""
    message: Path = Path(MESSAGE_PATH)
    """The termination message."""
    port: int = PROGRESS_PORT
    """Port of /progress; 0: any free one."""
