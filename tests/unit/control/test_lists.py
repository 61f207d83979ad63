"""The grafts onto kopf, on a stand-in for its module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from modelpress.control.lists import UntestedKopfError, grafted, watched_at

RESOURCE = SimpleNamespace(group="batch", plural="jobs")


async def two_chunks(**_: Any) -> AsyncIterator[Any]:
    yield [{"a": 1}], "7"
    yield [{"b": 2}], "7"


async def broken_list(**_: Any) -> AsyncIterator[Any]:
    yield [{"a": 1}], "7"
    raise ConnectionError


async def quiet_stream(_url: str, **_: Any) -> AsyncIterator[Any]:
    for line in ():
        yield line


async def broken_stream(_url: str, **_: Any) -> AsyncIterator[Any]:
    for line in ():
        yield line
    raise ConnectionError


def stand_in(fetch_objs: Any = two_chunks, stream: Any = quiet_stream) -> Any:
    return SimpleNamespace(fetching=SimpleNamespace(fetch_objs=fetch_objs), api=SimpleNamespace(stream=stream))


async def use(watching: Any) -> tuple[list[Any], list[Any]]:
    """List and watch once inside the graft; return the LISTs and the signs of watches reported."""
    lists: list[Any] = []
    signs: list[Any] = []
    with grafted(watching, "1.45.2", lambda *told: lists.append(told), lambda *told: signs.append(told)):
        try:
            async for _ in watching.fetching.fetch_objs(resource=RESOURCE, namespace="team", logger=None):
                signs.clear()
            signs.clear()
            async for _ in watching.api.stream("/apis/batch/v1/namespaces/team/jobs?watch=true", logger=None):
                pass
        except ConnectionError:
            pass
    return lists, signs


async def test_a_whole_list_is_reported_once_with_all_its_chunks() -> None:
    lists, _ = await use(stand_in())
    assert lists == [("batch", "jobs", "team", [{"a": 1}, {"b": 2}], 7)]


async def test_a_list_that_breaks_off_is_not_reported() -> None:
    lists, _ = await use(stand_in(fetch_objs=broken_list))
    assert lists == []


async def test_the_orderly_end_of_a_quiet_watch_is_a_sign_of_life_and_a_broken_one_is_not() -> None:
    assert (await use(stand_in()))[1] == [("jobs", "team")]
    assert (await use(stand_in(stream=broken_stream)))[1] == []


async def test_kopf_is_as_before_afterwards() -> None:
    watching = stand_in()
    await use(watching)
    assert (watching.fetching.fetch_objs, watching.api.stream) == (two_chunks, quiet_stream)


@pytest.mark.parametrize(
    ("url", "watch"),
    [
        ("https://h/api/v1/pods?watch=true", ("pods", None)),
        ("/api/v1/namespaces/team/pods", ("pods", "team")),
        ("/apis/apps/v1/deployments", ("deployments", None)),
    ],
)
def test_a_watch_is_known_by_its_url(url: str, watch: tuple[str, str | None]) -> None:
    assert watched_at(url) == watch


def test_a_kopf_that_nobody_tested_is_refused_with_a_sentence() -> None:
    with (
        pytest.raises(UntestedKopfError, match=r"kopf 1\.46\.0 is installed.*1\.45\.x"),
        grafted(stand_in(), "1.46.0", print, print),
    ):
        pass


def test_the_installed_kopf_has_what_the_grafts_replace() -> None:
    from importlib.metadata import version
    from inspect import signature

    from kopf._cogs.clients import watching

    from modelpress.control.lists import check_version

    check_version(version("kopf"))
    assert {"resource", "namespace"} <= set(signature(watching.fetching.fetch_objs).parameters)
    assert "url" in signature(watching.api.stream).parameters
