"""What the model does not say the installation says, else the API; and what nobody said is asked for by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.rendering import EVERYTHING, INSTALLATION, MINIMAL, TAUGHT, artifact_of, model_of

from modelpress.api.servingpod import ServingPod
from modelpress.render import jobs, serving
from modelpress.render.installation import Installation, job_settings, serving_settings, store_settings
from modelpress.render.places import MissingFactError, artifact_folder

IMAGES = INSTALLATION.images.to_wire()


def installation(**more: Any) -> Installation:
    return Installation.model_validate({"images": IMAGES, **more})


def test_the_model_comes_before_the_installation_before_the_api() -> None:
    here = installation(job={"timeout": "3h"}, serving={"resources": {"requests": {"cpu": "7"}}})
    assert job_settings(model_of(EVERYTHING), here).timeout == "2h"
    assert job_settings(model_of(MINIMAL), here).timeout == "3h"
    assert job_settings(model_of(MINIMAL), installation()).timeout == "1h"
    assert serving_settings(model_of(MINIMAL), here).resources.requests == {"cpu": "7"}
    assert serving_settings(model_of(MINIMAL), installation()).resources.requests == {"cpu": "250m", "memory": "512Mi"}


def test_the_installations_secrets_open_the_installations_store_only() -> None:
    spec = MINIMAL | {"artifacts": {"uri": "s3://elsewhere"}}
    found = store_settings(model_of(spec), INSTALLATION)
    assert (found.uri, found.secret_name, found.read_secret_name) == ("s3://elsewhere", None, None)


def test_serving_pods_read_with_the_writing_secret_only_if_there_is_no_other() -> None:
    one = installation(artifacts={"uri": "s3://a", "secretName": "both"})
    assert store_settings(model_of(MINIMAL), one).read_secret_name == "both"
    assert store_settings(model_of(MINIMAL), INSTALLATION).read_secret_name == "artifacts-read"
    own = model_of(MINIMAL | {"artifacts": {"secretName": "mine"}})
    assert store_settings(own, INSTALLATION).read_secret_name == "mine"


def test_an_artifact_lies_below_namespace_model_and_uid() -> None:
    folder = artifact_folder(model_of(MINIMAL), "digits-aaaaaaaaaa", INSTALLATION)
    assert folder == "s3://artifacts/team-a/digits-uid-of-the-model/digits-aaaaaaaaaa/"


def test_without_a_store_there_is_nothing_to_render() -> None:
    with pytest.raises(MissingFactError, match=r"artifacts\.uri"):
        artifact_folder(model_of(MINIMAL), "digits-aaaaaaaaaa", installation())


def test_data_that_was_never_resolved_is_not_fetched_blindly() -> None:
    model = model_of(EVERYTHING)
    unresolved = model.model_copy(update={"status": None})
    with pytest.raises(MissingFactError, match="test data"):
        jobs.compress_job(unresolved, artifact_of(model), 1, INSTALLATION)


def test_a_teacher_that_was_never_resolved_is_not_fetched_blindly() -> None:
    model = model_of(TAUGHT)
    with pytest.raises(MissingFactError, match="teacher large of digits"):
        jobs.compress_job(model, artifact_of(model), 1, INSTALLATION)


def test_an_artifact_that_was_never_published_is_neither_served_nor_evaluated() -> None:
    model = model_of(MINIMAL)
    unpublished = artifact_of(model, manifestDigest=None)
    with pytest.raises(MissingFactError, match="not in the store"):
        serving.models_json(model, unpublished, INSTALLATION)
    with pytest.raises(MissingFactError, match="not in the store"):
        jobs.evaluate_job(model, unpublished, 1, INSTALLATION)


@pytest.mark.parametrize(("batched", "size", "delay"), [(True, 16, 5000), (False, 0, 0)])
def test_a_model_without_a_batch_axis_is_not_batched(batched: bool, size: int, delay: int) -> None:
    model = model_of(EVERYTHING)
    pod = ServingPod.model_validate(
        json.loads(serving.models_json(model, artifact_of(model, batched=batched), INSTALLATION))
    )
    (served,) = pod.models
    assert (served.name, served.secret_name) == ("digits", "own-read")
    assert (served.max_batch_size, served.max_queue_delay_microseconds) == (size, delay)


def test_another_evaluation_is_another_job_and_another_attempt_too() -> None:
    model = model_of(EVERYTHING)
    other = model_of(EVERYTHING | {"evaluation": EVERYTHING["evaluation"] | {"latency": {"batchSizes": [4]}}})
    artifact = artifact_of(model)
    names = {
        jobs.evaluate_job(asked, artifact, attempt, INSTALLATION)["metadata"]["name"]
        for asked in (model, other)
        for attempt in (1, 2)
    }
    assert len(names) == 4


def test_another_uri_is_another_resolution() -> None:
    other = MINIMAL | {"source": MINIMAL["source"] | {"uri": "s3://models/other/model.onnx"}}
    names = {jobs.resolve_job(model_of(spec), INSTALLATION)["metadata"]["name"] for spec in (MINIMAL, other)}
    assert len(names) == 2
    assert jobs.resolve_job(model_of(MINIMAL), INSTALLATION, "-1")["metadata"]["name"] not in names


def test_an_unknown_setting_of_the_installation_is_refused() -> None:
    with pytest.raises(ValueError, match="tritonBackends"):
        installation(tritonBackends="python")
