"""Metrics of the command line: `--metric accuracy`, with arguments `--metric agreement:kind=cosine,at_least=0.9`."""

from __future__ import annotations

import re
from typing import Any

import yaml


def asked_metric(text: str) -> dict[str, Any]:
    """Return the metric that `text` names, as a YAML file would have it. Raises ValueError for one without a value.

    Its name is its type, followed by the values of its arguments, so that one type may be asked for twice.
    """
    kind, _, rest = text.partition(":")
    args = dict(_argument(part, text) for part in rest.split(",")) if rest else {}
    if not args:
        return {"name": kind, "type": kind}
    name = "_".join([kind, *(re.sub(r"\W", "_", str(value)) for value in args.values())])
    return {"name": name, "type": kind, "args": args}


def _argument(part: str, text: str) -> tuple[str, Any]:
    name, sign, value = part.partition("=")
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        found = None
    if not name or not sign or found is None:
        raise ValueError(f"--metric {text} is not of the form TYPE:NAME=VALUE,NAME=VALUE")
    return name, found
