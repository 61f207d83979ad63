"""How the resources look to kubectl and to other controllers, on a real API server."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.api.specs import SPEC, model
from tests.support.apiserver import ApiServer


def create(server: ApiServer, manifest: dict[str, Any]) -> dict[str, Any]:
    done = server.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(manifest))
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_an_untouched_object_is_not_ready_and_no_default_is_written_into_its_spec(server: ApiServer) -> None:
    created = create(server, model("untouched", SPEC))
    assert created["spec"] == SPEC
    conditions = {item["type"]: item for item in created["status"]["conditions"]}
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("Unknown", "New")


def test_a_user_cannot_write_the_status(server: ApiServer) -> None:
    status = {"conditions": [{**_condition("Ready"), "status": "True"}]}
    created = create(server, model("boastful", SPEC) | {"status": status})
    assert created["status"]["conditions"][0]["status"] == "Unknown"


def test_scale_works_before_anybody_has_set_replicas(server: ApiServer) -> None:
    spec = {name: part for name, part in SPEC.items() if name != "serving"}
    create(server, model("scaled", spec))
    done = server.kubectl("scale", "cmodel/scaled", "--replicas=3")
    assert done.returncode == 0, done.stderr
    assert server.kubectl("get", "cmodel/scaled", "-o", "jsonpath={.spec.serving.replicas}").stdout == "3"


def test_conditions_are_merged_by_type(server: ApiServer) -> None:
    create(server, model("merged", SPEC))
    for kind in ("Ready", "Available"):
        document = {**model("merged", {}), "status": {"conditions": [_condition(kind)]}}
        del document["spec"]
        done = server.kubectl(
            *("apply", "--server-side", f"--field-manager={kind}", "--subresource=status", "-f", "-"),
            *("--force-conflicts", "--validate=false"),
            stdin=json.dumps(document),
        )
        assert done.returncode == 0, done.stderr
    found = json.loads(server.kubectl("get", "cmodel/merged", "-o", "json").stdout)["status"]["conditions"]
    assert sorted(item["type"] for item in found) == ["Available", "Ready"]


def test_kubectl_shows_the_columns(server: ApiServer) -> None:
    create(server, model("shown", SPEC))
    status = {
        "currentRevision": "shown-0123456789",
        "readyReplicas": 2,
        "compression": {
            "originalBytes": 100000,
            "compressedBytes": 13158,
            "ratioText": "7.6x",
            "accuracyText": "0.986 (-0.004)",
        },
    }
    patched = server.kubectl(
        *("patch", "cmodel/shown", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    )
    assert patched.returncode == 0, patched.stderr
    header, row = server.kubectl("get", "cmodel/shown").stdout.splitlines()
    assert header.split() == ["NAME", "READY", "REVISION", "RATIO", "ACCURACY", "REPLICAS", "AGE"]
    assert row.split()[:7] == ["shown", "Unknown", "shown-0123456789", "7.6x", "0.986", "(-0.004)", "2"]
    wide = server.kubectl("get", "cmodel/shown", "-o", "wide").stdout
    assert wide.splitlines()[0].split()[-4:] == ["SIZE", "REASON", "MESSAGE", "AGE"]
    assert server.kubectl("get", "martifact,mrevision").returncode == 0
    assert "compressedmodel.modelpress.io/shown" in server.kubectl("get", "all").stdout


def test_kubectl_explains_fields_with_unit_and_default(server: ApiServer) -> None:
    text = " ".join(server.kubectl("explain", "cmodel.spec.compression.stages.finetune").stdout.split())
    assert "Learning rate of AdamW at the start; `schedule` says how it falls. Default: 0.001." in text
    overview = " ".join(server.kubectl("explain", "cmodel.spec.compression").stdout.split())
    assert "Steps of the recipe, in order." in overview


def _condition(kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "False",
        "reason": "Compressing",
        "message": "…",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
