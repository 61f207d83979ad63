"""A model of 2 GB is compressed with 2.2 times its size as memory, every step of the way from source to artifact."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import large_models, memory_limit

from modelpress.store.report import Report

MODELPRESS = (sys.executable, "-c", "from modelpress.cli.main import main; main()", "compress")
TIMES = 2.2
"""Memory that may be taken, by the bytes of the weights: anonymous memory and files in memory alike."""
LEAST_RATIO = {"W8A16": 3.5, "W4A16": 6.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A folder with the source of a large decoder, and the bytes of its weights."""
    folder = tmp_path_factory.mktemp("large")
    yield folder, large_models.write(folder)
    (folder / "source" / "weights.safetensors").unlink()


def by_stage(peaks: dict[str, int]) -> dict[str, int]:
    """Return the greatest memory of each stage, of that of each line that was told."""
    found: dict[str, int] = {}
    for line, peak in peaks.items():
        stage = str(json.loads(line).get("stage", "end")) if line.startswith("{") else line
        found[stage] = max(found.get(stage, 0), peak)
    return found


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("preset", LEAST_RATIO)
def test_a_model_of_2_gb_is_compressed_in_little_memory(
    model: tuple[Path, int], preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, size = model
    assert size > 2e9
    (folder / "model.yaml").write_text(json.dumps(large_models.spec(preset)))
    out = tmp_path / "out"
    try:
        with memory_limit.limited(int(TIMES * size)) as group:
            command = (*MODELPRESS, str(folder / "model.yaml"), "--out", str(out), "--log", "json")
            done = memory_limit.run(command, group, os.environ | {"OMP_NUM_THREADS": "1"})
            assert (done.returncode, group.kills) == (0, 0), done.stdout[-2000:] + done.stderr[-2000:]
    except PermissionError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    report = Report.model_validate_json((out / "report.json").read_bytes())
    with capsys.disabled():
        print(f"\n{preset}: {report.figures.ratio:.2f}x smaller; memory by what was done, in times the model's size:")
        for stage, peak in by_stage(group.peaks).items():
            print(f"  {peak / size:.2f}  {stage}")
    assert report.figures.ratio > LEAST_RATIO[preset]
    assert report.memory is not None
    for file in out.rglob("*.data"):
        file.unlink()
