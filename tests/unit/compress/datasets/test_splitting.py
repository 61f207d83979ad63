"""Samples held out: no side holds one of the other's, whatever is twice in the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.compress.sources import samples_of

from modelpress.compress.datasets import Samples, hold_out, without


def rows(*values: float) -> Samples:
    column = np.asarray(values, np.float32)[:, None]
    return samples_of({"row": column}, {"score": np.arange(len(values))})


def values(samples: Samples) -> list[float]:
    found: list[float] = samples.inputs["row"][:, 0].tolist()
    return found


def test_a_share_is_held_out_by_the_seed_and_nothing_is_lost() -> None:
    whole = rows(*range(100))
    kept, held = hold_out(whole, 0.2, 0)
    assert (kept.count, held.count) == (80, 20)
    assert sorted(values(kept) + values(held)) == list(range(100))
    assert values(hold_out(whole, 0.2, 0)[1]) == values(held) != values(hold_out(whole, 0.2, 1)[1])
    assert [int(held.targets["score"][row]) for row in range(20)] == values(held), "targets stay with their inputs"


def test_equal_samples_stay_together() -> None:
    kept, held = hold_out(rows(*range(10), *range(10), *[3.0] * 30), 0.5, 0)
    assert not set(values(kept)) & set(values(held))


def test_samples_of_one_group_stay_together() -> None:
    whole = replace(rows(*range(20)), group=np.repeat(np.arange(5), 4))
    kept, held = hold_out(whole, 0.2, 0)
    assert kept.group is not None and held.group is not None
    assert (len(set(kept.group)), len(set(held.group))) == (4, 1)
    assert not set(kept.group) & set(held.group)


def test_neither_side_is_ever_empty() -> None:
    kept, held = hold_out(rows(1, 2), 0.01, 0)
    assert kept.count == held.count == 1
    with pytest.raises(ValueError, match="but one sample"):
        hold_out(rows(1, 1, 1), 0.5, 0)


def test_samples_that_others_have_are_taken_out() -> None:
    left = without(rows(1, 2, 3, 4), [rows(2), rows(4, 9)])
    assert left is not None and values(left) == [1, 3]
    assert without(rows(1, 2), [rows(1, 2, 3)]) is None
    everything = without(rows(1, 2), [])
    assert everything is not None and everything.count == 2


def test_what_comes_of_an_integer_is_the_same_sample_as_a_float() -> None:
    whole = samples_of({"row": np.asarray([[1], [2]], np.int64)})
    left = without(whole, [samples_of({"row": np.asarray([[2.0]], np.float32)})])
    assert left is not None and left.count == 1
