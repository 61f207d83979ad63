"""A model that does not answer here as it did when it was judged is never served."""

from __future__ import annotations

from pathlib import Path

from tests.support.servingpod import wait_until

from modelpress.api.results import ExitCode

from .conftest import MakePod
from .small_models import publish


def test_answers_that_differ_from_the_judges_are_never_served(make_pod: MakePod, artifact_store: Path) -> None:
    pod = make_pod(publish(artifact_store, factor=1.0, judged=1.5))
    pod.start()
    wait_until(lambda: pod.ended("agent") is not None, "the agent to give up")
    assert pod.ended("agent") == ExitCode.JUDGED, pod.log("agent")
    message = pod.termination_message()
    assert message["reason"] == "AnswersDiffer"
    assert "output 'scores' differs" in message["message"]
    assert not pod.probe("ready")
