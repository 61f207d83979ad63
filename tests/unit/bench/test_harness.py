"""Each row in its smallest size: the harness works, whatever the figures are."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.compress import auto, page
from bench.compress.__main__ import ROWS, measured
from bench.compress.plots import AXES
from bench.compress.product import RECIPES
from bench.compress.protocol import Job


def test_every_row_has_a_picture() -> None:
    assert set(AXES) == set(ROWS)


def test_every_example_is_searched_beside_its_recipe() -> None:
    assert set(auto.FILES) == {path.parent.name for path in auto.EXAMPLES.glob("*/prepare.py")}
    assert all((auto.EXAMPLES / name / file).is_file() for name, file in auto.FILES.items())


@pytest.mark.long
@pytest.mark.parametrize("name", list(ROWS))
def test_a_row_is_measured_in_its_smallest_size(name: str, tmp_path: Path) -> None:
    row = measured(name, Job(tmp_path, smoke=True))
    assert row.name == name
    ours = [one for one in row.contestants if one.ours]
    assert ours
    assert name == "auto" or all((RECIPES / f"{one.name}.yaml").is_file() for one in ours)
    assert all(AXES[name].figure in one.figures for one in ours)
    assert row.title in page.section(row)
