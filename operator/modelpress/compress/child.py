"""The process that does the work, tenants' code in it: `python -m modelpress.compress.child <descriptor>`.

Takes {"task": …, "layout": …} on standard input and says how it goes on the descriptor. Its exit code says nothing.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import traceback
from pathlib import Path

from pydantic import TypeAdapter

from modelpress.api.results import Progress
from modelpress.api.tasks import CompressTask, ScoreTask

from .channel import Message, send
from .ending import failure_of
from .layout import Layout

PARENT_DEATH = 1
"""prctl: the signal to this process when the one that started it is gone."""


def main(descriptor: int) -> None:
    """Compress or score, and say done or why not. A supervisor that is killed takes this process along."""
    end_with_parent()
    document = json.loads(sys.stdin.read())
    task = TypeAdapter(CompressTask | ScoreTask).validate_python(document["task"])
    layout = Layout(port=0, **{name: Path(value) for name, value in document["layout"].items()})
    doing = "the start"

    def report(progress: Progress) -> None:
        nonlocal doing
        doing = progress.stage
        send(descriptor, Message(progress=progress))

    try:
        if isinstance(task, ScoreTask):
            from .scoring import score  # noqa: PLC0415 - torch takes seconds, in which progress is served already

            score(task, layout, report)
        else:
            from .run import Compression  # noqa: PLC0415

            Compression(task, layout, report).run()
    except BaseException as error:  # whatever it is, the supervisor must be told
        traceback.print_exc()
        send(descriptor, Message(failure=failure_of(error, doing)))
    else:
        send(descriptor, Message(done=True))


def end_with_parent() -> None:
    """Have this process killed when the thread that started it ends, however that comes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
