"""Products of low rank: the nearest there is, what they save, and which rank each of several gets."""

from __future__ import annotations

import pytest
import torch

from modelpress.compress.stages.low_rank import Factors, factors, rank_within, ranks_of, ranks_that_save


def matrix(outputs: int, inputs: int, rank: int = 0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if rank:
        return matrix(outputs, rank, 0, seed) @ matrix(rank, inputs, 0, seed + 1)
    return torch.randn(outputs, inputs, generator=generator)


def rows(count: int, inputs: int) -> torch.Tensor:
    """Return inputs some of which are a hundred times as large as others."""
    return matrix(count, inputs, seed=9) * torch.logspace(-1, 1, inputs)


def error(weight: torch.Tensor, found: Factors, rank: int, taken: torch.Tensor) -> float:
    product = found.outer[:, :rank] @ found.inner[:rank]
    return float((taken @ (weight - product).T).norm() / (taken @ weight.T).norm())


@pytest.mark.parametrize("rank", [1, 4, 7])
def test_the_error_that_is_told_is_that_of_the_answers(rank: int) -> None:
    weight, taken = matrix(20, 12), rows(500, 12)
    found = factors(weight, (taken.T @ taken).double())
    assert found.errors[rank] == pytest.approx(error(weight, found, rank, taken), rel=1e-3)


def test_inputs_decide_which_directions_stay() -> None:
    weight, taken = matrix(20, 12), rows(500, 12)
    blind, seeing = factors(weight, None), factors(weight, (taken.T @ taken).double())
    assert error(weight, seeing, 4, taken) < 0.5 * error(weight, blind, 4, taken)


def test_no_matrix_of_that_rank_is_nearer() -> None:
    """Eckart and Young 1936: what singular values leave out is the least."""
    weight = matrix(16, 16)
    found = factors(weight, None)
    product = found.outer[:, :5] @ found.inner[:5]
    left, values, right = torch.linalg.svd(weight)
    torch.testing.assert_close(product, (left[:, :5] * values[:5]) @ right[:5], atol=1e-4, rtol=1e-4)


def test_a_matrix_of_low_rank_is_found_exactly() -> None:
    weight = matrix(30, 40, rank=3)
    found = factors(weight, None)
    assert found.errors[2] > 0.01
    assert found.errors[3] < 1e-6
    torch.testing.assert_close(found.outer[:, :3] @ found.inner[:3], weight, atol=1e-4, rtol=1e-4)


def test_inputs_that_never_were_cost_nothing() -> None:
    weight, taken = matrix(20, 12), rows(500, 12)
    taken[:, 3:] = 0
    found = factors(weight, (taken.T @ taken).double())
    assert found.errors[3] < 1e-2
    assert torch.isfinite(found.inner).all()
    assert error(weight, found, 3, taken) < 1e-2


@pytest.mark.parametrize("offset", [0.0, 255.0, 1e4])
def test_inputs_that_are_all_alike_need_one_direction(offset: float) -> None:
    """Their squares, summed in float32, have eigenvalues below zero that no fixed ridge makes up for."""
    weight, taken = matrix(20, 64), matrix(1, 64, seed=3).expand(300, 64) + offset
    found = factors(weight, (taken.T @ taken).double())
    assert found.errors[1] < 0.05
    assert error(weight, found, 1, taken) < 0.05


def test_a_product_is_saved_from_as_from_the_numbers_that_it_has() -> None:
    found = factors(matrix(30, 40, rank=8), None, held=8 * 70)
    assert found.saved(8) == 0
    assert found.saved(5) == 3 * 70
    assert len(found.inner) == 7


@pytest.mark.parametrize("shape", [(20, 12), (8, 8), (64, 2), (1, 50), (3, 3), (2, 2)])
def test_no_rank_is_kept_that_saves_nothing(shape: tuple[int, int]) -> None:
    found = factors(matrix(*shape), None)
    greatest = len(found.inner)
    assert found.saved(greatest + 1) == 0
    assert greatest == 1 or found.saved(greatest) > 0
    assert found.saved(1) == max(0, found.held - sum(shape))


def test_a_rank_is_rounded_up_and_left_where_it_saves_nothing() -> None:
    found = {"wide": factors(matrix(64, 64), None), "small": factors(matrix(8, 8), None)}
    assert ranks_of(found, lambda _: 5, 4) == {"wide": 8}
    assert ranks_of(found, lambda _: 3, 1) == {"wide": 3, "small": 3}


def test_the_least_rank_within_an_error_is_taken() -> None:
    found = factors(matrix(30, 40, rank=3), None)
    assert rank_within(1e-5)(found) == 3
    assert rank_within(0.999)(found) == 1
    assert found.saved(rank_within(1e-9)(factors(matrix(30, 40), None))) == 0


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_ranks_save_what_is_asked_for_at_one_error_for_all(share: float) -> None:
    found = {f"{place}": factors(matrix(40, 24 + 8 * place, rank=0, seed=place), None) for place in range(4)}
    wanted = round(share * sum(item.held for item in found.values()))
    ranks = ranks_that_save(found, wanted, 1)
    assert ranks is not None
    saved = sum(found[name].saved(rank) for name, rank in ranks.items())
    assert saved >= wanted
    worst = max(found[name].errors[rank] for name, rank in ranks.items())
    better = ranks_of(found, rank_within(worst - 1e-9), 1)
    assert sum(found[name].saved(rank) for name, rank in better.items()) < wanted


def test_more_than_there_is_cannot_be_saved() -> None:
    found = {"one": factors(matrix(10, 10), None)}
    assert ranks_that_save(found, 81, 1) is None
    assert ranks_that_save(found, 80, 1) == {"one": 1}
