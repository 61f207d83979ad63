"""Arguments of metrics: which each type takes, and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from modelpress.api.defaults import EffectiveMetric
from modelpress.api.evaluation import MetricType
from modelpress.api.reasons import Reason

from ..errors import Judged
from . import agreement

AVERAGES = ("macro", "micro", "weighted")
IGNORED = -100
"""Label that perplexity does not count, unless another is named."""
ARGUMENTS: Mapping[MetricType, frozenset[str]] = MappingProxyType(
    {
        MetricType.ACCURACY: frozenset({"top_k", "ignore_index"}),
        MetricType.F1: frozenset({"average", "ignore_index"}),
        MetricType.AUROC: frozenset({"ignore_index"}),
        MetricType.PERPLEXITY: frozenset({"ignore_index"}),
        MetricType.AGREEMENT: frozenset({"kind", "at_least"}),
    }
)
"""Arguments that each type takes."""


def check_arguments(metric: EffectiveMetric) -> None:
    """Raise Judged with EvaluationFailed unless `metric` has only arguments that its type takes, with usable values.

    What a function of the source takes, it says itself.
    """
    if metric.type is MetricType.ENTRYPOINT:
        return  # they are its function's own
    known = ARGUMENTS.get(metric.type, frozenset())
    unknown = sorted(set(metric.args) - known)
    if unknown:
        takes = ", ".join(sorted(known)) or "none"
        raise _refused(metric, f"no argument {unknown[0]!r} is taken by {metric.type}; it takes {takes}")
    kind, least = metric.args.get("kind", "argmax"), metric.args.get("at_least", agreement.COSINE_AT_LEAST)
    if kind not in agreement.KINDS:
        raise _refused(metric, f"kind must be one of {', '.join(agreement.KINDS)}")
    if not isinstance(least, int | float) or isinstance(least, bool) or not 0 < least <= 1:
        raise _refused(metric, "at_least must be a number above 0, and 1 at most")
    if "at_least" in metric.args and kind != "cosine":
        raise _refused(
            metric, f"at_least is a cosine, and kind {kind} asks for none: set kind to cosine, or leave it out"
        )
    ignored = metric.args.get("ignore_index", IGNORED)
    if not isinstance(ignored, int) or isinstance(ignored, bool):
        raise _refused(metric, "ignore_index must be a whole number")
    top = metric.args.get("top_k", 1)
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise _refused(metric, "top_k must be a whole number, 1 or more")
    if metric.args.get("average", "macro") not in AVERAGES:
        raise _refused(metric, f"average must be one of {', '.join(AVERAGES)}")


def ignored_label(metric: EffectiveMetric) -> int | None:
    """Return the label that is not counted; None: every label is."""
    given = metric.args.get("ignore_index", IGNORED if metric.type is MetricType.PERPLEXITY else None)
    return None if given is None else int(given)


def _refused(metric: EffectiveMetric, problem: str) -> Judged:
    return Judged(Reason.EVALUATION_FAILED, f"metric {metric.name}: {problem}")
