"""Stage `factorize`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from ..base import ApiType, Fraction, Names, rules


class Factorize(ApiType):
    """Put two thin layers in the place of one: the product of low rank that answers nearest to it.

    By singular values (Denton et al. 2014, arXiv:1404.0736, section 3), of the weights as their inputs excite them
    where there is calibration data (Wang et al. 2024, arXiv:2403.07378, section 3.1). Linear layers, and convolutions
    without groups, which become one of fewer channels and one over single positions (Zhang et al. 2015,
    arXiv:1505.06798). Where a layer sums over neighbours in a graph, fewer numbers of each are summed. A
    layer that would not become smaller is left alone.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.rank), has(self.parameters), has(self.error)].filter(set, set).size() == 1",
                "factorize has exactly one of rank, parameters, error",
            )
        )
    )

    rank: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Numbers that pass between the two layers, the same for each. Default: as `parameters` or `error` says."""
    parameters: Fraction | None = None
    """Fraction of the model's parameters that is removed; each layer then loses as much of its answers. Default: as
    `rank` or `error` says."""
    error: Fraction | None = None
    """Greatest error of a layer's answers, relative to them (root of the mean squares); each layer gets the least rank
    that keeps it. Default: as `rank` or `parameters` says."""
    round_to: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Ranks are rounded up to a multiple of this number. Default: 1."""
    targets: Names | None = None
    """Layers that are factorized, by module name or as `re:<regular expression>`; `encoder` stands for all below it.
    Default: all that become smaller."""
    ignore: Names | None = None
    """Layers that are left alone, named as in `targets`. Default: none."""
