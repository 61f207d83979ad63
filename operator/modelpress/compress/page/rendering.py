"""From report.json and compression.json to one page.

What compression.json says was written beside tenants' code: it is shown, escaped, and nothing is judged by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from modelpress import __version__
from modelpress.store.report import Report

from ..facts import CompressionFacts
from . import charts, numbers, qualities, sections, trials

MOST_FACTS = 1024 * 1024
"""Bytes of compression.json that are read."""
MOST = 1e18
"""No count of a model is larger."""
TEMPLATE = "page.html.j2"


def render(report: Report, facts: CompressionFacts | None, lineage: Mapping[str, str] | None = None) -> str:
    """Return the page; `facts`: what the stages did, `lineage`: what the artifact comes from, where they are known."""
    page = _environment().get_template(TEMPLATE)
    return page.render(
        report=report,
        facts=facts,
        ratio=sections.ratio(report),
        headline=sections.headline(report),
        verdict=qualities.verdict(report.gates),
        cards=sections.cards(report),
        qualities=qualities.qualities(report),
        layers=sections.layers(report),
        sensitivities=sections.sensitivities(facts),
        speeds=sections.speeds(report),
        weights=sections.weights(report),
        stages=sections.stages(facts),
        search=trials.search(report),
        provenance=sections.provenance(report, facts, lineage or {}),
        version=__version__,
    )


def facts_at(path: Path) -> CompressionFacts | None:
    """Return what the stages did, None if the file is missing or not what it should be."""
    try:
        if path.is_symlink() or path.stat().st_size > MOST_FACTS:
            return None
        facts = CompressionFacts.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return facts if _showable(facts) else None


def _showable(facts: CompressionFacts) -> bool:
    """Return whether all numbers are such as a model and a clock may have."""
    times = [facts.seconds, *(stage.seconds for stage in facts.stages)]
    nodes = [node for stage in facts.stages for node in stage.layers]
    times += [number for node in nodes for number in (node.bits, node.loss or 0.0)]
    sizes = [size for stage in facts.stages for size in (stage.before, stage.after)]
    counts = [count for size in sizes for count in size.model_dump().values() if count is not None]
    told = list(_numbers(facts.search.model_dump())) if facts.search is not None else []
    return (
        all(0 <= time < MOST for time in times)
        and all(0 <= count < MOST for count in counts)
        and all(-MOST < number < MOST for number in told)
    )


def _numbers(value: Any) -> Iterator[float]:
    """Yield every number in JSON types."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("modelpress.compress.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "breakable": _breakable,
        "bytes": numbers.size,
        "whole": numbers.whole,
        "milliseconds": numbers.milliseconds,
        "seconds": numbers.seconds,
        "figure": numbers.figure,
    }
    environment.globals |= {"histogram": charts.histogram, "interval": charts.interval, "scatter": charts.scatter}
    return environment


def _breakable(name: str) -> Markup:
    """Return a name that may be broken into lines after its dots."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])", name))
