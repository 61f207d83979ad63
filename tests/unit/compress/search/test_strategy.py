"""What a search tries, in which order, and what it chooses: on models that exist only as functions of a recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from modelpress.api.auto import AutoObjective
from modelpress.api.objective import Loss
from modelpress.api.stages import Distill, Importance, Match, Prune, PruneStructure
from modelpress.compress.search.budget import Budget
from modelpress.compress.search.front import Point, choose, dominates, pareto
from modelpress.compress.search.parts import NOTHING, Part
from modelpress.compress.search.shapes import prunings
from modelpress.compress.search.space import Candidate, space
from modelpress.compress.search.stores import levels
from modelpress.compress.search.strategy import GIVEN_UP, strategy
from modelpress.compress.search.traits import BlockList, Traits
from modelpress.store.search import Sensitivity

SIZE, LATENCY = AutoObjective.SIZE, AutoObjective.LATENCY
UNTOUCHED = Point(1000, 0.0, 1.0, 1.0)
CONVOLUTIONAL = Traits(
    dense=3,
    convolutions=2,
    fuses=True,
    calibrates=True,
    pruning=prunings()[0],
    epochs=10,
    loss=Loss.CROSS_ENTROPY,
    sensitivities=(Sensitivity(name="a", parameters=100, loss=0.01), Sensitivity(name="b", parameters=900, loss=0.002)),
)
Model = Callable[[Candidate], Point | None]


def model(candidate: Candidate) -> Point | None:
    """A net like the small CNN: static INT8 is slow, dynamic INT8 is no faster, pruning beyond 70 % loses too much."""
    size, loss, time = 1000.0, 0.0, 1.0
    for stage in candidate.stages:
        if stage.prune is not None and stage.prune.amount is not None:
            part = stage.prune.amount.parameters or stage.prune.amount.macs or 0.0
            size, time, loss = size * (1 - part), time * (1 - 0.5 * part), 0.05 if part > 0.7 else 0.01
    match candidate.store.name:
        case "INT8 static":
            size, time = size / 4, time * 1.7
        case "INT8 dynamic":
            size, time = size / 3.5, time * 1.05
        case name if "4 bits" in name:
            size, loss, time = size / 7, loss + 0.004, time * 1.2
        case name if "bits" in name:
            size, time = size / 3.8, time * 1.1
    failing = frozenset({"top1"} if loss > 0.02 else set())
    return Point(round(size), loss, time, time * 0.98, failing)


def walk(
    traits: Traits, objective: AutoObjective, trials: int, of: Model = model, untouched: Point = UNTOUCHED
) -> dict[str, Point | None]:
    """Search; return what was tried, in order."""
    steps = strategy(space(traits, objective), objective, untouched, trials)
    found: dict[str, Point | None] = {}
    answer: Point | None = None
    while len(found) < trials:
        try:
            candidate = steps.send(answer) if found else next(steps)
        except StopIteration:
            break
        assert candidate.name not in found, "each recipe is tried once"
        answer = found[candidate.name] = of(candidate)
    return found


def best(traits: Traits, objective: AutoObjective, trials: int = 12, of: Model = model) -> str:
    """Search; return the recipe that is chosen."""
    found = {"nothing": UNTOUCHED} | {
        name: point for name, point in walk(traits, objective, trials, of).items() if point
    }
    return list(found)[choose(list(found.values()), objective)]


def test_what_is_small_is_found_by_pruning_and_the_fewest_bits() -> None:
    assert best(CONVOLUTIONAL, SIZE) == "70 % of the parameters pruned, distilled, weights in 4 bits, GPTQ"


def test_integers_that_are_slower_here_are_noticed_and_not_chosen_for_latency() -> None:
    found = walk(CONVOLUTIONAL, LATENCY, 12)
    static = found["INT8 static"]
    assert static is not None and static.time > 1, "it was tried, for nobody knows beforehand"
    assert best(CONVOLUTIONAL, LATENCY) == "70 % of the multiplications pruned, distilled"


def test_thin_layers_are_tried_where_there_is_room_after_pruning() -> None:
    traits = replace(CONVOLUTIONAL, factorizes=True)
    found = walk(traits, SIZE, 30)
    assert any("factorized away" in name for name in found)
    assert not any("factorized away" in name for name in walk(replace(traits, epochs=0), SIZE, 30)), "nothing trains"


def test_attention_as_one_operator_is_tried_for_latency_with_the_store_that_did_best() -> None:
    def encoder(candidate: Candidate) -> Point | None:
        time = (0.4 if candidate.store.name.startswith("INT8") else 1.0) * (0.9 if candidate.shape.name else 1.0)
        return Point(300 if candidate.store.name else 900, 0.0, time, time - 0.001)

    traits = Traits(dense=36, calibrates=True, attends=True)
    assert best(traits, LATENCY, of=encoder).startswith("attention as one operator, INT8")
    for_size = walk(traits, SIZE, 12, of=encoder)
    assert not any("attention" in name or "outliers" in name for name in for_size), "they are no smaller"


def test_where_integers_are_fast_they_are_chosen() -> None:
    def vector(candidate: Candidate) -> Point | None:
        fast = candidate.store.name.startswith("INT8")
        return Point(300 if fast else 900, 0.0, 0.4 if fast else 1.0, 0.39 if fast else 0.99)

    assert best(Traits(dense=36, calibrates=True), LATENCY, of=vector).startswith("INT8")


def test_a_latency_that_cannot_be_told_from_the_best_goes_to_the_smaller_model() -> None:
    points = [Point(1000, 0.0, 0.50, 0.48), Point(250, 0.0, 0.51, 0.49), Point(200, 0.0, 0.7, 0.69)]
    assert choose(points, LATENCY) == 1


def test_a_size_within_a_percent_of_the_least_goes_to_the_one_that_loses_less() -> None:
    points = [Point(1000, 0.0, 1, 1), Point(200, 0.02, 1, 1), Point(201, 0.001, 1, 1)]
    assert choose(points, SIZE) == 2


def test_if_no_trial_passes_the_one_that_fails_least_is_chosen() -> None:
    both, one = frozenset({"top1", "size"}), frozenset({"size"})
    points = [Point(1000, 0.0, 1, 1, both), Point(600, 0.02, 1, 1, one), Point(500, 0.01, 1, 1, one)]
    assert choose(points, SIZE) == 2


TOP1 = frozenset({"top1"})


def undecided(size: int, chance: float, time: float = 1.0) -> Point:
    """Return a recipe whose one gate on quality this data cannot decide."""
    return Point(size, 0.1, time, time, failing=TOP1, undecided=TOP1, chance=chance)


def test_what_is_sure_to_pass_goes_before_what_promises_more() -> None:
    assert choose([UNTOUCHED, undecided(100, 0.9), Point(400, 0.01, 1, 1)], SIZE) == 2


def test_where_nothing_is_sure_to_pass_a_promise_goes_before_the_model_as_it_came() -> None:
    assert choose([UNTOUCHED, undecided(400, 0.6)], SIZE) == 1
    small_enough = replace(UNTOUCHED, failing=frozenset({"size"}))
    assert choose([small_enough, undecided(400, 0.6)], SIZE) == 1


def test_of_promises_it_is_the_one_that_saves_most_by_its_chance() -> None:
    bold, mild = undecided(100, 0.5), undecided(300, 0.75)
    assert choose([UNTOUCHED, bold, mild], SIZE) == 2, "0.7 at three in four is more than 0.9 at one in two"
    assert choose([UNTOUCHED, bold, undecided(300, 0.5)], SIZE) == 1, "as likely, and smaller"
    assert choose([UNTOUCHED, undecided(300, 0.5, 0.9), undecided(300, 0.5, 0.4)], LATENCY) == 2


def test_a_promise_that_saves_nothing_or_misses_another_gate_is_none() -> None:
    larger, missed = undecided(1001, 0.9), replace(undecided(100, 0.9), failing=TOP1 | {"size"})
    assert choose([UNTOUCHED, larger, missed], SIZE) == 0


def test_where_data_cannot_decide_even_of_the_original_estimates_lead_the_search() -> None:
    def little(candidate: Candidate) -> Point | None:
        point = model(candidate)
        assert point is not None
        kept = frozenset() if point.failing else TOP1
        return replace(point, failing=TOP1, undecided=kept, chance=0.7)

    untouched = replace(UNTOUCHED, undecided=TOP1)
    assert list(walk(CONVOLUTIONAL, SIZE, 12, little, untouched)) == list(walk(CONVOLUTIONAL, SIZE, 12))
    decided = [name[:4] for name in walk(CONVOLUTIONAL, SIZE, 12, little) if "pruned" in name]
    assert decided[:2] == ["70 %", "50 %"], "where it could pass, what did not pass is followed by something milder"


@pytest.mark.parametrize("trials", [1, 3, 6, 12, 40])
@pytest.mark.parametrize("objective", [SIZE, LATENCY])
def test_a_search_keeps_to_its_number_of_trials_and_half_of_them_are_for_shapes(
    objective: AutoObjective, trials: int
) -> None:
    found = walk(CONVOLUTIONAL, objective, trials)
    assert len(found) <= trials
    shaped = sum("pruned" in name for name in found)
    assert shaped >= min(trials // 2 - 1, 10)


def test_a_search_that_is_told_what_was_found_goes_the_same_way() -> None:
    assert list(walk(CONVOLUTIONAL, SIZE, 12)) == list(walk(CONVOLUTIONAL, SIZE, 12))


def test_where_no_shape_passes_stores_get_the_room_that_is_left() -> None:
    traits = replace(CONVOLUTIONAL, tables=0.5, pruning=None, blocks=BlockList("layers", 8, 8))

    def fragile(candidate: Candidate) -> Point | None:
        lost = candidate.shape != NOTHING or "4 bits" in candidate.name or "by sensitivity" in candidate.name
        return Point(500, 0.5, 1, 1, frozenset({"top1"})) if lost else model(candidate)

    found = walk(traits, SIZE, 40, fragile)
    assert {part.name for part in space(traits, SIZE).weights} <= set(found)
    tried = Counter(name.partition(" cut")[0] for name in found if "cut" in name)
    assert tried and max(tried.values()) == GIVEN_UP, "a shape that loses too much with two stores is given up"


def test_recipes_that_come_to_nothing_do_not_end_the_search() -> None:
    def broken(candidate: Candidate) -> Point | None:
        return None if "INT8" in candidate.store.name else model(candidate)

    assert "pruned" in best(CONVOLUTIONAL, SIZE, of=broken)
    assert walk(CONVOLUTIONAL, SIZE, 12, lambda _candidate: None)


def test_milder_shapes_follow_one_that_lost_too_much_and_bolder_ones_one_that_did_not() -> None:
    def fragile(candidate: Candidate) -> Point | None:
        return Point(500, 0.5, 1, 1, frozenset({"top1"})) if candidate.shape != NOTHING else model(candidate)

    tried = [name for name in walk(CONVOLUTIONAL, SIZE, 12, fragile) if "pruned" in name]
    assert [name[:4] for name in tried[:2]] == ["70 %", "50 %"]
    tried = [name for name in walk(CONVOLUTIONAL, SIZE, 12) if "pruned" in name]
    assert [name[:4] for name in tried[:2]] == ["70 %", "90 %"]


def test_without_training_nothing_is_pruned_and_without_calibration_no_range_is_asked_for() -> None:
    plain = space(Traits(dense=2, convolutions=1, fuses=False), SIZE)
    assert plain.shapes == ()
    names = [part.name for part in (*plain.integers, *plain.weights)]
    assert names == ["INT8 dynamic", "weights in 8 bits", "weights in 4 bits"]


def test_convolutions_alone_have_no_matrices_to_store_in_groups() -> None:
    found = space(Traits(convolutions=5, calibrates=True), SIZE)
    assert [part.name for part in (*found.integers, *found.weights)] == ["INT8 static", "weights in 8 bits"]


def test_embeddings_get_bits_of_their_own_where_they_are_large() -> None:
    names = [part.name for part in space(Traits(dense=6, tables=0.5), SIZE).integers]
    assert "INT8 dynamic, embeddings in 4 bits" in names
    assert "INT8 dynamic, embeddings in 4 bits" not in [
        p.name for p in space(Traits(dense=6, tables=0.1), SIZE).integers
    ]


def test_blocks_are_cut_at_most_by_half_and_never_more_than_can_go() -> None:
    traits = Traits(dense=12, calibrates=True, blocks=BlockList("encoder.layer", 6, 6))
    (kind,) = space(traits, LATENCY).shapes
    assert [part.stages[0].cut.keep for part in kind if part.stages[0].cut] == [5, 4, 3]
    (kind,) = space(Traits(dense=2, calibrates=True, blocks=BlockList("layers", 6, 1)), LATENCY).shapes
    assert len(kind) == 1


def test_training_imitates_the_original_as_the_objective_compares() -> None:
    compared = {
        Loss.MSE: Match.MSE,
        Loss.COSINE: Match.COSINE,
        Loss.CAUSAL_LM: None,
        Loss.ENTRYPOINT: Match.MSE,
    }
    for loss, match in compared.items():
        traits = Traits(dense=1, pruning=prunings()[1], epochs=4, loss=loss)
        stages = space(traits, SIZE).shapes[0][0].stages
        assert stages[1].distill == Distill(epochs=4, match=match)
        assert stages[0].prune is not None and stages[0].prune.importance is Importance.TAYLOR


def test_for_latency_multiplications_go_in_whole_vectors() -> None:
    (prune, *_), *_ = (part.stages for part in space(replace(CONVOLUTIONAL, width=128), LATENCY).shapes[0])
    assert prune.prune is not None and prune.prune.round_to == 8
    assert prune.prune.amount is not None and prune.prune.amount.macs == 0.3


def test_of_few_channels_any_number_may_stay() -> None:
    (prune, *_), *_ = (part.stages for part in space(replace(CONVOLUTIONAL, width=16), LATENCY).shapes[0])
    assert prune.prune is not None and prune.prune.round_to is None


def test_bits_follow_sensitivity() -> None:
    even = [Sensitivity(name=str(number), parameters=100, loss=0.01) for number in range(10)]
    one = [Sensitivity(name="first", parameters=100, loss=1.0), *even]
    assert levels(one)[0] < levels(even)[0], "where one layer makes the loss, few weights need more bits"
    assert levels([Sensitivity(name="only", parameters=10, loss=0.1)]) == []


def test_four_bits_everywhere_are_not_tried_where_sensitivity_says_that_nothing_would_be_left() -> None:
    ruined = (Sensitivity(name="a", parameters=10, loss=0.4), Sensitivity(name="b", parameters=10, loss=0.3))
    names = [part.name for part in space(Traits(dense=2, calibrates=True, sensitivities=ruined), SIZE).weights]
    assert not any(name.startswith("weights in 4 bits") for name in names)


def test_the_front_holds_what_nothing_dominates() -> None:
    points = [Point(1000, 0.0, 1.0, 1), Point(250, 0.01, 1.7, 1), Point(250, 0.0, 1.7, 1), Point(250, 0.0, 1.7, 1)]
    assert pareto(points) == [True, False, True, True]
    for one, other in product(points, points):
        assert not (dominates(one, other) and dominates(other, one))


def test_no_trial_begins_that_would_end_after_the_time_is_over() -> None:
    budget = Budget(12, 600)
    assert budget.allows(3, 500, 50) and not budget.allows(3, 500, 110) and not budget.allows(12, 10, 0)
    assert budget.epochs(0.01) == 60 and budget.epochs(3) == 15 and budget.epochs(1000) == 0


def test_parts_are_told_apart_by_name() -> None:
    whole = space(CONVOLUTIONAL, SIZE)
    parts: list[Part] = [*whole.integers, *whole.weights, *(part for kind in whole.shapes for part in kind)]
    assert len({part.name for part in parts}) == len(parts)
    assert Prune.model_validate(prunings()[0]).structure == PruneStructure.CHANNEL
