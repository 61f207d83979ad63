"""A recipe that nobody wrote is found by trials in a pod, and what it makes is served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.support.workplace import Workplace, sparing

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def test_a_recipe_is_searched_for_and_its_result_is_served(workplace: Workplace, tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(EXAMPLE / "prepare.py"), str(tmp_path)], check=True)
    workplace.put(tmp_path, "digits-auto")
    text = (EXAMPLE / "auto.yaml").read_text().replace("/digits/", f"/{workplace.namespace}/digits-auto/")
    wanted = sparing(yaml.safe_load(text))
    wanted["spec"]["compression"]["auto"] = {"objective": "Size", "maxTrials": 4, "maxTime": "20m"}
    workplace.apply(wanted)
    status = workplace.await_ready("digits-auto", seconds=1500)
    compression = status["compression"]
    assert compression["recipe"]
    assert compression["compressedBytes"] < 0.4 * compression["originalBytes"]
    told = [message for reason, message in workplace.events("digits-auto") if reason == "Compressed"]
    assert any(message.endswith(f"by: {compression['recipe']}.") for message in told), json.dumps(told)
    with np.load(tmp_path / "data" / "test.npz") as test:
        images, labels = test["image"][:64], test["label"][:64]
    parts = [workplace.ask("digits-auto", {"image": part}, ["logits"])["logits"] for part in np.split(images, 2)]
    assert (np.concatenate(parts).argmax(1) == labels).mean() > 0.9
