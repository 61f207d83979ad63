"""Short names in a graph with branches and loops: each value stays the one that is meant, and the answers stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelpress.compress import graph
from modelpress.compress.value_names import graphs

ROW = ["batch", 4]


def tensor(name: str, values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)


def rows(name: str, shape: list[Any] | None = None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ROW if shape is None else shape)


def branch(name: str, operator: str, inside: str) -> Any:
    """A branch that takes what the graph around it made, beside a weight of its own; both have values of one name."""
    nodes = [
        helper.make_node(operator, ["hidden_before", f"weight_{inside}"], ["chosen_inside"], name=f"{name}_first"),
        helper.make_node("Add", ["chosen_inside", "0"], [f"{name}_answer"], name=f"{name}_second"),
    ]
    weight = tensor(f"weight_{inside}", np.array([1, 2, 3, 4], np.float32))
    return helper.make_graph(nodes, f"{name}_of_the_choice", [], [rows(f"{name}_answer")], [weight])


def looped() -> Any:
    """Three times: what the choice made added to what the loop carries; an If inside takes from both around it."""
    then = helper.make_graph(
        [helper.make_node("Add", ["carried_in", "choice_made"], ["deep_sum"], name="deep_one")],
        "deep_then", [], [rows("deep_sum")],
    )  # fmt: skip
    otherwise = helper.make_graph(
        [helper.make_node("Sub", ["carried_in", "scores_before"], ["deep_rest"], name="deep_two")],
        "deep_else", [], [rows("deep_rest")],
    )  # fmt: skip
    nodes = [
        helper.make_node("Identity", ["go_in"], ["go_out"], name="keep_going"),
        helper.make_node("Equal", ["step_of_loop", "number_one"], ["is_second"], name="second"),
        helper.make_node(
            "If", ["is_second"], ["carried_out"], name="deep_if", then_branch=then, else_branch=otherwise
        ),
        helper.make_node("Identity", ["carried_out"], ["each_of_them"], name="scanned"),
    ]  # fmt: skip
    inputs = [
        helper.make_tensor_value_info("step_of_loop", TensorProto.INT64, []),
        helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
        rows("carried_in"),
    ]
    outputs = [
        helper.make_tensor_value_info("go_out", TensorProto.BOOL, []), rows("carried_out"), rows("each_of_them"),
    ]  # fmt: skip
    return helper.make_graph(nodes, "body_of_the_loop", inputs, outputs)


def nested() -> Any:
    """A graph whose ends are called as short names are, with an If, and a Loop that holds an If."""
    nodes = [
        helper.make_node("Mul", ["0", "scores_before"], ["hidden_before"], name="first"),
        helper.make_node("ReduceSum", ["hidden_before"], ["sum_of_all"], name="sum", keepdims=0),
        helper.make_node("Greater", ["sum_of_all", "number_zero"], ["is_more"], name="more"),
        helper.make_node(
            "If", ["is_more"], ["choice_made"], name="choice", then_branch=branch("then", "Add", "a"),
            else_branch=branch("else", "Mul", "b"),
        ),
        helper.make_node("Loop", ["three_times", "", "0"], ["1", "a"], name="loop", body=looped()),
    ]  # fmt: skip
    weights = [
        tensor("scores_before", np.array([1, -1, 2, 0.5], np.float32)),
        tensor("number_zero", np.float32(0)),
        tensor("number_one", np.int64(1)),
        tensor("three_times", np.int64(3)),
    ]
    made = helper.make_graph(nodes, "whole", [rows("0")], [rows("1"), rows("a", [3, *ROW])], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def answers(model: Any, path: Path, seed: int) -> dict[str, Any]:
    graph.save(model, path)
    asked = np.random.default_rng(seed).standard_normal((2, 4)).astype(np.float32)
    return graph.run(graph.open_session(path), {"0": asked})


def test_a_graph_with_branches_and_loops_gets_short_names_and_answers_as_before(tmp_path: Path) -> None:
    long, short = nested(), nested()
    graph.shorten(short)
    onnx.checker.check_model(short, full_check=True)
    signs = set()
    for seed in range(8):
        before, after = (answers(model, tmp_path / "model.onnx", seed) for model in (long, short))
        assert before.keys() == after.keys() == {"1", "a"}
        for name, value in before.items():
            assert np.array_equal(value, after[name])
        inputs = np.random.default_rng(seed).standard_normal((2, 4)).astype(np.float32)
        signs.add(bool((inputs * [1, -1, 2, 0.5]).sum() > 0))
    assert signs == {True, False}
    nodes = [node for part in graphs(short.graph) for node in part.node]
    assert all(len(name) <= 2 for node in nodes for name in (*node.input, *node.output))
    assert not any(node.name for node in nodes)


def test_what_no_runtime_needs_is_gone_from_branches_too() -> None:
    model = nested()
    for part in graphs(model.graph):
        part.doc_string = part.node[0].doc_string = "of nobody's interest"
        part.value_info.append(rows("of_nobody"))
        part.metadata_props.add(key="namespace", value="of nobody's interest")
    graph.strip(model)
    assert b"of nobody's interest" not in model.SerializeToString()
    assert b"of_nobody" not in model.SerializeToString()


def test_sparse_weights_are_found_under_their_short_names() -> None:
    values, places = tensor("kept_values", np.array([2.0], np.float32)), tensor("places", np.array([1]))
    made = helper.make_graph(
        [helper.make_node("Mul", ["row", "kept_values"], ["answer"], name="first")],
        "whole", [rows("row")], [rows("answer")],
        sparse_initializer=[helper.make_sparse_tensor(values, places, [4])],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    graph.shorten(model)
    assert model.graph.sparse_initializer[0].values.name == model.graph.node[0].input[1] != "kept_values"
