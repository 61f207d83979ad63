"""One version, wherever it stands."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

from modelpress import __version__

ROOT = Path(__file__).parents[3]


def test_package_and_chart_have_the_version_of_the_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.safe_load((ROOT / "charts/modelpress/Chart.yaml").read_text(encoding="utf-8"))
    found = {project["version"], chart["version"], chart["appVersion"]}
    assert found == {__version__}
    assert f"\n{__version__}. Works:" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_changelog_begins_with_what_is_in_this_version_or_the_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(line.removeprefix("## ") for line in text.splitlines() if line.startswith("## "))
    assert newest in {__version__, "Unreleased"}
