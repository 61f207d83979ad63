"""What compression and judging raise when the input is at fault: the same input would fail again."""

from __future__ import annotations

from modelpress.api.reasons import Reason


class Judged(Exception):  # noqa: N818 - it is a judgement, not an error of ours
    """A judgement about the tenant's model, recipe or data. Becomes a Failure and exit code JUDGED."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        """Constant that machines read."""
        self.message = message
        """One sentence for a person: what was wrong, where, and what to do."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
