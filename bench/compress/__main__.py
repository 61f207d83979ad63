"""`python -m bench.compress [ROW …]`: measure rows of the table, side by side in this run, and write the page."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from . import auto, gcn, int8, minilm_bytes, minilm_latency, page, residual, sensitivity, simplenet
from .protocol import Job, Row, machine

ROWS: dict[str, Callable[[Job], Row]] = {
    "simplenet": simplenet.measure,
    "residual": residual.measure,
    "minilm-bytes": minilm_bytes.measure,
    "minilm-latency": minilm_latency.measure,
    "int8": int8.measure,
    "gcn": gcn.measure,
    "sensitivity": sensitivity.measure,
    "auto": auto.measure,
}
"""The rows, in the order of the table."""


def measured(name: str, job: Job) -> Row:
    """Return a row with what it was measured on and how long that took, runs that were ended counted in."""
    torch.set_num_threads(1)
    began, before, kept = time.monotonic(), machine(), job.work / "seconds"
    earlier = float(kept.read_text()) if kept.is_file() else 0.0
    try:
        row = ROWS[name](job)
    finally:
        spent = round(earlier + time.monotonic() - began, 1)
        kept.write_text(str(spent))
    row.machine, row.smoke, row.seconds = before, job.smoke, spent
    return row


def main() -> None:
    """Measure what is named, or all."""
    logging.disable(logging.INFO)  # exporters and quantizers write pages about nothing
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.compress")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{', '.join(ROWS)}. Default: all.")
    parser.add_argument("--competitors", type=Path, help="Python of the competitors' environment. Default: none.")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="Folder for what may be lost.")
    parser.add_argument("--resume", action="store_true", help="Go on with what a run that was ended left in --work.")
    parser.add_argument("--smoke", action="store_true", help="The smallest size, for the harness; writes no page.")
    parser.add_argument(
        "--only", action="append", choices=auto.FILES, help="Of row auto, this example; writes no page."
    )
    asked = parser.parse_args()
    whole = not asked.smoke and not asked.only
    unknown = sorted(set(asked.rows) - set(ROWS))
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    for name in asked.rows or (["auto"] if asked.only else ROWS):
        work = asked.work / name
        if not asked.resume:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        python = asked.competitors.absolute() if asked.competitors is not None else None
        row = measured(name, Job(work.resolve(), asked.smoke, python, tuple(asked.only or ())))
        sys.stdout.write(page.section(row))
        if whole:
            page.keep(row)
    if whole:
        page.write(list(ROWS))


if __name__ == "__main__":
    main()
