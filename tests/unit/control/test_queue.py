"""The queue of keys."""

from __future__ import annotations

import asyncio

import pytest

from modelpress.control.queue import LAST_BACKOFF, WorkQueue, backoff


async def test_a_key_added_often_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in "aab":
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_in_work_is_handed_out_again_only_when_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_no_key_is_in_two_workers_and_none_is_lost() -> None:
    queue: WorkQueue[int] = WorkQueue()
    in_work: set[int] = set()
    wanted, seen = dict.fromkeys(range(5), 0), dict.fromkeys(range(5), 0)

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in in_work
            in_work.add(key)
            seen[key] = wanted[key]
            await asyncio.sleep(0.001)
            in_work.remove(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for step in range(200):
        wanted[step % 5] = step
        queue.add(step % 5)
        await asyncio.sleep(0.0005)
    async with asyncio.timeout(30):
        while not queue.idle:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert seen == wanted
    for worker in workers:
        assert not worker.done()
        worker.cancel()


async def test_the_earliest_of_several_wishes_for_later_stands() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 0.05)
    queue.add_after("a", 600)
    assert queue.delayed == 1
    async with asyncio.timeout(30):
        assert await queue.get() == "a"
    queue.done("a")
    assert queue.delayed == 0


async def test_a_wish_for_now_takes_the_place_of_one_for_later() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 600)
    queue.add("a")
    assert await queue.get() == "a"
    assert queue.delayed == 0


async def test_errors_in_a_row_wait_longer_and_a_success_starts_anew() -> None:
    queue: WorkQueue[str] = WorkQueue()
    waits = [queue.failed("a") for _ in range(5)]
    assert waits == sorted(waits)
    assert waits[-1] > 10
    queue.succeeded("a")
    assert queue.failed("a") <= 1.0


@pytest.mark.parametrize("failures", [1, 10, 1000])
def test_backoff_is_bounded(failures: int) -> None:
    assert 0 < backoff(failures) <= LAST_BACKOFF
