"""What a task writes to its container's log."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any


def log(event: str, **fields: Any) -> None:
    """Write one line of JSON to standard output."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    sys.stdout.write(json.dumps(line, ensure_ascii=False, default=str) + os.linesep)
    sys.stdout.flush()
