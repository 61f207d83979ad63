"""An autoscaler counts the pods of a model that serves: the operator writes nothing but the model's status."""

from __future__ import annotations

from pathlib import Path

from tests.faults.hands import hands
from tests.faults.life import Life, play
from tests.support.apiserver import ApiServer

SERVING = {
    "resources": {"requests": {"cpu": "40m", "memory": "300Mi"}},
    "autoscaling": {"minReplicas": 1, "maxReplicas": 6, "target": {"cpu": 60}},
}


def test_while_an_autoscaler_counts_the_pods_nothing_but_the_status_is_written(
    product_server: ApiServer, tmp_path: Path
) -> None:
    with hands(product_server.kubeconfig) as connected:
        life = Life(product_server, connected, tmp_path, {"strategy": "BlueGreen"}, SERVING)
        play([life.scaled((3, 5, 2, 1))])
    assert any("/horizontalpodautoscalers/" in write for write in life.writes())
    assert life.written == []
