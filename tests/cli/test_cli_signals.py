"""Two signals, two steps; and what a preview holds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from preview.cli.local.one_run import Holdings
from preview.cli.local.running import hurried_by_signals, watch_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_the_first_signal_ends_and_the_next_ones_hurry(number: signal.Signals) -> None:
    end, hurry = trio.Event(), trio.Event()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(watch_signals, end.set, hurry.set))
            os.kill(os.getpid(), number)
            await end.wait()
            assert not hurry.is_set()
            os.kill(os.getpid(), number)
            await hurry.wait()
            nursery.cancel_scope.cancel()


async def test_signals_do_not_cut_the_teardown_short() -> None:
    end, torn_down = trio.Event(), False
    with trio.fail_after(60):
        async with hurried_by_signals(end.set):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await end.wait()
                os.kill(os.getpid(), signal.SIGTERM)
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                        os.kill(os.getpid(), number)
                        await trio.testing.wait_all_tasks_blocked()
                torn_down = True
    assert torn_down


def test_holdings_are_looked_for_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            holdings = Holdings(pid=sleeper.pid, host="127.0.0.1", port=port, folder=tmp_path)
            left = holdings.freed().left
        finally:
            sleeper.kill()
            sleeper.wait()
    assert [what.split(" ")[0] for what in left] == ["process", "a", "the"]
    tmp_path.rmdir()
    after = holdings.freed()
    assert (after.processes, after.port, after.folders, after.left) == (1, port, 1, [])


def test_a_process_that_only_waits_to_be_reaped_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holdings = Holdings(pid=child.pid, host="127.0.0.1", port=None, folder=None)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert holdings.freed().left == []
    child.communicate()


def test_nothing_held_is_nothing_freed() -> None:
    freed = Holdings(pid=None, host="127.0.0.1", port=None, folder=None).freed()
    assert (freed.processes, freed.folders, freed.left) == (0, 0, [])


def test_a_pid_that_is_gone_already_counts_for_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert Holdings(pid=child.pid, host="127.0.0.1", port=None, folder=None).freed().processes == 0
