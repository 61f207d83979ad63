"""Whatever is broken, the user is told what, where and what to do; and deleting works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import kubectl
import pytest
from tests.e2e.bad_inputs import BAD_INPUTS, BadInput, manifest, write_good
from tests.support.workplace import Workplace, sparing, wait_for


@pytest.fixture(scope="module")
def applied(
    workplace: Workplace, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workplace]:
    """Apply all that this run asks about at once: so they are worked on side by side."""
    ids = {item.name.partition("[")[2].rstrip("]") for item in request.session.items}
    chosen = [bad for bad in BAD_INPUTS if bad.name in ids]
    secret = kubectl.get(workplace.namespace, "secret", "models-read")
    wrong = {"accessKeyId": "bm9ib2R5", "secretAccessKey": "bm90aGluZw=="}
    kubectl.apply(
        kubectl.as_json({**secret, "metadata": {"name": "wrong-key"}, "data": secret["data"] | wrong}),
        workplace.namespace,
    )
    for bad in chosen:
        folder = tmp_path_factory.mktemp(bad.name)
        write_good(folder)
        bad.break_files(folder)
        workplace.put(folder, bad.name)
        workplace.apply(sparing(manifest(bad, workplace.namespace)))
    yield workplace
    for bad in chosen:
        workplace.delete(bad.name)


@pytest.mark.parametrize(
    "bad",
    [pytest.param(bad, id=bad.name, marks=[pytest.mark.long] if bad.long else []) for bad in BAD_INPUTS],
)
def test_broken_input_ends_with_its_reason_and_a_sentence(applied: Workplace, bad: BadInput) -> None:
    condition = applied.await_condition(bad.name, "Ready", "False", bad.reason, seconds=900)
    assert bad.says in condition["message"]
    stalled = applied.conditions(bad.name)["Stalled"]
    assert stalled["status"] == ("False" if bad.passing else "True")
    events = wait_for(
        lambda: [message for reason, message in applied.events(bad.name) if reason == bad.reason],
        f"an Event {bad.reason}",
        explain=lambda: str(applied.events(bad.name)),
    )
    assert bad.says in events[-1]


def test_code_of_the_source_finds_no_credentials_and_its_own_report_is_not_believed(
    workplace: Workplace, tmp_path: Path
) -> None:
    write_good(tmp_path)
    (tmp_path / "source" / "net.py").write_text(
        "import json, os, pathlib\n"
        "import torch\n"
        "from torch import nn\n"
        "def build():\n"
        "    for place in ('/var/run/secrets', '/etc/modelpress/secrets', '/work/test', '/work/report'):\n"
        "        found = [str(p) for p in pathlib.Path(place).rglob('*')] if os.path.isdir(place) else []\n"
        "        assert not found, f'found {found}'\n"
        "    assert not [name for name in os.environ if 'KEY' in name.upper() or 'TOKEN' in name.upper()]\n"
        "    for place in ('/work/out/report.json', '/work/report/report.json'):\n"
        "        try:\n"
        "            pathlib.Path(place).write_text(json.dumps({'metrics': [{'name': 'top1', 'compressed': 1.0}]}))\n"
        "        except OSError as refused:\n"
        "            print(place, refused)\n"
        "    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))\n"
    )
    curious = BadInput("curious", "", "")
    workplace.put(tmp_path, curious.name)
    workplace.apply(sparing(manifest(curious, workplace.namespace)))
    status = workplace.await_ready(curious.name, seconds=900)
    (metric,) = status["compression"]["metrics"]
    assert metric["compressed"] < 0.9, "random weights cannot be this good: a report of the source's own was believed"
    workplace.delete(curious.name)
