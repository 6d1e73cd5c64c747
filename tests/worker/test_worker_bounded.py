"""A worker that takes too much, says too much or ends early costs its own job, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import trio
from pydantic import TypeAdapter
from worker_fixtures import ANYTHING, Attacker, open_attacker

from preview.errors import AnalysisFailed, InvalidGeneration, TooComplex
from preview.worker import WorkerPool, WorkerReader
from preview.worker import pool as pool_module


async def works(attacker: Attacker) -> None:
    """The pool does the next job."""
    assert await attacker.run("answer = [1, 'two']") == [1, "two"]


async def no_workers_left(attacker: Attacker) -> None:
    """All but idle ones are gone."""
    with trio.fail_after(5):
        while len(psutil.Process(attacker.pool.server_pid).children()) > 2:  # noqa: ASYNC110  the kernel's news
            await trio.sleep(0.02)


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208  names alone


async def test_memory_is_bounded(attacker: Attacker) -> None:
    with pytest.raises(TooComplex, match="256 MiB") as raised:
        await attacker.run("x = bytearray(1 << 30)")
    assert raised.value.code == "too_complex"
    await works(attacker)


async def test_memory_that_is_taken_bit_by_bit_is_bounded(attacker: Attacker) -> None:
    with pytest.raises(TooComplex):
        await attacker.run("x = []\nwhile True: x.append('y' * 4096 + str(len(x)))")
    await works(attacker)


@pytest.mark.timed
@pytest.mark.parametrize(
    ("code", "most_s"),
    [
        ("while True: pass", 8),
        # Ten times its processor time by the clock: a loaded machine is slow, too.
        ("import time\nwhile True: time.sleep(1)", 20),
        ("import re; re.match('(a|a)*b', 'a' * 100)", 8),
        ("x = 10 ** 9_000_000; pow(x, x)", 8),
    ],
    ids=["loop", "sleep", "regular expression", "number"],
)
async def test_time_is_bounded(attacker: Attacker, code: str, most_s: float) -> None:
    await works(attacker)
    began = trio.current_time()
    with pytest.raises(TooComplex):
        await attacker.run(code)
    assert trio.current_time() - began < most_s
    await works(attacker)


async def test_the_kernel_bounds_the_processor_time(attacker: Attacker, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = await attacker.run("import resource; answer = resource.getrlimit(resource.RLIMIT_CPU)")
    assert limits == [2, 2]
    # The clock allows so much that only the kernel's limit ends it, however many others want the processor.
    monkeypatch.setattr(pool_module, "_WALL_FACTOR", 36)
    with pytest.raises(TooComplex, match=r"in 1\.5 s"):
        await attacker.run("while True: pass")


async def test_the_file_that_was_read_is_named(attacker: Attacker) -> None:
    with pytest.raises(TooComplex, match=r"app/big\.py is too complex") as raised:
        await attacker.run("context.progress.tell('app/big.py')\nwhile True: pass")
    assert raised.value.details["path"] == "app/big.py"


async def test_the_name_of_the_file_acts_on_no_terminal(attacker: Attacker) -> None:
    with pytest.raises(TooComplex) as raised:
        await attacker.run("context.progress.tell('\\x1b[2J\\n' + 'x' * 3000)\nwhile True: pass")
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 600


@pytest.mark.parametrize(
    "code",
    [
        "answer = 'x' * (3 << 20)",
        "while True: [os.write(n, b'x' * 65536) for n in range(3, 12) if w(n)]",
        "answer = eval('[' * 90 + ']' * 90)\nfor _ in range(3000): answer = [answer]",
    ],
    ids=["long", "endless", "deep"],
)
async def test_an_answer_is_bounded(attacker: Attacker, code: str) -> None:
    helper = (
        "import os, stat\n"
        "def w(n):\n"
        "    try: return stat.S_ISSOCK(os.fstat(n).st_mode)\n"
        "    except OSError: return False\n"
    )
    with pytest.raises((TooComplex, AnalysisFailed)):
        await attacker.run(helper + code)
    await works(attacker)


FORGED = [
    b"", b"nonsense", b"[]", b"null", b'{"ok"',
    b'{"error": {"code": "configuration_error", "message": "x", "details": {}}}',
    b'{"error": null}', b'{"error": {"code": []}}', b'{"ok": ' + b"[" * 100_000, b"\xff\xfe", b'{"ok": 1}{"ok": 2}',
]  # fmt: skip


async def test_a_forged_answer_is_none(attacker: Attacker) -> None:
    # One pool for all: its start takes a core for a second.
    for answer in FORGED:
        code = f"""
            import os, stat
            for number in range(3, 12):
                try:
                    if stat.S_ISSOCK(os.fstat(number).st_mode):
                        os.write(number, {answer!r})
                except OSError:
                    pass
            os._exit(0)
        """
        try:
            believed = await attacker.run(code)
        except AnalysisFailed:
            await works(attacker)
        else:
            pytest.fail(f"{answer[:80]!r} was believed: {believed}")


async def test_an_answer_of_another_shape_is_none(attacker: Attacker) -> None:
    with pytest.raises(AnalysisFailed):
        await attacker.pool.run("code", {"code": "answer = 'x'"}, TypeAdapter(int), directory=attacker.project)


async def test_a_worker_that_ends_fails_its_job_alone(attacker: Attacker) -> None:
    for code in ("os._exit(3)", "ctypes.string_at(0)", "os.abort()", "sys.exit(1)"):
        with pytest.raises(AnalysisFailed) as raised:
            await attacker.run(f"import ctypes, os, sys\n{code}")
        assert raised.value.code == "analysis_failed", code
        await works(attacker)


async def test_descriptors_are_bounded(attacker: Attacker) -> None:
    count = await attacker.run(
        """
        import os
        count = 0
        try:
            while True:
                os.open(context.project / "main.py", os.O_RDONLY)
                count += 1
        except OSError:
            answer = count
        """
    )
    assert count < 64


async def test_a_worker_is_killed_with_its_job(attacker: Attacker) -> None:
    await works(attacker)
    with trio.move_on_after(0.5) as scope:
        await attacker.run("while True: pass")
    assert scope.cancelled_caught
    await no_workers_left(attacker)
    await works(attacker)


async def test_nothing_is_left_when_the_pool_closes(project: Path) -> None:
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    descriptors = open_descriptors()
    async with open_attacker(project) as attacker:
        await works(attacker)
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    with trio.fail_after(5):
        while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in left):  # noqa: ASYNC110
            await trio.sleep(0.01)
    assert open_descriptors() <= descriptors


async def test_a_server_that_is_killed_is_started_again_and_the_job_is_done(attacker: Attacker) -> None:
    await works(attacker)
    async with trio.open_nursery() as nursery:
        found: list[object] = []

        async def ask() -> None:
            found.append(await attacker.run("import time; time.sleep(0.5); answer = 'slept'"))

        nursery.start_soon(ask)
        await trio.sleep(0.1)
        first = attacker.pool.server_pid
        assert first is not None
        workers = psutil.Process(first).children()
        os.kill(first, signal.SIGKILL)
        await trio.to_thread.run_sync(psutil.wait_procs, workers, 5)
        assert not any(one.is_running() for one in workers)
    assert found == ["slept"]
    assert attacker.pool.server_pid != first


async def test_a_server_that_is_killed_again_fails_the_job(attacker: Attacker) -> None:
    await works(attacker)

    async def kill() -> None:
        while True:
            await trio.sleep(0.05)
            if attacker.pool.server_pid is not None and attacker.pool.parts:
                os.kill(attacker.pool.server_pid, signal.SIGKILL)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill)
        with pytest.raises(AnalysisFailed, match="Try again"):
            await attacker.run("while True: pass")
        nursery.cancel_scope.cancel()
    await works(attacker)


async def test_a_job_says_its_own_errors(attacker: Attacker) -> None:
    code = "from preview.errors import InvalidGeneration\nraise InvalidGeneration('no \\x1b[2J app', path='x')"
    with pytest.raises(InvalidGeneration, match="app") as raised:
        await attacker.run(code)
    assert (raised.value.details, raised.value.message.isprintable()) == ({"path": "x"}, True)


async def test_many_jobs_at_once_are_all_done(project: Path) -> None:
    async with open_attacker(project, workers=2) as attacker, trio.open_nursery() as nursery:
        found: list[object] = []

        async def ask(number: int) -> None:
            found.append(await attacker.pool.run("code", {"code": f"answer = {number}"}, ANYTHING))

        for number in range(20):
            nursery.start_soon(ask, number)
    assert sorted(map(str, found)) == sorted(map(str, range(20)))


async def test_a_project_is_analysed_as_in_the_process_itself(attacker: Attacker) -> None:
    found = await WorkerReader(attacker.pool).analyse(attacker.project, None)
    assert str(found.plan.target) == "main:app"


class _Slow:
    """A connection to the server on which each call returns once its fork has come back."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._real = pool._server

    async def send(self, word: bytes) -> int:
        assert self._real is not None
        before = len(self._pool._idle)
        sent = await self._real.send(word)
        while len(self._pool._idle) == before:  # noqa: ASYNC110  the pool has no event for that
            await trio.sleep(0.001)
        return sent


async def test_a_fork_that_comes_before_the_call_returns_is_taken(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_REFILL_AFTER_S", 1000.0)
    await works(attacker)
    await works(attacker)
    while attacker.pool._idle:
        await works(attacker)
    slow = _Slow(attacker.pool)
    monkeypatch.setattr(attacker.pool, "_server", slow)
    with trio.fail_after(60):
        await works(attacker)
    monkeypatch.setattr(attacker.pool, "_server", slow._real)
