"""report.html: a report for people, in one file that needs nothing else. Its figures are those of report.json."""

from .rendering import facts_at, render

__all__ = ["facts_at", "render"]
