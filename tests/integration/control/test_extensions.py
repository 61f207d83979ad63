"""Kinds of other projects, against a real API server that gets KEDA's definition while the operator runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.control.conftest import Bench
from tests.support.apiserver import ApiServer
from tests.support.rendering import autoscalers_of

from modelpress.control import extensions
from modelpress.control.operator import EXIT_EXTENSIONS_CHANGED

KEDA = Path(__file__).parents[2] / "support" / "keda" / "scaledobjects.yaml"
KINDS = ("HorizontalPodAutoscaler", "ScaledObject")


class Cluster:
    """What the server serves, changed by hand."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def install_keda(self) -> None:
        for command in (
            ("apply", "--server-side", "-f", str(KEDA)),
            ("wait", "--for=condition=Established", "crd/scaledobjects.keda.sh", "--timeout=60s"),
        ):
            done = self._server.kubectl(*command)
            assert done.returncode == 0, done.stderr

    def remove_keda(self) -> None:
        self._server.kubectl("delete", "-f", str(KEDA), "--ignore-not-found", "--wait")


@pytest.fixture
def cluster(served_kinds: ApiServer) -> Iterator[Cluster]:
    found = Cluster(served_kinds)
    yield found
    found.remove_keda()


async def test_a_kind_that_comes_later_is_seen_by_the_operators_next_process(
    bench: Bench, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extensions, "LOOK_AGAIN", 0.2)
    async with bench.operator() as operator:
        assert operator.objects.extensions == frozenset()
        cluster.install_keda()
        ended = operator.ended  # type: ignore[attr-defined]
        await bench.until(ended.done, "the operator to end")
        assert ended.result() == EXIT_EXTENSIONS_CHANGED
    async with bench.operator() as operator:
        assert operator.objects.extensions == {"ScaledObject"}


async def test_autoscalers_are_written_once_retargeted_in_place_and_taken_away(bench: Bench, cluster: Cluster) -> None:
    cluster.install_keda()
    hpa, *scaled = autoscalers_of()
    wanted = [hpa, scaled[-1]]
    async with bench.operator() as operator:
        await bench.want("digits", apply=[{"manifest": manifest} for manifest in wanted])
        status = await bench.settled("digits")
        assert status["problems"] == []
        await bench.until(lambda: len(operator.objects.of_kind("ScaledObject")) == 1, "the watch to show it")
        await bench.until(lambda: operator.queue.idle, "the queue to be empty")
        before = list(bench.log.writes)
        for key in operator.objects.models() * 3:
            await operator.reconciler.round(key)
        assert bench.log.writes == before
        uids = {item["metadata"]["uid"] for kind in KINDS for item in operator.objects.of_kind(kind)}

        for manifest in wanted:
            manifest["spec"]["scaleTargetRef"]["name"] = "digits-cccccccccc"
        await bench.want("digits", apply=[{"manifest": manifest} for manifest in wanted])
        await bench.settled("digits")
        found = [item for kind in KINDS for item in operator.objects.of_kind(kind)]
        assert {item["spec"]["scaleTargetRef"]["name"] for item in found} == {"digits-cccccccccc"}
        assert {item["metadata"]["uid"] for item in found} == uids

        await bench.want("digits", delete=[[kind, "digits"] for kind in KINDS])
        await bench.until(lambda: not [item for kind in KINDS for item in operator.objects.of_kind(kind)], "both gone")
