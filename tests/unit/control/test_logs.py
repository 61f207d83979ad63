"""Log lines are JSON and say which model they are about."""

from __future__ import annotations

import asyncio
import json
import logging

from modelpress.control.logs import JsonFormatter, about
from modelpress.control.objects import Key


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("modelpress.test").makeRecord("modelpress.test", logging.INFO, "f", 1, message, (), None)
    vars(made).update(extra)
    return made


def test_a_line_is_one_json_object_with_what_was_given_as_extra() -> None:
    text = JsonFormatter().format(record("two\nlines", seconds=1.5))
    assert "\n" not in text
    line = json.loads(text)
    assert (line["message"], line["level"], line["seconds"]) == ("two\nlines", "info", 1.5)


async def test_each_line_names_the_model_that_its_own_task_works_on() -> None:
    lines: list[dict[str, str]] = []

    async def work(name: str) -> None:
        with about(Key("team", name)):
            await asyncio.sleep(0)
            lines.append(json.loads(JsonFormatter().format(record("working"))))

    await asyncio.gather(*(work(name) for name in "ab"))
    assert sorted(line["model"] for line in lines) == ["a", "b"]
    assert "model" not in json.loads(JsonFormatter().format(record("done")))


def test_an_error_is_shown_whole() -> None:
    try:
        raise KeyError("spec")
    except KeyError as error:
        text = JsonFormatter().format(record("failed", exc_info=(KeyError, error, error.__traceback__)))
    assert "KeyError: 'spec'" in json.loads(text)["error"]
