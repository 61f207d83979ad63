"""Names of the values of an ONNX graph: inputs and outputs get the user's, and no two meet, whoever adds some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PLACEHOLDER = "modelpress__{}_{}"
"""What inputs and outputs are called during the export: the exporter names a value after the operation that made it
(`embedding`, `linear`, `add`), and an output of that name would be defined twice."""


def placeholders(what: str, count: int) -> list[str]:
    """Return `count` names for `what` (input or output) that no operation has."""
    return [PLACEHOLDER.format(what, number) for number in range(count)]


def name_ends(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give the graph's placeholders the names of the signature, in place; inner values of such a name step aside."""
    wanted = dict(zip(placeholders("input", len(inputs)), inputs, strict=True))
    wanted |= dict(zip(placeholders("output", len(outputs)), outputs, strict=True))
    taken = {name for graph in graphs(model.graph) for name in values(graph)} | set(wanted.values())
    aside: dict[str, str] = {}
    for name in wanted.values():
        number = 1
        while (free := f"{name}_{number}") in taken:
            number += 1
        taken.add(free)
        aside[name] = free
    rename(model, aside | wanted)


def rename(model: Any, names: Mapping[str, str]) -> None:
    """Replace the names of values everywhere in the graph and its subgraphs, in place, all at once."""
    for graph in graphs(model.graph):
        for node in graph.node:
            for ends in (node.input, node.output):
                for index, name in enumerate(ends):
                    ends[index] = names.get(name, name)
        sparse = [item.values for item in graph.sparse_initializer]
        for item in (*graph.initializer, *sparse, *graph.input, *graph.output, *graph.value_info):
            item.name = names.get(item.name, item.name)


def keep_apart(model: Any) -> None:
    """Rename inner values that are called as another value or node with an underscore and more behind, in place.

    Whoever adds a scale to `weight` calls it `weight_scale`, and would take one that the model has for its own.
    """
    ends = {item.name for item in (*model.graph.input, *model.graph.output)}
    inner = {name for graph in graphs(model.graph) for name in values(graph) if name}
    taken = inner | {node.name for graph in graphs(model.graph) for node in graph.node}
    stems = {stem for name in ends for stem in _stems(name)}
    apart: dict[str, str] = {}
    for name in sorted(inner - ends):
        if name in stems or not taken.isdisjoint(_stems(name)):
            number = len(apart)
            while (free := f"{number}:{name}") in taken:
                number += 1
            taken.add(free)
            apart[name] = free
    rename(model, apart)


def _stems(name: str) -> Iterator[str]:
    """Yield what stands before each underscore."""
    return (name[:place] for place, letter in enumerate(name) if letter == "_")


def graphs(graph: Any) -> Iterator[Any]:
    """Yield the graph and those of its control flow."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs(inner)


def values(graph: Any) -> Iterator[str]:
    """Yield the names of what a graph defines, without what its subgraphs do."""
    for node in graph.node:
        yield from node.output
    for item in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer), *graph.input):
        yield item.name
