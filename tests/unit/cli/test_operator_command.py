"""`modelpress operator` as people call it: what it says when it cannot start, and what the command line costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from modelpress.cli.main import main
from modelpress.control import operator
from modelpress.control.settings import Settings


def test_help_names_every_subcommand_and_imports_none() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from modelpress.cli.main import LazyGroup, main; "
        "names = LazyGroup.modules; assert sorted(names) == main.list_commands(None); "
        "assert not {'kopf', 'kubernetes', 'torch'} & set(sys.modules), 'imported too much'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_contradicting_times_are_refused_in_a_sentence() -> None:
    done = CliRunner().invoke(main, ["operator", "--lease-duration=5"])
    assert done.exit_code == 1
    assert done.output.startswith("Error: lease_duration must be longer than")


def test_a_missing_installation_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["operator", f"--installation={tmp_path}/none.yaml"])
    assert done.exit_code == 1
    assert "none.yaml" in done.output


@pytest.mark.parametrize(("allowed", "asked"), [(True, "http://prometheus:9090"), (False, "")])
def test_models_may_ask_prometheus_only_where_the_installation_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool, asked: str
) -> None:
    images = {name: f"{name}:1" for name in ("operator", "compressor", "triton")}
    prometheus = {"address": "http://prometheus:9090", "analysisQueries": allowed}
    (tmp_path / "installation.yaml").write_text(yaml.safe_dump({"images": images, "prometheus": prometheus}))
    given: list[Settings] = []

    async def run(settings: Settings, *_: object) -> int:
        given.append(settings)
        return 0

    monkeypatch.setattr(operator, "run", run)
    done = CliRunner().invoke(main, ["operator", f"--installation={tmp_path}/installation.yaml"])
    assert done.exit_code == 0, done.output
    assert [settings.prometheus for settings in given] == [asked]


def test_a_setting_can_come_from_the_environment() -> None:
    done = CliRunner().invoke(main, ["operator"], env={"MODELPRESS_OPERATOR_WATCH_TIMEOUT": "1000"})
    assert "watch_silence must be longer than watch_timeout" in done.output


def test_an_unknown_subcommand_is_refused() -> None:
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2
