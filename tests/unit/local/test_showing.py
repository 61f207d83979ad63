"""Progress for programs: a line for each stage, few within one, with the time left."""

from __future__ import annotations

import io
import json

from modelpress.api.results import Progress
from modelpress.local.showing import Lines, seconds_left, title


def test_lines_are_written_for_new_stages_and_every_few_seconds() -> None:
    stream, now = io.StringIO(), iter([0.0, 1.0, 10.0, 10.5])
    lines = Lines(stream, lambda: next(now))
    for stage, fraction in (("finetune", 0.0), ("finetune", 0.1), ("finetune", 0.5), ("quantize", 0.0)):
        lines.tell(Progress(stage=stage, position=1, of=2, fraction=fraction))
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["stage"], line["fraction"], line.get("secondsLeft")) for line in said] == [
        ("finetune", 0.0, None),
        ("finetune", 0.5, 10.0),
        ("quantize", 0.0, None),
    ]


def test_the_time_left_follows_from_what_is_done() -> None:
    assert seconds_left(30.0, 0.25) == 90.0
    assert seconds_left(30.0, 0.0) is None


def test_titles_are_for_people() -> None:
    assert title(Progress(stage="finetune", position=2, of=4)) == "2/4 finetune"
    assert title(Progress(stage="export", position=3, of=4, detail="compressed")) == "export compressed"
    assert title(Progress(stage="judge")) == "measure"
