"""The line of JSON documents from child to supervisor. What tenants' code writes into it can only fail its own task."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field, ValidationError

from modelpress.api.base import ApiType
from modelpress.api.results import Failure, Progress

LINE_LIMIT = 16384
"""Longer lines are no messages of ours."""


class Message(ApiType):
    """One line. Exactly one of the fields is set."""

    progress: Progress | None = None
    failure: Failure | None = None
    done: Literal[True] | None = Field(default=None)


def send(descriptor: int, message: Message) -> None:
    """Write one line. A supervisor that is gone is nobody to tell."""
    try:
        os.write(descriptor, message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
    except BrokenPipeError:
        return


class Lines:
    """Puts chunks of bytes together to messages; drops what is none."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that are complete now."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        self.rest = self.rest[-LINE_LIMIT:]
        messages = []
        for line in lines:
            try:
                messages.append(Message.model_validate_json(line))
            except ValidationError:
                continue
        return messages
