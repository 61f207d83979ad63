"""Tables for people: what a search found."""

from __future__ import annotations

import io

from rich.console import Console
from tests.support.reports import full_report, full_search

from modelpress.local.tables import figures_table, show_search


def test_the_table_says_the_same_speed_as_the_page() -> None:
    stream = io.StringIO()
    Console(file=stream, width=160).print(figures_table("digits", full_report()))
    assert "1.90x as fast" in stream.getvalue(), "the median of pairs, not the ratio of medians, which is 2.0"


def test_figures_are_whole_on_a_narrow_terminal() -> None:
    stream = io.StringIO()
    Console(file=stream, width=50).print(figures_table("digits", full_report()))
    last = "".join(line.split("│")[-2].strip() for line in stream.getvalue().splitlines() if "│" in line)
    assert "−0.004(95 %−0.017…+0.0076),n=500" in last


def test_the_front_of_a_search_is_shown_with_what_was_chosen_and_why() -> None:
    stream = io.StringIO()
    show_search(Console(file=stream, width=160), full_search())
    text = " ".join(stream.getvalue().split())
    assert "the front of 5 trials on 197 samples (validation data), 2 min" in text
    assert "70 % of the parameters pruned, distilled, INT8 static" in text
    assert "9,300" in text and "0.80x" in text and "failed top1" in text
    assert "22,104" not in text, "it is not on the front"
    assert "It is the smallest among the 3" in text and "0.52 by L1, Layer" in text
