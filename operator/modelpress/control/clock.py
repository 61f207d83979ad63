"""Times as the API server writes them, and how long to wait before another try.

Pure: who calls says what time it is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

FIRST_PAUSE = 10.0
"""Seconds before the second attempt."""
LAST_PAUSE = 300.0
"""Seconds that the doubling stops at."""
DOUBLINGS = 10
"""More than enough to get from the one to the other."""


def parse(text: str) -> datetime:
    """Return the time that `text`, RFC 3339, names. Raises ValueError."""
    return datetime.fromisoformat(text)


def show(time: datetime) -> str:
    """Return `time` as RFC 3339 in UTC, to the second, as Kubernetes writes it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pause(failures: int) -> timedelta:
    """Return how long to wait after that many failures in a row: 10 s, 20 s, 40 s … 5 min."""
    return timedelta(seconds=min(LAST_PAUSE, FIRST_PAUSE * 2.0 ** min(max(failures - 1, 0), DOUBLINGS)))
