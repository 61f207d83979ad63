"""report.html: all figures, in one file that asks for nothing, whatever names and notes hold."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.support.reports import full_facts, full_report

from modelpress.api.figures import MetricFigure
from modelpress.compress import page
from modelpress.compress.page import charts, numbers
from modelpress.compress.page.qualities import qualities, verdict
from modelpress.compress.page.sections import headline
from modelpress.store.report import Histogram, Report


class Tags(HTMLParser):
    """Counts what is opened and checks that it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in {"meta", "link", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_every_part_of_the_report() -> None:
    text = page.render(full_report(), full_facts(), {"source": "sha256:beef"})
    for words in (
        "4.6×", "17.8 kB", "top1 fell from 0.982 to 0.978", "layer.<wbr>6.<wbr>attention.<wbr>self.<wbr>query",
        "the 24 largest of 30", "1.9× the speed", "p90", "7,739 of 19,776", "classifier.4 was left alone",
        "avx512_vnni", "sha256:beef", "also in calibration", "4.0 MB",
    ):  # fmt: skip
        assert words in text, words
    assert text.index("0.<wbr>key") < text.index("1.<wbr>key") and "2.<wbr>key" not in text
    assert "Gate failed" in text and "cannot tell" in text
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert "script" not in tags.seen


def test_the_page_shows_every_trial_of_a_search_and_which_one_was_chosen() -> None:
    text = page.render(full_report(), None)
    for words in (
        "How this recipe was found", "It is the smallest among the 3", "5 of at most 12 recipes in 1 min 34 s",
        "test data was not looked at", "failed top1", "came to nothing", "stored no weight",
        "0.80× the speed", "by L1, Layer",
        "before any trial", "logarithmic",
    ):  # fmt: skip
        assert words in text, words
    assert text.count('<g class="trial chosen">') == 2, "one dot in each plot"
    assert text.count('<g class="trial refused">') == 4
    assert "NaN" not in text
    assert "How this recipe was found" not in page.render(full_report().model_copy(update={"search": None}), None)


def test_what_could_not_be_decided_is_not_said_to_have_failed() -> None:
    search = full_report().search
    assert search is not None
    doubtful = search.trials[4].model_copy(update={"undecided": ("top1",), "chance": 0.7})
    trials = (*search.trials[:4], doubtful, *search.trials[5:])
    text = page.render(full_report().model_copy(update={"search": search.model_copy(update={"trials": trials})}), None)
    assert "undecided top1" in text and "failed top1" not in text


def test_a_search_of_one_trial_has_a_page_too() -> None:
    search = full_report().search
    assert search is not None
    alone = search.model_copy(update={"trials": search.trials[:1], "chosen": 0})
    text = page.render(full_report().model_copy(update={"search": alone}), None)
    assert "0 of at most 12 recipes" in text and '<svg class="scatter"' not in text


def test_a_front_is_a_staircase_from_left_to_right() -> None:
    dots = [charts.Dot(1, 0.0, 1.0, "front"), charts.Dot(2, 1.0, 0.0, "chosen")]
    svg = charts.scatter(dots, dots, "<&>")
    assert 'cx="7%" cy="7%"' in svg and 'cx="93%" cy="93%"' in svg and "&lt;&amp;&gt;" in svg
    assert svg.count('class="stair"') == 2


def test_nothing_is_asked_of_anybody() -> None:
    text = page.render(full_report(), full_facts())
    assert not re.findall(r"""(?:https?:)?//[a-z]|url\(|@import|(?:src|href)="(?!data:)""", text)


def test_names_and_notes_of_others_are_only_text() -> None:
    evil = '<img src=x onerror="alert(1)">'
    facts = full_facts()
    stage = facts.stages[0].model_copy(update={"notes": (evil,), "kind": evil})
    layer = full_report().layers[0].model_copy(update={"name": evil})
    report = full_report(name=evil, warning=evil).model_copy(update={"layers": (layer,)})
    assert "<img" not in page.render(report, facts.model_copy(update={"stages": (stage,)}), {evil: evil})


def test_a_report_of_an_older_judge_still_makes_a_page() -> None:
    later = {"latency", "layers", "weights", "memory", "gates", "search"}
    old = full_report().model_dump(exclude=later)
    text = page.render(Report.model_validate(old), None)
    assert "4.6×" in text and "No gates were set" in text


def test_a_metric_that_reads_the_same_stayed() -> None:
    report = full_report()
    figures = report.figures
    same = figures.metrics[0].model_copy(update={"compressed": figures.metrics[0].original})
    unchanged = report.model_copy(update={"figures": figures.model_copy(update={"metrics": (same,)})})
    assert "top1 went from 0.982 to 0.978" in headline(report)
    assert "top1 stayed at 0.982" in headline(unchanged)


def test_a_change_lies_within_its_bounds_whichever_way_is_better() -> None:
    figures = {"name": "error", "original": 0.2, "compressed": 0.3, "samples": 400, "standard_error": 0.01}
    for higher in (True, False):
        report = full_report()
        metric = MetricFigure.model_validate(figures | {"higher_is_better": higher})
        one = report.model_copy(update={"figures": report.figures.model_copy(update={"metrics": (metric,)})})
        (found,) = qualities(one)
        assert found.change == "+0.100"
        assert found.bounds == "95 % bounds +0.084 … +0.116, n=400"
        assert (found.middle > 0) == higher, "better is right of the middle"


def test_a_gate_that_cannot_be_told_is_counted_beside_one_that_failed() -> None:
    assert verdict(full_report().gates).sentence == "1 of 3 gates did not pass, 1 cannot be told yet."


def test_a_result_that_grew_is_not_called_smaller() -> None:
    report = full_report()
    grown = report.figures.model_copy(update={"compressed_bytes": 162_244})
    text = page.render(report.model_copy(update={"figures": grown}), None)
    assert "2.0×<small>larger</small>" in text and "100 % more than 81.1 kB" in text


def test_facts_that_are_not_what_they_should_be_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "compression.json"
    assert page.facts_at(path) is None
    path.write_text('{"stages": "all of them"}')
    assert page.facts_at(path) is None
    for number in ("NaN", "1e999", "-1"):
        path.write_text(full_facts().model_dump_json(by_alias=True).replace('"seconds":12.5', f'"seconds":{number}'))
        assert page.facts_at(path) is None
    path.write_text(full_facts().model_dump_json(by_alias=True))
    assert page.facts_at(path) == full_facts()
    searched = full_facts().model_copy(update={"search": full_report().search})
    path.write_text(searched.model_dump_json(by_alias=True).replace('"speedup":0.8,', '"speedup":1e999,'))
    assert page.facts_at(path) is None
    path.write_text(searched.model_dump_json(by_alias=True).replace('"chosen":3', '"chosen":5'))
    assert page.facts_at(path) is None, "a trial that came to nothing cannot be what was chosen"


def test_a_histogram_is_drawn_to_its_highest_bin() -> None:
    assert charts.steps((0.0, 1.0), 1.0) == "M0 40L0 40L50 40L50 1L100 1L100 40Z"
    svg = charts.histogram(Histogram(low=0, high=2, original=(1.0,)), "<&>", [(1.0, "before"), (9.0, "after")])
    assert 'x1="50"' in svg and 'x1="100"' in svg and "&lt;&amp;&gt;" in svg


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (numbers.size(17_798), "17.8 kB"),
        (numbers.size(999), "999 bytes"),
        (numbers.size(2_400_000_000_000_000), "2400 TB"),
        (numbers.milliseconds(0.0117), "12 µs"),
        (numbers.milliseconds(12.345), "12.3 ms"),
        (numbers.milliseconds(4200), "4.2 s"),
        (numbers.signed(-0.013), "−0.013"),
        (numbers.signed(0.0), "±0"),
        (numbers.percent(-0.391), "−39.1 %"),
        (numbers.times(0.671), "0.67×"),
        (numbers.seconds(200), "3 min 20 s"),
        (numbers.seconds(119.7), "2 min 0 s"),
        (numbers.seconds(59.8), "1 min 0 s"),
        (numbers.seconds(0.074), "0.074 s"),
        (numbers.signed(-0.00074), "−7.4e−04"),
    ],
)
def test_numbers_are_as_people_read_them(text: str, wanted: str) -> None:
    assert text == wanted
