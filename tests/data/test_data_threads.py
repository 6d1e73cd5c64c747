"""The threads for previews' data."""

from __future__ import annotations

import threading

import trio

from preview.data.threads import in_thread

ONE_LOOP = 4


def test_each_event_loop_has_its_own_threads() -> None:
    # All meet at once, or the barrier breaks.
    barrier = threading.Barrier(2 * ONE_LOOP)
    broken: list[Exception] = []

    async def use_all() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(ONE_LOOP):
                nursery.start_soon(in_thread, lambda: barrier.wait(60))

    def run_loop() -> None:
        try:
            trio.run(use_all)
        except Exception as error:  # noqa: BLE001  shown by the assertion
            broken.append(error)

    loops = [threading.Thread(target=run_loop, daemon=True) for _ in range(2)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join(90)
    assert not broken
    assert not any(loop.is_alive() for loop in loops)


async def test_a_loop_runs_so_many_at_once_and_no_more() -> None:
    running, most = 0, 0
    lock = threading.Lock()
    barrier = threading.Barrier(ONE_LOOP)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(60)
        with lock:
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(2 * ONE_LOOP):
            nursery.start_soon(in_thread, work)
    assert most == ONE_LOOP
