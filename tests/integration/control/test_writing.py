"""The write door, against a real API server: what is written, what is left alone, and what is said about it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.control import tiny
from tests.integration.control.conftest import Bench

from modelpress.control.operator import Operator
from modelpress.control.plan import Delete, Manifest, Reference


async def quiet(bench: Bench, operator: Operator) -> list[str]:
    """Wait until nothing is left to do, and return the writes so far."""
    await bench.until(lambda: operator.queue.idle, "the queue to be empty")
    return list(bench.log.writes)


async def test_an_object_is_made_and_later_rounds_write_nothing(bench: Bench) -> None:
    container: dict[str, Any] = {
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": 1}},
        "ports": [{"name": "http", "containerPort": 8000}, {"name": "grpc", "containerPort": 8001}],
        "env": [{"name": "A", "value": "1"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
        "command": ["a", "b"],
    }
    deployment = tiny.deployment("pods", **container)
    projected = [{"serviceAccountToken": {"path": "token"}}, {"downwardAPI": {"items": []}}]
    deployment["spec"]["template"]["spec"] |= {
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "2048Mi"}},
            {"name": "t", "projected": {"sources": projected}},
        ],
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "nodeSelector": {"disk": "fast"},
        "hostNetwork": False,
    }
    wishes = [
        {"manifest": tiny.config_map("data", colour="blue", empty="")},
        {"manifest": deployment, "atCreation": {"spec": {"replicas": 3}}},
    ]
    async with bench.operator() as operator:
        await bench.want("first", apply=wishes)
        await bench.settled("first")
        before = await quiet(bench, operator)
        for key in operator.objects.models() * 3:
            await operator.reconciler.round(key)
        assert bench.log.writes == before
    made = await bench.get("Deployment", "pods")
    assert made is not None
    assert made["spec"]["replicas"] == 3


async def test_a_restarted_operator_writes_nothing_but_what_is_needed(bench: Bench) -> None:
    async with bench.operator() as operator:
        await bench.want(
            "steady", apply=[{"manifest": tiny.config_map("kept", a="1")}], events=[["Normal", "Ready", "All is well."]]
        )
        await bench.settled("steady")
        await quiet(bench, operator)
    bench.log.writes.clear()
    async with bench.operator() as operator:
        await bench.until(operator.objects.models, "the model to be listed")
        await quiet(bench, operator)
    assert [write for write in bench.log.writes if "events" not in write] == []


async def test_a_field_left_out_of_the_wish_goes_and_an_added_element_of_others_stays(bench: Bench) -> None:
    async with bench.operator():
        await bench.want("model", apply=[{"manifest": tiny.config_map("settings", stays="1", goes="2")}])
        await bench.settled("model")
        await bench.patch("ConfigMap", "settings", {"data": {"theirs": "3"}})
        await bench.want("model", apply=[{"manifest": tiny.config_map("settings", stays="1")}])
        await bench.settled("model")
    settings = await bench.get("ConfigMap", "settings")
    assert settings is not None
    assert settings["data"] == {"stays": "1", "theirs": "3"}


async def test_a_key_left_out_of_an_atomic_map_goes(bench: Bench) -> None:
    wide, narrow = tiny.deployment("pods"), tiny.deployment("pods")
    wide["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "fast", "zone": "a"}
    narrow["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "fast"}
    async with bench.operator():
        await bench.want("model", apply=[{"manifest": wide}])
        await bench.settled("model")
        await bench.want("model", apply=[{"manifest": narrow}])
        await bench.settled("model")
    pods = await bench.get("Deployment", "pods")
    assert pods is not None
    assert pods["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "fast"}


async def test_replicas_are_others_after_creation(bench: Bench) -> None:
    wish = {"manifest": tiny.deployment("pods"), "atCreation": {"spec": {"replicas": 2}}}
    async with bench.operator() as operator:
        await bench.want("model", apply=[wish])
        await bench.settled("model")
        await bench.patch("Deployment", "pods", {"spec": {"replicas": 5}}, manager="autoscaler", subresource="scale")
        changed = {"manifest": tiny.deployment("pods", args=["--new"]), "atCreation": {"spec": {"replicas": 2}}}
        await bench.want("model", apply=[changed])
        await bench.settled("model")
        pods = await bench.get("Deployment", "pods")
        assert pods is not None
        assert pods["spec"]["template"]["spec"]["containers"][0]["args"] == ["--new"]
        assert pods["spec"]["replicas"] == 5
        await bench.want("model", apply=[changed], scale={"pods": 1})
        await bench.settled("model")
        await quiet(bench, operator)
    pods = await bench.get("Deployment", "pods")
    assert pods is not None
    assert pods["spec"]["replicas"] == 1


async def test_a_crash_between_creation_and_handing_over_is_mended_without_touching_replicas(bench: Bench) -> None:
    class Stopped(BaseException):
        pass

    class StopAfterCreation(type(bench.log)):  # type: ignore[misc]
        async def after_write(self, write: str) -> None:
            if write.startswith("PATCH") and write.endswith("deployments/pods"):
                raise Stopped

    wish = {"manifest": tiny.deployment("pods"), "atCreation": {"spec": {"replicas": 4}}}
    await bench.want("model", apply=[wish])
    calm, bench.log = bench.log, StopAfterCreation()
    try:
        async with bench.operator() as operator:
            await operator.ended  # type: ignore[attr-defined]
    except BaseException as error:
        assert isinstance(error, Stopped), error
    bench.log = calm
    assert await bench.get("Deployment", "pods") is not None
    async with bench.operator() as operator:
        await bench.settled("model")
        await quiet(bench, operator)
    pods = await bench.get("Deployment", "pods")
    assert pods is not None
    assert pods["spec"]["replicas"] == 4


async def test_an_object_of_somebody_else_is_not_adopted(bench: Bench) -> None:
    theirs = await bench.create(tiny.config_map("taken", whose="theirs"))
    async with bench.operator():
        await bench.want(
            "model",
            apply=[
                {"manifest": tiny.config_map("taken", whose="ours")},
                {"manifest": tiny.config_map("free", whose="ours")},
            ],
        )

        async def problems() -> Any:
            return (await bench.settled("model"))["problems"]

        found = await bench.until(problems, "the conflict to be reported")
    assert found[0].startswith("NameConflict: ConfigMap")
    assert (await bench.get("ConfigMap", "taken")) == theirs
    assert (await bench.get("ConfigMap", "free")) is not None


async def test_a_field_that_somebody_keeps_reverting_is_a_conflict_and_the_fight_stops(bench: Bench) -> None:
    async with bench.operator() as operator:
        await bench.want("model", apply=[{"manifest": tiny.config_map("fought", value="ours")}])
        await bench.settled("model")
        for _ in range(3):
            await bench.patch("ConfigMap", "fought", {"data": {"value": "theirs"}}, manager="their-controller")

            async def answered() -> bool:
                live = await bench.get("ConfigMap", "fought")
                status = await bench.settled("model")
                return bool((live or {}).get("data") == {"value": "ours"} or status["problems"])

            await bench.until(answered, "the operator to answer")
        found = (await bench.settled("model"))["problems"]
        assert found, "three reversions and no conflict"
        assert found[0].startswith("FieldConflict: their-controller keeps changing data.value")
        writes = await quiet(bench, operator)
        for key in operator.objects.models():
            await operator.reconciler.round(key)
        assert bench.log.writes == writes


async def test_what_the_server_refuses_is_said_in_its_words(bench: Bench) -> None:
    broken = tiny.deployment("broken", ports=[{"containerPort": 99999}])
    async with bench.operator():
        await bench.want("model", apply=[{"manifest": broken}])

        async def problems() -> Any:
            return (await bench.settled("model"))["problems"]

        found = await bench.until(problems, "the refusal to be reported")
        assert found[0].startswith("WriteRefused: The API server refused Deployment")
        assert "containerPort" in found[0]
        await bench.want("model", apply=[{"manifest": tiny.deployment("broken", ports=[{"containerPort": 80}])}])

        async def healed() -> bool:
            return not await problems()

        await bench.until(healed, "the problem to go with its cause")


async def test_an_object_made_once_is_never_changed(bench: Bench) -> None:
    async with bench.operator() as operator:
        await bench.want("model", apply=[{"manifest": tiny.config_map("once", v="1"), "once": True}])
        await bench.settled("model")
        await bench.want("model", apply=[{"manifest": tiny.config_map("once", v="2"), "once": True}])
        await bench.settled("model")
        await quiet(bench, operator)
    once = await bench.get("ConfigMap", "once")
    assert once is not None
    assert once["data"] == {"v": "1"}


async def test_an_object_made_once_adopts_nothing_either(bench: Bench) -> None:
    theirs = await bench.create(tiny.config_map("taken", whose="theirs"))
    async with bench.operator():
        await bench.want("model", apply=[{"manifest": tiny.config_map("taken", whose="ours"), "once": True}])

        async def problems() -> Any:
            return (await bench.settled("model"))["problems"]

        found = await bench.until(problems, "the conflict to be reported")
    assert found[0].startswith("NameConflict")
    assert (await bench.get("ConfigMap", "taken")) == theirs


async def test_what_appears_in_the_instant_before_a_creation_is_given_back_as_it_was(bench: Bench) -> None:
    theirs = await bench.create(tiny.config_map("taken", whose="theirs"))
    async with bench.operator() as operator:
        read, looks = operator.door.read, []

        async def blind_once(reference: Reference) -> Manifest | None:
            """See nothing at the first look, as if theirs had been created right after it."""
            looks.append(reference)
            return await read(reference) if len(looks) > 1 else None

        operator.door.read = blind_once  # type: ignore[method-assign]
        await bench.want("model", apply=[{"manifest": tiny.config_map("taken", mine="1")}])

        async def problems() -> Any:
            return (await bench.settled("model"))["problems"]

        found = await bench.until(problems, "the conflict to be reported")
    assert found[0].startswith("NameConflict")
    after = await bench.get("ConfigMap", "taken")
    assert after is not None
    assert after["data"] == theirs["data"]
    assert "labels" not in after["metadata"]
    assert "ownerReferences" not in after["metadata"]


async def test_a_deletion_meets_only_the_object_it_was_meant_for(bench: Bench) -> None:
    async with bench.operator() as operator:
        await bench.want("model", apply=[{"manifest": tiny.config_map("doomed", v="1")}])
        await bench.settled("model")
        doomed = await bench.get("ConfigMap", "doomed")
        assert doomed is not None
        await bench.want("model", delete=[["ConfigMap", "doomed"]])

        async def gone() -> bool:
            return await bench.get("ConfigMap", "doomed") is None

        await bench.until(gone, "the deletion")
        successor = await bench.create(tiny.config_map("doomed", v="2"))
        late = Delete(bench.reference("ConfigMap", "doomed"), doomed["metadata"]["uid"])
        assert await operator.door.delete(late) is None
    assert (await bench.get("ConfigMap", "doomed")) == successor


async def test_an_event_is_posted_once_and_counted_when_it_comes_back(bench: Bench) -> None:
    async def events() -> list[Any]:
        answer = await bench.sender.send("GET", f"/api/v1/namespaces/{bench.namespace}/events", kind="test")
        return list(answer.body["items"])

    note = ["Warning", "GateFailed", "top1 fell by 0.05."]
    async with bench.operator() as operator:
        await bench.want("model", events=[note])
        await bench.settled("model")
        await quiet(bench, operator)
        for key in operator.objects.models():
            await operator.reconciler.round(key)
        assert [(event["reason"], event["count"]) for event in await events()] == [("GateFailed", 1)]
        await bench.want("model", events=[])
        await bench.settled("model")
        await bench.want("model", events=[note])
        await bench.settled("model")

        async def counted() -> bool:
            return [event["count"] for event in await events()] == [2]

        await bench.until(counted, "the count to rise")


async def test_a_deleted_model_is_forgotten_and_nothing_is_written(bench: Bench) -> None:
    async with bench.operator() as operator:
        await bench.want("model", apply=[{"manifest": tiny.config_map("left", v="1")}])
        await bench.settled("model")
        before = await quiet(bench, operator)
        await bench.delete("CompressedModel", "model")
        await bench.until(lambda: not operator.objects.models(), "the deletion to be seen")
        assert await quiet(bench, operator) == before


async def test_ten_models_at_rest_cost_no_write(bench: Bench) -> None:
    async with bench.operator() as operator:
        for number in range(10):
            await bench.want(f"model-{number}", apply=[{"manifest": tiny.config_map(f"data-{number}", v="1")}])
        await asyncio.gather(*(bench.settled(f"model-{number}") for number in range(10)))
        before = await quiet(bench, operator)
        for key in operator.objects.models():
            operator.queue.add(key)
        assert await quiet(bench, operator) == before
        assert len(operator.objects.models()) == 10
