"""Samples that are kept apart from others: what is chosen by some is not measured on the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from .reading import Samples
from .rows import Digests, digests_of


def hold_out(samples: Samples, share: float, seed: int) -> tuple[Samples, Samples]:
    """Return the samples without about that share of them, and that share, chosen by the seed; both are never empty.

    Samples of one group stay together, without groups those of equal inputs, so that neither side holds one of the
    other's. Raises ValueError if all samples belong together, or there is but one.
    """
    digests = _digests(samples) if samples.group is None else samples.group
    kinds = numpy.unique(digests)
    if len(kinds) < 2:
        raise ValueError("there is but one sample to split")
    count = min(max(1, round(share * len(kinds))), len(kinds) - 1)
    chosen = numpy.random.default_rng(seed).choice(kinds, count, replace=False)
    apart = numpy.isin(digests, chosen)
    return _where(samples, ~apart), _where(samples, apart)


def without(samples: Samples, others: Sequence[Samples]) -> Samples | None:
    """Return the samples whose inputs are in none of the `others`; None if none is left."""
    digests = _digests(samples)
    known = numpy.concatenate([_digests(other) for other in others]) if others else numpy.empty(0, numpy.uint64)
    left = ~numpy.isin(digests, known)
    return _where(samples, left) if left.any() else None


def _digests(samples: Samples) -> Digests:
    return digests_of([samples.inputs[name] for name in sorted(samples.inputs)])


def _where(samples: Samples, rows: NDArray[numpy.bool_]) -> Samples:
    return Samples(
        inputs={name: array[rows] for name, array in samples.inputs.items()},
        targets={name: array[rows] for name, array in samples.targets.items()},
        count=int(rows.sum()),
        columns={name: array[rows] for name, array in samples.columns.items()},
        group=None if samples.group is None else samples.group[rows],
    )
