"""What is rendered for two models, to be read by people: one that sets everything, one that sets almost nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.support.golden import assert_golden
from tests.support.rendering import (
    EVERYTHING,
    FULL_INSTALLATION,
    INSTALLATION,
    MINIMAL,
    OWN,
    autoscalers_of,
    jobs_of,
    model_of,
    routes_of,
    served_of,
    verification_of,
)

from modelpress.render.installation import Installation

PARTS = {"jobs": jobs_of, "serving": served_of, "verification": verification_of}
CASES = {"minimal": (MINIMAL, INSTALLATION), "everything": (EVERYTHING, FULL_INSTALLATION)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", PARTS)
def test_manifests_are_as_reviewed(case: str, part: str) -> None:
    spec, installation = CASES[case]
    manifests = PARTS[part](model_of(spec), installation)
    text = yaml.safe_dump_all(manifests, sort_keys=False, width=120)
    assert_golden(Path(__file__).parent / f"{case}-{part}.yaml", text)


def test_pods_with_a_metric_of_the_source_are_as_reviewed() -> None:
    text = yaml.safe_dump_all(jobs_of(model_of(OWN))[1:], sort_keys=False, width=120)
    assert_golden(Path(__file__).parent / "own-metric-jobs.yaml", text)


def test_autoscalers_are_as_reviewed() -> None:
    text = yaml.safe_dump_all(autoscalers_of(), sort_keys=False, width=120)
    assert_golden(Path(__file__).parent / "autoscalers.yaml", text)


def test_routes_are_as_reviewed() -> None:
    text = yaml.safe_dump_all(routes_of(), sort_keys=False, width=120)
    assert_golden(Path(__file__).parent / "routes.yaml", text)


def test_installation_reads_what_it_writes() -> None:
    assert Installation.model_validate(FULL_INSTALLATION.to_wire()) == FULL_INSTALLATION
