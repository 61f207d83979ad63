"""Alerts, dashboard and autoscalers' queries, as Prometheus' own promtool reads and evaluates them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.chart.conftest import Template
from tests.integration.chart.test_chart import of_kind, one

from localcluster.programs import debian_program
from modelpress.render.serving.autoscaler import pending_query, queue_time_query


@pytest.fixture(scope="module")
def promtool() -> Path:
    return debian_program("prometheus", "promtool")


@pytest.fixture(scope="module")
def files(repository: Path) -> Path:
    return repository / "charts" / "modelpress" / "files"


def run(promtool: Path, *arguments: str | Path) -> str:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_alerts(promtool: Path, files: Path) -> None:
    assert "11 rules found" in run(promtool, "check", "rules", files / "alerts.yaml")


def test_alerts_fire_when_they_should_and_not_otherwise(promtool: Path, files: Path, tmp_path: Path) -> None:
    cases = yaml.safe_load((Path(__file__).parent / "alerts_test.yaml").read_text())
    (tmp_path / "cases.yaml").write_text(json.dumps({"rule_files": [str(files / "alerts.yaml")], **cases}))
    run(promtool, "test", "rules", tmp_path / "cases.yaml")
    named = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    rules = yaml.safe_load((files / "alerts.yaml").read_text())["groups"]
    assert named == {rule["alert"] for group in rules for rule in group["rules"]}, "each alert is made to fire once"


def test_prometheus_takes_every_query_of_the_dashboard(promtool: Path, files: Path, tmp_path: Path) -> None:
    panels = json.loads((files / "dashboard.json").read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    plain = [
        query.replace("$__rate_interval", "1m").replace("$namespace", "a").replace("$model", "b") for query in asked
    ]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(plain)]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(asked)} rules found" in run(promtool, "check", "rules", tmp_path / "rules.yaml")


SERIES = {
    "nv_inference_queue_duration_us": ("0+1800000x20", "0+3000000x20", "0+900000000x20"),
    "nv_inference_request_success": ("0+60x20", "0+60x20", "0+60x20"),
    "nv_inference_pending_request_count": ("3x20", "9x20", "500x20"),
}
"""Of two pods of the revision that is asked for, and of one of another revision, a minute apart."""


def series(idle: bool) -> list[dict[str, Any]]:
    revisions = ("digits-1", "digits-1", "digits-2")
    return [
        {
            "series": f'{name}{{namespace="a",pod="{pod}",modelpress_io_revision="{revisions[pod]}",model="digits"}}',
            "values": "7x20" if idle else values,
        }
        for name, by_pod in SERIES.items()
        for pod, values in enumerate(by_pod)
    ]


def sample(value: float) -> list[dict[str, Any]]:
    return [{"labels": "{}", "value": value}]


def test_autoscalers_see_mean_waiting_and_the_sum_of_what_is_pending_of_one_revision_alone(
    promtool: Path, tmp_path: Path
) -> None:
    waiting, pending = queue_time_query("a", "digits-1"), pending_query("a", "digits-1")
    busy = [(waiting, sample(40)), (pending, sample(12))]  # (1.8 s + 3 s) by 120 requests
    idle = [(waiting, sample(0))]
    nobody = [(waiting, []), (pending, [])]
    tests = [
        {
            "interval": "15s",
            "input_series": given,
            "promql_expr_test": [{"expr": query, "eval_time": "4m", "exp_samples": found} for query, found in wanted],
        }
        for given, wanted in ((series(idle=False), busy), (series(idle=True), idle), ([], nobody))
    ]
    (tmp_path / "cases.yaml").write_text(json.dumps({"evaluation_interval": "1m", "tests": tests}))
    run(promtool, "test", "rules", tmp_path / "cases.yaml")


def test_one_switch_brings_all_and_the_chart_says_what_the_files_say(helm_template: Template, files: Path) -> None:
    values = {"monitoring": {"enabled": True, "labels": {"release": "kps"}}}
    manifests = helm_template(values)
    rule = one(manifests, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((files / "alerts.yaml").read_text())
    (dashboard,) = [
        item for item in of_kind(manifests, "ConfigMap") if "grafana_dashboard" in item["metadata"]["labels"]
    ]
    assert json.loads(dashboard["data"]["modelpress.json"]) == json.loads((files / "dashboard.json").read_text())
    monitors = [one(manifests, "ServiceMonitor"), one(manifests, "PodMonitor")]
    assert all(item["metadata"]["labels"]["release"] == "kps" for item in [*monitors, rule])
    (endpoint,) = monitors[0]["spec"]["endpoints"]
    assert endpoint["honorLabels"], "or the namespace of a model would be taken for the operator's"
    kinds = {item["kind"] for item in helm_template()}
    assert not kinds & {"PrometheusRule", "ServiceMonitor", "PodMonitor"}
    assert len(of_kind(helm_template(), "ConfigMap")) == 1
