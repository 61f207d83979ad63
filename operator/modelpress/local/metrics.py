"""Metrics of the command line: `--metric accuracy`, with arguments `--metric agreement:kind=cosine,at_least=0.9`, and
of another output or against another column `--metric mse:output=price,target=paid`."""

from __future__ import annotations

import re
from typing import Any

import yaml

from modelpress.api.evaluation import METRIC_NAME_LIMIT

FIELDS = frozenset({"output", "target"})
"""What is said of a metric itself; the rest are arguments of its type, none of which is called so."""


def asked_metric(text: str) -> dict[str, Any]:
    """Return the metric that `text` names, as a YAML file would have it. Raises ValueError for one without a value.

    Its name is its type, followed by the values of its arguments, so that one type may be asked for twice.
    """
    kind, _, rest = text.partition(":")
    given = dict(_argument(part, text) for part in rest.split(",")) if rest else {}
    name = "_".join([kind, *(re.sub(r"\W", "_", str(value), flags=re.ASCII) for value in given.values())])
    fields = {key: value for key, value in given.items() if key in FIELDS}
    args = {key: value for key, value in given.items() if key not in FIELDS}
    return {"name": name[:METRIC_NAME_LIMIT], "type": kind, **fields, **({"args": args} if args else {})}


def _argument(part: str, text: str) -> tuple[str, Any]:
    name, sign, value = part.partition("=")
    if name in FIELDS and value:
        return name, value
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        found = None
    if not name or not sign or found is None:
        raise ValueError(f"--metric {text} is not of the form TYPE:NAME=VALUE,NAME=VALUE")
    return name, found
