"""How commands on one's own machine end: one sentence and one exit code, whatever happened."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.text import Text

from modelpress.api.reasons import ENVIRONMENT
from modelpress.api.results import ExitCode, Failure

from .main import INTERRUPTED

Function = TypeVar("Function", bound=Callable[..., Any])


def log_option(function: Function) -> Function:
    """Add the option --log."""
    return click.option(
        "--log",
        type=click.Choice(["auto", "text", "json"]),
        default="auto",
        show_default=True,
        help="json: a line of JSON for each event. auto: json where standard output is no terminal.",
    )(function)


@contextmanager
def ended(log: str) -> Iterator[Console]:
    """Yield the console, and end the process with a sentence and an exit code for whatever goes wrong within."""
    from modelpress.compress.errors import Judged  # noqa: PLC0415 - --help need not wait for it
    from modelpress.local.asked_error import AskedError  # noqa: PLC0415
    from modelpress.local.steps import StepError  # noqa: PLC0415
    from modelpress.store.errors import StoreError  # noqa: PLC0415

    console = Console(highlight=False, stderr=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        yield console
    except AskedError as error:
        raise click.UsageError(str(error)) from error
    except StepError as error:
        _end(console, log, error.failure, error.code)
    except (Judged, StoreError) as error:
        code = ExitCode.ENVIRONMENT if error.reason in ENVIRONMENT else ExitCode.JUDGED
        _end(console, log, Failure(reason=error.reason, message=error.message), code)
    except KeyboardInterrupt:
        click.echo("Interrupted: nothing was written.", err=True)
        sys.exit(INTERRUPTED)


def _end(console: Console, log: str, failure: Failure, code: int) -> NoReturn:
    from modelpress.local.showing import Lines, as_json  # noqa: PLC0415
    from modelpress.local.wording import sentence  # noqa: PLC0415

    text = sentence(failure)
    if as_json(log, console):
        Lines().say("failed", reason=failure.reason, message=text, exitCode=code)
    else:
        console.print(Text.assemble((failure.reason, "bold red"), f": {text}"))
    sys.exit(code)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    """End as if by an error, so that everything begun is taken back."""
    sys.exit(128 + number)
