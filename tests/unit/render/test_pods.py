"""What holds for every pod of ours, whatever the model says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.rendering import (
    EVERYTHING,
    FULL_INSTALLATION,
    INSTALLATION,
    MINIMAL,
    OWN,
    TAUGHT,
    artifact_of,
    everything_of,
    jobs_of,
    model_of,
    verification_of,
)

from modelpress.api.tasks import AskTask, CompressTask, ScoreTask
from modelpress.render.installation import Installation
from modelpress.render.jobs import compress_job, resolve_job
from modelpress.render.serving import pod_template

CASES = [(MINIMAL, INSTALLATION), (EVERYTHING, INSTALLATION), (EVERYTHING, FULL_INSTALLATION)]
every_case = pytest.mark.parametrize(("spec", "installation"), CASES)


def pods(spec: dict[str, Any], installation: Installation) -> Iterator[dict[str, Any]]:
    for manifest in everything_of(model_of(spec), installation):
        if "template" in manifest["spec"] if "spec" in manifest else False:
            yield manifest["spec"]["template"]["spec"]


def containers(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in [*pod.get("initContainers", []), *pod["containers"]]}


def compression_pod(
    spec: dict[str, Any] = EVERYTHING, installation: Installation = FULL_INSTALLATION
) -> dict[str, Any]:
    model = model_of(spec)
    found: dict[str, Any] = compress_job(model, artifact_of(model, installation), 1, installation)["spec"]["template"]
    return found["spec"]  # type: ignore[no-any-return]


def mounted(container: dict[str, Any], *, writable: bool = False) -> set[str]:
    return {mount["name"] for mount in container["volumeMounts"] if not (writable and mount.get("readOnly"))}


def secrets_of(pod: dict[str, Any], container: str) -> set[str]:
    by_volume = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    return {by_volume[volume] for volume in mounted(containers(pod)[container]) & by_volume.keys()}


def test_a_teacher_is_brought_by_who_brings_the_source_and_its_secret_is_nowhere_else() -> None:
    model = model_of(TAUGHT)
    artifact = artifact_of(model)
    digest = "sha256:" + "9" * 64
    datasets = artifact.spec.datasets | {"teacher.large": digest}
    artifact = artifact.model_copy(update={"spec": artifact.spec.model_copy(update={"datasets": datasets})})
    pod = compress_job(model, artifact, 1, INSTALLATION)["spec"]["template"]["spec"]
    assert [name for name in containers(pod) if "large-read" in secrets_of(pod, name)] == ["fetch"]
    tasks = {name: json.loads(one["env"][0]["value"]) for name, one in containers(pod).items()}
    place = {"uri": "s3://elsewhere/large/", "secretName": "large-read", "digest": digest}
    assert tasks["fetch"]["teachers"] == {"large": place}
    assert tasks["compress"]["teachers"] == {
        "large": {"uri": place["uri"], "format": "transformers", "task": "TextClassification"}
    }
    assert tasks["publish"]["lineage"]["teacher.large"] == digest
    assert "data.teacher.large" not in tasks["publish"]["lineage"]

    pod = resolve_job(model, INSTALLATION)["spec"]["template"]["spec"]
    assert "large-read" in secrets_of(pod, "resolve")
    task = json.loads(containers(pod)["resolve"]["env"][0]["value"])
    assert task["teachers"] == {"large": {"uri": place["uri"], "secretName": "large-read"}}


@every_case
def test_no_container_can_do_more_than_its_work(spec: dict[str, Any], installation: Installation) -> None:
    found = [(pod, one) for pod in pods(spec, installation) for one in containers(pod).values()]
    assert len(found) == 1 + 4 + 3 + 2 + 3 + 3
    for pod, container in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & pod.keys()
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all(volume.keys() & {"emptyDir", "secret", "configMap"} for volume in pod["volumes"])


@every_case
def test_tenants_code_has_no_secret_and_no_test_data(spec: dict[str, Any], installation: Installation) -> None:
    pod = compression_pod(spec, installation)
    container = containers(pod)["compress"]
    assert mounted(container) == {"tmp-compress", "source", "data", "out"}
    task = CompressTask.model_validate_json(task_json(container))
    secrets = {"models.read", "data-read", "test-read", "own-write", "own-read", "artifacts-write", "artifacts-read"}
    assert "test" not in task.datasets
    assert not [secret for secret in secrets if secret in json.dumps(container)]


def test_the_judge_has_neither_secret_nor_source_nor_training_data() -> None:
    pod = compression_pod()
    assert mounted(containers(pod)["judge"]) == {"tmp-judge", "out", "test", "report"}
    assert mounted(containers(pod)["judge"], writable=True) == {"tmp-judge", "report"}
    assert "Secret" not in json.dumps(containers(pod)["judge"])


@every_case
def test_what_tenants_code_can_write_nobody_else_can_and_nobody_runs(
    spec: dict[str, Any], installation: Installation
) -> None:
    found = containers(compression_pod(spec, installation))
    written = mounted(found["compress"], writable=True)
    assert written == {"tmp-compress", "out"}
    for name, container in found.items():
        if name != "compress":
            assert not written & mounted(container, writable=True)
            assert "tmp-compress" not in mounted(container)
            assert {"name": "HOME", "value": "/tmp"} in container["env"]
            assert all(
                mount["mountPath"] != "/tmp" or mount["name"] == f"tmp-{name}" for mount in container["volumeMounts"]
            )


def own_metric_pods() -> Iterator[dict[str, dict[str, Any]]]:
    """The containers of both pods that measure, where a function of the source computes a metric."""
    model = model_of(OWN)
    for manifest in (compress_job(model, artifact_of(model), 1, INSTALLATION), jobs_of(model)[2]):
        yield containers(manifest["spec"]["template"]["spec"])


def test_a_metric_of_the_source_runs_behind_the_judge_and_writes_its_scores_alone() -> None:
    compressed, evaluated = own_metric_pods()
    assert list(compressed) == ["fetch", "compress", "judge", "score", "conclude", "publish"]
    assert list(evaluated) == ["fetch", "judge", "score", "conclude", "publish"]
    for found in (compressed, evaluated):
        assert mounted(found["judge"]) == {"tmp-judge", "out", "test", "report", "answers"}
        assert mounted(found["score"]) == {"tmp-score", "source", "answers", "scores"}
        assert mounted(found["score"], writable=True) == {"tmp-score", "scores"}
        assert mounted(found["conclude"], writable=True) == {"tmp-conclude", "report"}
        assert "source" not in mounted(found["judge"]) | mounted(found["conclude"])
        writers = {name for name, one in found.items() if "answers" in mounted(one, writable=True)}
        assert writers == {"judge"}
        assert not [one for one in ("models-read", "artifacts-read") if one in json.dumps(found["score"])]
        assert ScoreTask.model_validate_json(task_json(found["score"])).trust_code
    told = CompressTask.model_validate_json(task_json(compressed["compress"])).metrics
    assert [metric.name for metric in told or ()] == ["cost"]


def test_no_identity_of_a_cloud_and_time_enough_for_both_of_tenants_containers() -> None:
    model = model_of(OWN)
    job = compress_job(model, artifact_of(model), 1, INSTALLATION)
    skipped = job["spec"]["template"]["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"]
    assert skipped == "compress,judge,score,conclude"
    assert job["spec"]["activeDeadlineSeconds"] == 2 * 3600 + 1800


def test_a_server_is_not_asked_for_a_metric_of_the_source() -> None:
    asked = verification_of(model_of(OWN))[-1]["spec"]["template"]["spec"]["containers"][0]
    metrics = AskTask.model_validate_json(task_json(asked)).evaluation.metrics
    assert [metric.name for metric in metrics or ()] == ["top1"]


def test_each_secret_is_where_it_is_needed_and_nowhere_else() -> None:
    pod = compression_pod()
    read = {"models.read", "data-read", "test-read"}
    assert {name: secrets_of(pod, name) for name in containers(pod)} == {
        "fetch": read,
        "compress": set(),
        "judge": set(),
        "publish": {"own-write"},
    }
    model = model_of(EVERYTHING)
    serving_pod = pod_template(model, artifact_of(model), "digits-bbbbbbbbbb", INSTALLATION)["spec"]
    assert {name: secrets_of(serving_pod, name) for name in containers(serving_pod)} == {
        "agent": {"own-read"},
        "proxy": set(),
        "triton": set(),
    }


@every_case
def test_a_missing_secret_does_not_hold_up_the_pod(spec: dict[str, Any], installation: Installation) -> None:
    found = [volume["secret"] for pod in pods(spec, installation) for volume in pod["volumes"] if "secret" in volume]
    assert found
    assert all(secret["optional"] is True for secret in found)


@every_case
def test_every_mount_has_its_volume_and_every_volume_its_mount(
    spec: dict[str, Any], installation: Installation
) -> None:
    for pod in pods(spec, installation):
        volumes = [volume["name"] for volume in pod["volumes"]]
        assert len(volumes) == len(set(volumes))
        assert set(volumes) == set().union(*(mounted(one) for one in containers(pod).values()))


def task_json(container: dict[str, Any]) -> str:
    """The task as Kubernetes hands it over: `$(NAME)` of a known name replaced, `$$` shortened."""
    value = next(str(one["value"]) for one in container["env"] if one["name"] == "MODELPRESS_TASK")
    return re.sub(r"\$\$|\$\((\w+)\)", lambda match: f"<{match[1]}>" if match[1] else "$", value)


def test_tasks_survive_the_expansion_of_dollar_signs() -> None:
    task = CompressTask.model_validate_json(task_json(containers(compression_pod())["compress"]))
    assert task.source.kwargs == EVERYTHING["source"]["kwargs"]
    assert task.stages[3].settings.ignore == ("re:.*head$",)


def test_numeric_libraries_use_the_cpus_that_the_container_may_use() -> None:
    limited, free = containers(compression_pod()), containers(compression_pod(MINIMAL, INSTALLATION))
    reference = {"resource": "limits.cpu", "divisor": "1"}
    wanted = {"name": "OMP_NUM_THREADS", "valueFrom": {"resourceFieldRef": reference}}
    assert wanted in limited["compress"]["env"]
    assert wanted in limited["judge"]["env"]
    assert "OMP_NUM_THREADS" not in json.dumps(free)


@pytest.mark.parametrize(("given", "wanted"), [(None, "localhost,127.0.0.1"), (".svc", ".svc,localhost,127.0.0.1")])
def test_a_proxy_stands_between_pods_and_stores_only(given: str | None, wanted: str) -> None:
    proxy = {"httpsProxy": "http://proxy.example:3128"} | ({"noProxy": given} if given else {})
    installation = Installation.model_validate(INSTALLATION.to_wire() | {"proxy": proxy})
    model = model_of(EVERYTHING)
    serving_pod = pod_template(model, artifact_of(model), "digits-bbbbbbbbbb", installation)["spec"]
    found = containers(compression_pod(EVERYTHING, installation)) | containers(serving_pod)
    for name, container in found.items():
        environment = {one["name"]: one.get("value") for one in container["env"]}
        talks = name in ("fetch", "publish", "agent")
        assert environment.get("HTTPS_PROXY") == ("http://proxy.example:3128" if talks else None)
        assert environment.get("no_proxy") == (wanted if talks else None)
