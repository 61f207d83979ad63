"""What all rows share: folds, turns, search, the page."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from bench.compress import page, plots
from bench.compress.digits import splits
from bench.compress.minilm import gains
from bench.compress.protocol import WARM_UP, Contestant, Row, interleave


def test_each_image_is_tested_once_and_never_trained_on_then() -> None:
    tested = []
    for train, test in splits(seed=3, folds=5, count=1797):
        assert not set(train) & set(test)
        assert len(train) + len(test) == 1797
        tested += list(test)
    assert sorted(tested) == list(range(1797))


def test_seeds_cut_differently() -> None:
    first, second = (next(splits(seed, 5, 1797))[1] for seed in (0, 1))
    assert set(first) != set(second)


def test_a_block_goes_forth_and_back_and_each_comes_first_in_turn() -> None:
    called: list[str] = []
    found = interleave({name: lambda name=name: called.append(name) for name in "abc"}, 3)
    blocks = "".join(called[3 * WARM_UP :])
    assert blocks == "abccba" + "bcaacb" + "cabbac"
    assert all(times.shape == (3, 2) and (times > 0).all() for times in found.values())


def test_a_search_is_worth_the_more_the_nearer_the_answer_is() -> None:
    questions = np.eye(3)
    assert gains(questions, np.eye(3)).tolist() == [1, 1, 1]
    swapped = gains(questions, np.eye(3)[[1, 0, 2]])
    assert swapped[2] == 1
    assert swapped[0] == pytest.approx(1 / np.log2(3))


def test_an_answer_beyond_the_tenth_is_worth_nothing() -> None:
    scores = np.zeros((20, 20))
    scores[:, :12] = 1
    assert gains(scores, np.eye(20))[19] == 0


def row() -> Row:
    figures: dict[str, float | str] = {"bytes": 12345.0, "ratio": 5.25, "cosine": 0.99123}
    contestants = [Contestant("minilm-small", figures, ours=True), Contestant("NNCF <8>", {"ratio": 3.9})]
    return Row("minilm-bytes", "MiniLM, bytes", "5.5x", "6.5x", contestants, False, False, ["One remark."])


def test_the_page_says_no_where_the_bound_does_not_reach() -> None:
    found = page.section(row())
    assert "To reach: 5.5x: **no**" in found
    assert "| **modelpress, [minilm-small](recipes/minilm-small.yaml)** | 12,345 | 5.25 | 0.9912 |" in found
    assert "| NNCF <8> |  | 3.90 |  |" in found
    assert "- One remark." in found


def test_the_picture_is_xml_and_shows_everybody() -> None:
    root = ElementTree.fromstring(plots.picture(row(), plots.AXES["minilm-bytes"]))
    words = [item.text for item in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"modelpress, minilm-small", "NNCF <8>", "to reach 5.5", "beyond 6.5"} <= set(words)


def test_results_are_read_as_they_were_kept(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    page.keep(row())
    assert page.read("minilm-bytes") == row()
    assert page.read("gcn") is None
