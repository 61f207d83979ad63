"""Who leads, on a clock of the test's own and a Lease kept in memory."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from modelpress.control.lease import Lease, LeaseLostError
from modelpress.control.sender import Answer, ApiError, Sender, UnavailableError
from modelpress.control.settings import BadSettingsError, Settings


class Server:
    """Keeps one Lease, with optimistic concurrency."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    async def send(self, verb: str, _path: str, *, body: Any = None, **_: Any) -> Answer:
        if self.away:
            raise UnavailableError("away")
        if verb == "GET" and self.lease is None:
            raise ApiError(404, "NotFound", "no lease")
        if verb == "PUT" and (self.lease is None or body["metadata"]["resourceVersion"] != str(self.version)):
            raise ApiError(409, "Conflict", "changed meanwhile")
        if verb != "GET":
            self.version += 1
            self.lease = copy.deepcopy(body)
            self.lease["metadata"] = {"uid": "u", "resourceVersion": str(self.version)}
        return Answer(200, copy.deepcopy(self.lease or {}))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def candidate(server: Server, clock: Clock, identity: str) -> Lease:
    return Lease(cast(Sender, server), Settings(namespace="ns", identity=identity), clock)


async def test_the_first_leads_and_the_second_does_not() -> None:
    server, clock = Server(), Clock()
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    assert await first._try()
    assert not await second._try()
    first.check()
    with pytest.raises(LeaseLostError):
        second.check()


async def test_nobody_writes_in_the_time_between_two_leaders() -> None:
    server, clock = Server(), Clock()
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    await first._try()
    await second._try()
    lost_at = None
    while not await second._try():
        clock.now += 1.0
        if lost_at is None and not first.held:
            lost_at = clock.now
    assert lost_at is not None
    assert lost_at + Settings(namespace="ns").request_timeout < clock.now


async def test_a_renewal_counts_from_when_it_was_sent() -> None:
    server, clock = Server(), Clock()
    first = candidate(server, clock, "a")
    original = server.send

    async def slow(*arguments: Any, **named: Any) -> Answer:
        clock.now += 10.0
        return await original(*arguments, **named)

    server.send = slow  # type: ignore[method-assign]
    await first._try()
    clock.now += 5.0
    assert not first.held, "20 s were used up: twice 10 while asking, 5 after"


async def test_a_lease_of_the_same_identity_is_taken_up_at_once_after_a_restart() -> None:
    server, clock = Server(), Clock()
    await candidate(server, clock, "pod")._try()
    assert await candidate(server, clock, "pod")._try()
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 1


async def test_a_server_that_is_away_ends_the_lead_after_the_deadline_and_not_before() -> None:
    server, clock = Server(), Clock()
    first = candidate(server, clock, "a")
    await first._try()
    server.away = True
    clock.now += 19.0
    assert not await first._try()
    first.check()
    clock.now += 1.0
    with pytest.raises(LeaseLostError):
        first.check()


async def test_a_lease_that_somebody_deleted_is_made_anew() -> None:
    server, clock = Server(), Clock()
    first = candidate(server, clock, "a")
    await first._try()
    server.lease = None
    assert not await first._try()
    assert await first._try()


async def test_a_released_lease_is_free_at_once() -> None:
    server, clock = Server(), Clock()
    first, second = candidate(server, clock, "a"), candidate(server, clock, "b")
    await first._try()
    await first.release()
    assert not first.held
    assert await second._try()


@pytest.mark.parametrize(
    "times",
    [
        {"lease_duration": 25.0},
        {"request_timeout": 20.0, "lease_duration": 60.0},
        {"watch_timeout": 80.0},
    ],
)
def test_times_that_would_let_two_lead_or_a_probe_cry_wolf_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(BadSettingsError):
        Settings(namespace="ns", **times)  # type: ignore[arg-type]
