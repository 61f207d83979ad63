"""Logs: one JSON object a line on standard error, with the model's key on each line that a round on it writes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

from modelpress.control.objects import Key

_key: ContextVar[Key | None] = ContextVar("modelpress_key", default=None)
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}


@contextmanager
def about(key: Key) -> Iterator[None]:
    """Put `key` on every line logged inside."""
    token = _key.set(key)
    try:
        yield
    finally:
        _key.reset(token)


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON; what was given as `extra` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        key = _key.get()
        if key is not None:
            line |= {"namespace": key.namespace, "model": key.name}
        line |= {
            name: value for name, value in vars(record).items() if name not in _STANDARD and not name.startswith("_")
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def set_up(level: str) -> None:
    """Send all logs through JsonFormatter from `level` on; kopf's own, a line for each event, from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
