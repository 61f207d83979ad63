"""How the agent says what went wrong: an exception inside, a JSON document in the termination message outside."""

from __future__ import annotations

from pathlib import Path

from modelpress.api.reasons import ENVIRONMENT, Reason
from modelpress.api.results import MESSAGE_LIMIT, ExitCode, Failure


class AgentError(Exception):
    """A model of this pod cannot be served."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)
        self.failure = Failure(reason=reason, message=message)
        """What a person and the planner read."""

    def __str__(self) -> str:
        return f"{self.failure.reason}: {self.failure.message}"

    @property
    def exit_code(self) -> ExitCode:
        """ENVIRONMENT if it may go away by itself, else JUDGED."""
        return ExitCode.ENVIRONMENT if self.failure.reason in ENVIRONMENT else ExitCode.JUDGED


def write_message(failure: Failure, path: Path) -> None:
    """Write `failure` to the termination message at `path`, cut to MESSAGE_LIMIT bytes of valid JSON."""
    text = failure.model_dump_json(by_alias=True)
    while len(text.encode()) > MESSAGE_LIMIT:
        failure = failure.model_copy(update={"message": failure.message[: len(failure.message) * 9 // 10] + "…"})
        text = failure.model_dump_json(by_alias=True)
    path.write_text(text, encoding="utf-8")
