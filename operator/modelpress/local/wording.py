"""Failures in the words of somebody who sits before the machine: a pod's limits are not what to raise here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from modelpress.api.reasons import Reason
from modelpress.api.results import Failure

ADVICE: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.OUT_OF_MEMORY: "close what else runs, lower finetune.batchSize, or use a machine with more memory",
        Reason.OUT_OF_SCRATCH: "free some space beside --out and in ~/.cache/modelpress, name an --out on a larger "
        "disk, or keep nothing for later runs (--no-cache)",
        Reason.COMPRESSION_TIMEOUT: "raise compression.job.timeout, or shorten the recipe",
        Reason.ARTIFACT_CHANGED: "it is damaged, make it again (compress --force)",
        Reason.ACCESS_DENIED: "check the credentials in your environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, …)",
    }
)
"""What to do here, where a pod's sentence would say something else."""
POD_LOG = "; the container's log has the traceback"
LINES = 20
"""Last lines of the steps' log that a crash shows."""


def sentence(failure: Failure) -> str:
    """Return the sentence for a person at this machine."""
    text = failure.message.replace(POD_LOG, "").rstrip(".")
    advice = ADVICE.get(failure.reason)
    if advice is None:
        return f"{text}."
    return f"{text.rpartition(': ')[0] or text}: {advice}."


def tail(log: Path) -> str:
    """Return the end of the steps' log, for a crash."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:])
