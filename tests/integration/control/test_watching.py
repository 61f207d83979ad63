"""Watches, health and the Lease, against a real API server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from tests.integration.control import tiny
from tests.integration.control.conftest import Bench
from tests.integration.control.proxy import Proxy
from tests.support.apiserver import ApiServer

from modelpress.api.base import GROUP
from modelpress.control.kinds import WATCHED
from modelpress.control.lease import Lease, LeaseLostError
from modelpress.control.operator import EXIT_LEASE_LOST


async def test_what_vanished_between_watch_and_list_vanishes_from_the_store(bench: Bench) -> None:
    """A watch whose version is too old answers 410; kopf lists anew and says nothing of what is gone."""
    from kopf._cogs.clients import watching

    lists, gate = [], asyncio.Event()
    original = watching.watch_objs

    async def interrupted(*, resource: Any, **rest: Any) -> Any:
        """Show kopf nothing of ConfigMaps, then a 410, as after an outage longer than the server's memory."""
        if resource.plural == "configmaps" and not lists:
            lists.append(resource)
            await gate.wait()
            yield {"type": "ERROR", "object": {"code": 410}}
            return
        async for raw in original(resource=resource, **rest):
            yield raw

    await bench.create(tiny.owned_by_label(tiny.config_map("vanishing"), "model"))
    await bench.create(tiny.owned_by_label(tiny.config_map("surviving"), "model"))
    watching.watch_objs = interrupted
    try:
        async with bench.operator() as operator:
            await bench.want("model")
            assert operator.objects.get(bench.reference("ConfigMap", "vanishing")) is not None
            await bench.delete("ConfigMap", "vanishing")
            gate.set()
            await bench.until(
                lambda: operator.objects.get(bench.reference("ConfigMap", "vanishing")) is None, "the relist"
            )

            async def planned_without() -> bool:
                return (await bench.settled("model"))["children"] == ["ConfigMap/surviving"]

            await bench.until(planned_without, "a round on the model")
    finally:
        watching.watch_objs = original


async def test_a_watch_that_hangs_turns_the_probe_red_and_a_live_one_keeps_it_green(
    bench: Bench, served_kinds: ApiServer
) -> None:
    async with Proxy().before(served_kinds.port) as proxy:
        kubeconfig = bench.kubeconfig.parent / f"{bench.namespace}.kubeconfig"
        kubeconfig.write_text(bench.kubeconfig.read_text().replace(f":{served_kinds.port}", f":{proxy.port}"))
        patient = bench.settings(watch_timeout=2.0, watch_silence=10.0, lease_duration=600.0, renew_deadline=500.0)
        settings = replace(patient, kubeconfig=str(kubeconfig))
        async with (
            bench.operator(settings) as operator,
            TestServer(operator.health.app()) as pages,
            aiohttp.ClientSession() as session,
        ):

            async def probe(page: str) -> int:
                async with session.get(pages.make_url(page)) as response:
                    return response.status

            calm_until = asyncio.get_running_loop().time() + 1.5 * settings.watch_silence
            while asyncio.get_running_loop().time() < calm_until:
                assert (await probe("/healthz"), operator.health.dead_watches()) == (200, [])
                await asyncio.sleep(1.0)
            assert await probe("/readyz") == 200
            proxy.freeze()

            async def red() -> bool:
                return await probe("/healthz") == 503

            await bench.until(red, "the probe to turn red")


async def test_a_lost_lease_ends_the_operator_with_its_own_code_and_without_a_write(bench: Bench) -> None:
    async with bench.operator() as operator:
        await bench.want("model", apply=[{"manifest": tiny.config_map("data", a="1")}])
        await bench.settled("model")
        path = f"/apis/coordination.k8s.io/v1/namespaces/{bench.namespace}/leases/modelpress"

        async def robbed() -> bool:
            lease = (await bench.sender.send("GET", path, kind="Lease")).body
            lease["spec"]["holderIdentity"] = "a-thief"
            try:
                await bench.sender.send("PUT", path, kind="Lease", body=lease)
            except Exception as error:  # the holder renewed in between
                assert "409" in str(error)
                return False
            return True

        await bench.until(robbed, "the Lease to change hands")
        ended = operator.ended  # type: ignore[attr-defined]
        await bench.until(ended.done, "the operator to end")
        assert ended.result() == EXIT_LEASE_LOST
        writes = list(bench.log.writes)
        await operator.reconciler.round(operator.objects.models()[0])
        with pytest.raises(Exception, match="Lease"):
            operator.lease.check()
        assert bench.log.writes == writes


async def test_a_second_operator_waits_until_the_first_lets_go(bench: Bench) -> None:
    first, second = (Lease(bench.sender, bench.settings()) for _ in range(2))
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    holding = asyncio.create_task(first.hold())
    await asyncio.sleep(3.0)
    assert not waiting.done()
    first.check()
    with pytest.raises(LeaseLostError):
        second.check()
    holding.cancel()
    await first.release()
    await asyncio.wait_for(waiting, 20)
    second.check()
    with pytest.raises(LeaseLostError):
        first.check()


async def test_a_user_with_only_the_listed_rights_suffices(bench: Bench, served_kinds: ApiServer) -> None:
    user = f"limited-{bench.namespace}"
    written = [kind for kind in WATCHED if kind.kind != "Pod"]
    rules = [{"apiGroups": [kind.group], "resources": [kind.plural], "verbs": ["list", "watch"]} for kind in WATCHED]
    rules += [
        {"apiGroups": [k.group], "resources": [k.plural], "verbs": ["get", "create", "patch", "delete"]}
        for k in written
    ]
    rules += [{"apiGroups": [GROUP], "resources": ["compressedmodels/status"], "verbs": ["update"]}]
    rules += [{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}]
    rules += [{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]
    rules += [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}]
    rbac = "rbac.authorization.k8s.io"
    names = {"name": "limited", "namespace": bench.namespace}
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": names, "rules": rules}
    subject = {"apiGroup": rbac, "kind": "User", "name": user}
    binding = {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": names, "subjects": [subject]}
    binding["roleRef"] = {"apiGroup": rbac, "kind": "Role", "name": "limited"}
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
    applied = await asyncio.to_thread(served_kinds.kubectl, "apply", "-f", "-", stdin=both)
    assert applied.returncode == 0, applied.stderr
    settings = replace(bench.settings(), kubeconfig=str(served_kinds.kubeconfig_for(user)))
    async with bench.operator(settings) as operator:
        wishes = [
            {"manifest": tiny.deployment("pods"), "atCreation": {"spec": {"replicas": 2}}},
            {"manifest": tiny.config_map("data", a="1")},
        ]
        await bench.want("model", apply=wishes, events=[["Normal", "Ready", "Fine."]])
        await bench.settled("model")
        await bench.want("model", apply=wishes, scale={"pods": 1}, delete=[["ConfigMap", "none"]])
        await bench.settled("model")
        await bench.until(lambda: operator.queue.idle, "the queue to be empty")
        assert (await bench.settled("model"))["problems"] == []
    assert any("scale" in write for write in bench.log.writes)
    assert any("events" in write for write in bench.log.writes)


async def test_a_restart_of_the_api_server_is_survived(bench: Bench, served_kinds: ApiServer) -> None:
    async with bench.operator() as operator:
        await bench.want("model", apply=[{"manifest": tiny.config_map("data", a="1")}])
        await bench.settled("model")
        served_kinds.stop_server(kill=True)
        served_kinds.start()
        await bench.want("model", apply=[{"manifest": tiny.config_map("data", a="2")}])

        async def changed() -> bool:
            return ((await bench.get("ConfigMap", "data")) or {}).get("data") == {"a": "2"}

        await bench.until(changed, "the change after the restart")
        assert operator.lease.held
