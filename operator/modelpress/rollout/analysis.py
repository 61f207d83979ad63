"""Is the candidate as good as the old version? Judged by what both did in the same time, from counters alone. Pure.

It fails as soon as it cannot pass any more: when it has more failures than the limit allows of the least number of
requests that decide, or of those that it had, whichever are more. So a candidate that fails everything is out after a
few requests, and one failure among the first two requests decides nothing. One that was good for long and begins to
fail is out as soon: what happened since the last reading is looked at by itself, where more than half must fail.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from modelpress.api.defaults import EffectiveAnalysis
from modelpress.api.durations import seconds
from modelpress.api.readable import beside
from modelpress.api.readable import limit as limit_of
from modelpress.api.servingpod import METRICS_PORT
from modelpress.triton.metrics import InferenceCounters

from .counting import NOTHING, Counted, total
from .situation import Outcome

MISSES = 2
"""Readings in a row that must fail before a pod's counters count as missing."""
READINGS = 2
"""Readings of a pod between which its counters grow: with fewer, a step shorter than their interval knows nothing."""
SUDDEN = 0.5
"""Fraction of the requests since the last reading of which more must fail to count by themselves."""


@dataclass(frozen=True, slots=True)
class Version:
    """What one revision did: `counters` since the step began, `recent` since the last reading, over all its pods.

    `silent`: pods whose counters cannot be read; `told`: pods that told theirs; `unasked`: pods that were not
    asked twice yet, so that nobody knows what they did. `since`: when the first of them told its counters.
    """

    counters: InferenceCounters = NOTHING
    silent: tuple[str, ...] = ()
    told: int = 0
    unasked: int = 0
    since: datetime | None = None
    recent: InferenceCounters = NOTHING

    @property
    def requests(self) -> int:
        """Requests, failed ones included."""
        return int(self.counters.asked)

    @property
    def failures(self) -> int:
        """Requests that failed."""
        return int(self.counters.failures)

    @property
    def error_rate(self) -> float:
        """Fraction of requests that failed; 0 without requests."""
        return _error_rate(self.counters)

    @property
    def mean_milliseconds(self) -> float | None:
        """Mean duration of the requests that Triton counts as successes; None without any."""
        return self._mean_milliseconds(self.counters.request_microseconds)

    @property
    def mean_queue_milliseconds(self) -> float | None:
        """How much of that they waited in the model's queue; None without any."""
        return self._mean_milliseconds(self.counters.queue_microseconds)

    def _mean_milliseconds(self, microseconds: float) -> float | None:
        done = self.counters.requests
        return microseconds / done / 1000 if done else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the analysis comes to so far, with the figures in a sentence."""

    outcome: Outcome
    message: str


def version(pods: Iterable[tuple[str, Counted | None]]) -> Version:
    """Return what a revision did, by name of pod."""
    known = tuple(pods)
    counted = [(name, pod) for name, pod in known if pod is not None]
    return Version(
        counters=total(pod.grown for _, pod in counted),
        silent=tuple(name for name, pod in counted if pod.misses >= MISSES),
        told=sum(pod.last is not None and pod.misses < MISSES for _, pod in counted),
        unasked=sum(pod is None or (pod.readings < READINGS and pod.misses < MISSES) for _, pod in known),
        recent=total(pod.recent for _, pod in counted),
        since=min((pod.since for _, pod in counted if pod.since is not None), default=None),
    )


def judge(old: Version, new: Version, limits: EffectiveAnalysis) -> Verdict:
    """Return whether `new` keeps `limits` beside `old`, by what both did since the step began."""
    failure = _failure(old, new, limits)
    if failure is not None:
        return Verdict(Outcome.FAILED, failure.replace("%", " %"))
    if new.unasked or not (new.told or new.silent):
        return Verdict(Outcome.UNASKED, "The counters have not been read yet.")
    doubt = _doubt(old, new, limits)
    if doubt is not None:
        return Verdict(Outcome.INCONCLUSIVE, doubt)
    return Verdict(Outcome.PASSED, _figures(old, new))


def _failure(old: Version, new: Version, limits: EffectiveAnalysis) -> str | None:
    """Return why `new` cannot pass any more.

    Counters of no pod at all say nothing of it: the way to them is broken. Those of its pods alone say enough.
    """
    if new.silent and (old.told or new.told):
        return f"The counters of {', '.join(new.silent)} cannot be read on port {METRICS_PORT}."
    limit = max(limits.max_error_rate, old.error_rate)
    if new.failures > limit * max(new.requests, limits.min_requests):
        return f"Too many requests fail, {limit:.2%} may: {_figures(old, new)}"
    if new.recent.failures > limit * limits.min_requests and _error_rate(new.recent) > max(
        SUDDEN, _error_rate(old.recent)
    ):
        return f"More than half of the requests of the last seconds failed: {_figures(old, new)}"
    increase, allowed = _increase(old, new, limits), limits.max_latency_increase
    if increase is not None and allowed is not None and increase > allowed:
        slower = beside(100 * allowed, 100 * increase, percent=True, at_least=False)
        return f"It is slower by {slower}%, {limit_of(100 * allowed, percent=True)}% are allowed: {_figures(old, new)}"
    wait, longest = _queue(old, new, limits), limits.max_queue_time
    if wait is not None and longest is not None and wait > seconds(longest) * 1000:
        return f"Its requests wait in the queue for {wait:.1f} ms, {longest} is allowed: {_figures(old, new)}"
    return None


def _doubt(old: Version, new: Version, limits: EffectiveAnalysis) -> str | None:
    """Return why it cannot be told whether `new` passes."""
    if new.silent:
        return f"No pod's counters can be read on port {METRICS_PORT}, those of the old version neither."
    if new.requests < limits.min_requests:
        return f"{limits.min_requests} requests are needed to tell: {_figures(old, new)}"
    if limits.max_latency_increase is not None and _increase(old, new, limits) is None:
        return f"Each version needs {limits.min_requests} requests to compare latency: {_figures(old, new)}"
    if limits.max_queue_time is not None and _queue(old, new, limits) is None:
        return f"Each version needs {limits.min_requests} requests to compare queue time: {_figures(old, new)}"
    return None


def _increase(old: Version, new: Version, limits: EffectiveAnalysis) -> float | None:
    """Return by which fraction `new` is slower than `old`; None: too few requests to tell."""
    before, after = old.mean_milliseconds, new.mean_milliseconds
    return after / before - 1 if _comparable(old, new, limits) and before and after is not None else None


def _queue(old: Version, new: Version, limits: EffectiveAnalysis) -> float | None:
    """Return the mean wait in milliseconds that is `new`'s own fault: none if those of `old` wait as long.

    None: too few requests to tell.
    """
    before, after = old.mean_queue_milliseconds, new.mean_queue_milliseconds
    if not _comparable(old, new, limits) or before is None or after is None:
        return None
    return after if after > before else 0.0


def _comparable(old: Version, new: Version, limits: EffectiveAnalysis) -> bool:
    """Say whether both had as many requests as are needed to compare their means."""
    return min(old.requests, new.requests) >= limits.min_requests


def _error_rate(counters: InferenceCounters) -> float:
    """Return the fraction of requests that failed; 0 without requests."""
    return counters.failures / counters.asked if counters.asked > 0 else 0.0


def _figures(old: Version, new: Version) -> str:
    return f"{_figures_of('the new version', new)}; {_figures_of('the old one', old)}."


def _figures_of(who: str, version: Version) -> str:
    mean, queue = version.mean_milliseconds, version.mean_queue_milliseconds
    told = f", {mean:.1f} ms on average, {queue:.1f} ms of it in the queue" if mean is not None else ""
    return f"{who} failed {version.failures:,} of {version.requests:,} requests{told}"
