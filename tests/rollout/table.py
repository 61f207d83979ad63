"""What was measured: a line for each case in .cluster/rollout-rows.jsonl, and the page that is made of them.

`python -m tests.rollout.table` prints the page, docs/rollouts-measured.md. A case that is tried again replaces its row.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

ROWS = Path(__file__).resolve().parents[2] / ".cluster" / "rollout-rows.jsonl"
STRATEGIES = ("Canary", "BlueGreen", "InPlace", "Recreate")
HEAD = """# What rollouts do to requests, measured

Made by `make test-rollout`, and where a second node is drained by `make test-nodes`, {day}, on {machine}:
cluster, clients and everything else. See [rollouts.md](rollouts.md).
"""
CASES = """## Half way, something happens

A model serves from two pods and goes from one version to the next, while clients that keep their connections, and
others that come and go, ask for it over HTTP and gRPC, retries off, every answer checked. The case happens when the
canary has 50 %, when the second set starts, or, in place, when a pod has proved the new version beside it. Each
cell: requests, **failed ones**, seconds from then until what is asked for serves alone, and in brackets until the last
answer of any other version. Four cases are tried at a time. Recreate interrupts, and says so.
"""
FAULTS = """## A candidate goes back by itself

Seconds are those until the first version serves alone again; in the last column, until the last answer of the
candidate, or the last request that it failed. Where Triton is killed, the requests fail that it was asked.
"""
LOADS = """## Versions change, over a hundred connections of each protocol

Connections are kept for as long as the server lets them, retries off. Every request waits 100 ms in its server for
others to join it, so some are on their way whenever a pod ends or a version goes. The control ends a pod undrained.
"""


@dataclass(frozen=True)
class CaseRow:
    """One case.

    `reason`: for which it went back; empty: it ended at a version. `seconds`: from what happened until the model stood
    as it must. `last_answer`: until the last answer of a version that had to go; None: there was none.
    """

    strategy: str
    case: str
    reason: str
    requests: int
    failed: int
    seconds: float
    last_answer: float | None = None


@dataclass(frozen=True)
class LoadRow:
    """One protocol under load. `answers`: by each of the two versions. Times but `minutes` are in milliseconds."""

    strategy: str
    protocol: str
    changes: int
    requests: int
    answers: tuple[int, int]
    failed: int
    minutes: float
    median: float
    most: float
    slowest: float


def add(row: CaseRow | LoadRow) -> None:
    """Add a row, and print it."""
    ROWS.parent.mkdir(exist_ok=True)
    line = json.dumps({"kind": type(row).__name__, **asdict(row)})
    with ROWS.open("a", encoding="utf-8") as rows:
        rows.write(line + "\n")
    print(line)


def page(lines: Iterable[str]) -> str:
    """Return the page that shows `lines`."""
    cases: dict[tuple[str, str], CaseRow] = {}
    loads: dict[tuple[str, str], LoadRow] = {}
    for line in lines:
        found = json.loads(line)
        if found.pop("kind") == CaseRow.__name__:
            case = CaseRow(**found)
            cases[case.case, case.strategy] = case
        else:
            load = LoadRow(**found)
            loads[load.strategy, load.protocol] = load
    ended = [row for row in cases.values() if not row.reason]
    back = [row for row in cases.values() if row.reason]
    head = HEAD.format(day=datetime.date.today().isoformat(), machine=_machine())
    return (
        "\n".join([head, CASES, *_crossed(ended), "", FAULTS, *_listed(back), "", LOADS, *_loads(loads.values())])
        + "\n"
    )


def _crossed(rows: list[CaseRow]) -> list[str]:
    """Return the table of cases × strategies."""
    found = {(row.case, row.strategy): row for row in rows}
    cases = sorted({row.case for row in rows}, key=lambda case: (case != "nothing", case))
    body = [[case, *(_cell(found.get((case, strategy))) for strategy in STRATEGIES)] for case in cases]
    return _table(["case", *STRATEGIES], body)


def _cell(row: CaseRow | None) -> str:
    if row is None:
        return "–"
    last = f" ({row.last_answer:.1f})" if row.last_answer is not None else ""
    return f"{row.requests:,}, **{row.failed:,}**, {row.seconds:.0f} s{last}"


def _listed(rows: list[CaseRow]) -> list[str]:
    ordered = sorted(rows, key=lambda row: (row.case, STRATEGIES.index(row.strategy)))
    heads = ["case", "strategy", "reason", "requests", "failed", "seconds", "last answer of the candidate"]
    body = [
        [row.case, row.strategy, row.reason, f"{row.requests:,}", f"{row.failed:,}", f"{row.seconds:.1f}", _last(row)]
        for row in ordered
    ]
    return _table(heads, body)


def _last(row: CaseRow) -> str:
    return f"{row.last_answer:.1f} s" if row.last_answer is not None else "never"


def _loads(rows: Iterable[LoadRow]) -> list[str]:
    heads = [
        "strategy",
        "protocol",
        "changes",
        "requests",
        "by one version, by the other",
        "failed or wrong",
        "minutes",
    ]
    body = [
        [
            row.strategy,
            row.protocol,
            str(row.changes),
            f"{row.requests:,}",
            f"{row.answers[0]:,}, {row.answers[1]:,}",
            f"{row.failed:,}",
            f"{row.minutes:.1f}",
            f"{row.median:.0f}",
            f"{row.most:.0f}",
            f"{row.slowest:.0f}",
        ]
        for row in rows
    ]
    return _table([*heads, "median, ms", "99 %", "slowest"], body)


def _table(heads: list[str], body: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *body)]


def _machine() -> str:
    """Return what the tests run on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    return f"{os.cpu_count()} cores ({cpu or platform.machine()}) and {memory:.0f} GiB"


if __name__ == "__main__":
    print(page(ROWS.read_text(encoding="utf-8").splitlines()), end="")
