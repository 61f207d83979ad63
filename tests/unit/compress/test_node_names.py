"""Exported nodes are called after the modules they came from."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper
from tests.unit.compress.sources import model

from modelpress.compress.export import export
from modelpress.compress.node_names import SCOPES, name_after_modules


def test_a_recipe_can_speak_of_an_exported_layer_by_its_module(tmp_path: Path) -> None:
    graph = export(model("Residual"), tmp_path / "model.onnx", tmp_path, None, 0)
    nodes = onnx.load(graph.path).graph.node
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)
    assert {"stem.Conv", "one.Relu", "down.Conv", "head.Gemm"} <= set(names)
    assert any(name.startswith("two.") and name.endswith(".Conv") for name in names)


@pytest.mark.parametrize(
    ("scopes", "name"),
    [
        ("['', 'module', 'module.layer', 'linear']", "layer.MatMul"),
        ("['', 'module', 'add']", "MatMul"),
        ("['', 'modules', 'linear']", "modules.MatMul"),
        ("something else", "MatMul"),
        (None, "node_1"),
    ],
)
def test_what_the_exporter_writes_becomes_a_path(scopes: str | None, name: str) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], [output], name="node_1") for output in "ab"]
    for node in nodes:
        if scopes is not None:
            node.metadata_props.add(key=SCOPES, value=scopes)
    proto = helper.make_model(helper.make_graph(nodes, "g", [], []))
    name_after_modules(proto, "module")
    assert proto.graph.node[0].name == name
    assert proto.graph.node[1].name == (f"{name}_2" if scopes is not None else name)
