"""Anything said in place of a fork's words, by anybody, with any descriptors: the service touches its own forks alone.

Of templates, and of snapshots; for a service that is root, with control groups, and for an ordinary user's. Some
hundred exchanges of each by default; ``PREVIEW_TEST_EXCHANGES`` says how many, and ``PREVIEW_TEST_SEED`` which ones.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from cgroups_support import MIB, open_tree
from runtime_kit import LIMITS, open_descriptors

from preview.runtime import NoSnapshot, ProcessSpec, inbound
from preview.runtime.cgroups import Cgroup, CgroupTree, enter_prefix
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import NotVerified, OpenProcess, verify
from preview.runtime.process.process import open_tree as open_tree_of
from preview.runtime.warm.forks.forking import ForkRequest, NotForked, expect_word
from preview.runtime.warm.forks.process import Fork, ForkedProcess
from preview.runtime.warm.forks.snapshot import ParkedApplication, ParkedOnce, wait_parked
from preview.runtime.warm.origin import SnapshotOrigin, TemplateOrigin, claim_application, open_world
from preview.runtime.warm.packets import open_pair, send
from preview.runtime.warm.template_process import Template, Told

EXCHANGES = int(os.environ.get("PREVIEW_TEST_EXCHANGES", "400"))
SEED = int(os.environ.get("PREVIEW_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
PROGRAM = Path(__file__).with_name("fuzz_template.py")
# No option of a socket has this number: as on a kernel that cannot refuse descriptors at the sender.
PASSRIGHTS = (inbound._SO_PASSRIGHTS, 9999)
WORDS = (
    b"here",
    b"app",
    b"in",
    b"go",
    b"f",
    b"",
    b"\0",
    b'{"status": 0}',
    b'{"error": "\x1b[2J"}',
    b'{"parked": true}',
)
KINDS = ("", "", "", "service", "init", "parent", "itself", "memory", "pipe", "epoll", "sockets", "channel", "many")
SPEC = ProcessSpec("preview_fuzz", ["python", "launcher"], Path("/"), {}, None, LIMITS, slot=1)
OWN_USER = (os.geteuid(), os.getegid())
# Who says nothing more is waited for no longer.
_PATIENCE_S = 0.05


@dataclass
class Stage:
    """What a fuzzed service has: a template, a preview's group, and processes that are none of that preview's.

    Attributes:
        template: Its forks may be given to the preview.
        orders: Says to the template's process what to say.
        group: The preview's; None without control groups, as everything of them.
        strangers: Processes that are never to be touched: a neighbour's, the template, a fork that another preview has.
    """

    template: Template
    orders: socket.socket
    group: Cgroup | None
    strangers: dict[str, int]
    tree: CgroupTree | None


def step(
    chance: random.Random, senders: Sequence[int], word: bytes | None = None, *, is_honest: bool = False
) -> dict[str, Any]:
    """One message: an honest one where a word is given, and mostly so even then."""
    if word is not None and (is_honest or chance.random() < 0.7):
        return {"word": word.hex(), "descriptors": "", "sender": 0, "pause_s": 0}
    said = chance.choice((*WORDS, chance.randbytes(chance.choice((1, 40, 5000)))))
    pause_s = chance.choice((0, 0, 0, 0.001))
    return {
        "word": said.hex(),
        "descriptors": chance.choice(KINDS),
        "sender": chance.choice(senders),
        "pause_s": pause_s,
    }


def script(chance: random.Random, stage: Stage, *, is_snapshot: bool = False) -> dict[str, Any]:
    # Within a namespace other processes cannot be named as the sender: these are the snapshot's own.
    inside = [number for pid in stage.strangers.values() for number in proctree.namespace_pids(pid)[1:2]]
    others = (1, os.getpid(), os.getppid(), 2**22 - 1, *stage.strangers.values(), *inside)
    senders = (0, 0, 0, 1, 2, 3) if is_snapshot else (0, 0, *others)

    # One in ten says all as it should, and so comes to the last look at it.
    is_honest = chance.random() < 0.1

    def further() -> list[dict[str, Any]]:
        if is_honest:
            return []
        return [step(chance, senders) for _ in range(chance.choice((0, 0, 0, 1, 3)))]

    # A fork of a snapshot has one word to say, and is of the snapshot's namespace where it does as it should.
    word = b"app" if is_snapshot else b"here"
    second = [*further(), step(chance, senders, b"app", is_honest=is_honest), *further()]
    return {
        "is_honest": is_honest,
        "is_snapshot": is_snapshot and chance.random() < 0.8,
        "is_apart": chance.random() < 0.5,
        "suspended": [],
        "itself": further(),
        "first": [*further(), step(chance, senders, word, is_honest=is_honest), *further()],
        "second": None if not is_honest and chance.random() < 0.2 else second,
        "waits": is_honest or chance.random() < 0.2,
        "stays": is_honest or chance.random() < 0.3,
        "life_s": 2,
    }


def give(orders: socket.socket, channel: socket.socket, said: dict[str, Any]) -> None:
    socket.send_fds(orders, [json.dumps(said).encode()], [channel.fileno()])


@contextmanager
def running(command: list[str], theirs: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    with theirs, subprocess.Popen(command, pass_fds=[theirs.fileno()]) as program:
        theirs.close()
        try:
            yield program
        finally:
            program.kill()


@contextmanager
def sleeping(group: Cgroup | None) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the group that ends by itself only after any run of this."""
    prefix = [] if group is None else enter_prefix(group.entry_files)
    with subprocess.Popen([*prefix, "sleep", "infinity"]) as program:
        try:
            yield program
        finally:
            program.kill()


def own_groups() -> str:
    return Path("/proc/self/cgroup").read_text(encoding="utf-8")


def everybody() -> list[int]:
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal()]


@asynccontextmanager
async def opened(tree: CgroupTree, name: str) -> AsyncIterator[Cgroup]:
    async with tree.open(name, memory_bytes=256 * MIB, cpu_cores=2, processes=512) as group:
        yield group


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as held:
        tree, group, born_in, others = None, None, None, None
        # Root of a user namespace may name each process that it sees as the sender.
        alone = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() == 0:
            tree = await held.enter_async_context(open_tree(tmp_path / "data"))
            group, born_in, others = [
                await held.enter_async_context(opened(tree, name))
                for name in ("preview_fuzz", "template-fuzz", "other")
            ]
            alone = enter_prefix(born_in.entry_files)
        orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        held.enter_context(orders)
        command = [*alone, sys.executable, "-I", "-S", str(PROGRAM), str(theirs.fileno())]
        program = held.enter_context(running(command, theirs))
        assert await trio.to_thread.run_sync(orders.recv, 16) == b"ready"
        neighbour = held.enter_context(sleeping(others))
        (itself,) = proctree.descendants(program.pid) or [program.pid]
        world = open_world(itself)
        held.callback(os.close, world)
        origin = TemplateOrigin(born_in, world, frozenset())
        template = Template(orders, Told(1, frozenset(), {}, 1), origin)
        strangers = {"neighbour": neighbour.pid, "template": itself, "wrapper": program.pid}
        found = Stage(template, orders, group, strangers, tree)
        given = await another_previews(found)
        held.callback(given.close)
        held.callback(given.kill)
        found.strangers["given"] = given.pid
        yield found


async def another_previews(stage: Stage) -> OpenProcess:
    """A fork that another preview has already, in the template's group still."""
    honest = {"word": b"here".hex(), "descriptors": "", "sender": 0, "pause_s": 0}
    said = {
        "is_honest": False, "is_snapshot": False, "is_apart": False, "itself": [], "first": [honest], "second": None,
        "suspended": [], "waits": False, "stays": True, "life_s": 86_400,
    }  # fmt: skip
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        inbound.seal(ours)
        give(stage.orders, theirs, said)
        await trio.lowlevel.wait_readable(ours)
        sender = inbound.receive_now(ours, 64).sender
    return stage.template.origin.claim_first(sender, user=OWN_USER, own_user=False)


async def exchange(stage: Stage, said: dict[str, Any]) -> str:
    """One fork, as the runtime asks for it, and gives it up; what came of it."""
    with closing(ForkRequest(stage.template, own_user=False)) as request:
        give(stage.orders, request.theirs, said)
        request.theirs.close()
        os.close(request.printed)
        with trio.move_on_after(_PATIENCE_S):
            try:
                await request.enter(SPEC, stage.group)
            except NotForked as error:
                return str(error)
            return "entered"
    return "silent"


async def test_whatever_is_said_no_process_but_a_fork_is_moved_or_killed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(SEED)
    print(f"PREVIEW_TEST_SEED={SEED}")
    own = own_groups()
    identities = {name: proctree.identify(pid) for name, pid in stage.strangers.items()}
    before, outcomes = open_descriptors(), Counter[str]()
    for number in range(EXCHANGES):
        monkeypatch.setattr(inbound, "_SO_PASSRIGHTS", chance.choice(PASSRIGHTS))
        with trio.fail_after(60):
            outcomes[(await exchange(stage, script(chance, stage)))[:40]] += 1
        for name, identity in identities.items():
            assert identity is not None
            assert proctree.is_alive(identity), (SEED, number, name)
        assert own_groups() == own, (SEED, number)
        moved = [] if stage.group is None else stage.group.pids()
        assert not {os.getpid(), *stage.strangers.values()} & set(moved), (SEED, number)
        # What is in there is in a namespace that a fork has made (or has ended since): nothing else was moved.
        assert all(len(proctree.namespace_pids(pid)) != 1 for pid in moved), (SEED, number)
    with trio.fail_after(60):
        # Descriptors that were sent are closed in threads.
        while not open_descriptors() <= before:  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.005)
    print(EXCHANGES, outcomes.most_common(20))
    # A fuzzer that never gets past the first word finds nothing.
    assert any("held" in one or "ended, because" in one for one in outcomes), outcomes


async def test_no_process_of_the_machine_can_be_claimed_but_a_fork_of_its_own(stage: Stage) -> None:
    """Each process that runs here, named by a template, by a fork's first process, and by a snapshot."""
    origin = stage.template.origin
    with closing(await another_previews(stage)) as first, closing(await another_previews(stage)) as second:
        claims: list[Callable[[int], OpenProcess]] = [
            lambda pid: origin.claim_first(pid, user=OWN_USER, own_user=False),
            lambda pid: claim_application(pid, first, stage.group),
        ]
        if stage.group is not None:
            claims.append(SnapshotOrigin(first, second, stage.group).claim)
        for pid in (*everybody(), -1, 0, 2**22):
            for claim in claims:
                with pytest.raises(NotVerified):
                    claim(pid)
        for one in (first, second):
            one.kill()


@asynccontextmanager
async def open_suspended(stage: Stage, said: dict[str, Any]) -> AsyncIterator[ForkedProcess]:
    """A fork of the template that has told who it is, and says anything from there on."""
    with ExitStack() as held:
        ours, theirs = held.enter_context(open_pair())
        give(stage.orders, theirs, said)
        theirs.close()
        sender = await expect_word(ours, b"here")
        first = held.enter_context(closing(stage.template.origin.claim_first(sender, user=OWN_USER, own_user=False)))
        held.callback(first.kill)
        await send(ours, b"in")
        application = held.enter_context(closing(claim_application(await expect_word(ours, b"app"), first, None)))
        output, printed = os.pipe2(os.O_CLOEXEC)
        os.close(printed)
        process = ForkedProcess(Fork(first, application, ours), trio.lowlevel.FdStream(output), SPEC, None)
        async with open_tree_of(process, SPEC):
            yield process


async def serve_once(stage: Stage, said: dict[str, Any]) -> str:
    """Return whether one suspended application serves, or why it does not."""
    async with open_suspended(stage, said) as process:
        try:
            await wait_parked(process, _PATIENCE_S)
            async with ParkedOnce(process).open_process(SPEC) as served:
                await served.stop(0.0)
                return f"served: {await served.wait()}"
        except (NotForked, NoSnapshot) as error:
            return str(error)


async def test_whatever_a_suspended_application_says_it_alone_is_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(SEED)
    print(f"PREVIEW_TEST_SEED={SEED}")
    identities = {name: proctree.identify(pid) for name, pid in stage.strangers.items()}
    before, outcomes, own = open_descriptors(), Counter[str](), own_groups()
    # Half of them wait for something that is not said.
    for number in range(EXCHANGES // 2):
        monkeypatch.setattr(inbound, "_SO_PASSRIGHTS", chance.choice(PASSRIGHTS))
        said = suspended_script(chance, stage)
        with trio.fail_after(60):
            outcomes[(await serve_once(stage, said))[:40]] += 1
        for name, identity in identities.items():
            assert identity is not None
            assert proctree.is_alive(identity), (SEED, number, name)
        assert own_groups() == own, (SEED, number)
    with trio.fail_after(60):
        while not open_descriptors() <= before:  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.005)
    print(EXCHANGES, outcomes.most_common(20))
    assert any(one.startswith("served") for one in outcomes), outcomes
    assert any(not one.startswith("served") for one in outcomes), outcomes


def suspended_script(chance: random.Random, stage: Stage) -> dict[str, Any]:
    """Honest until it is suspended; what it says then, and once it is to serve."""
    said = script(chance, stage)
    senders = (0, 0, 1, 2, 3, *stage.strangers.values())
    honest = {"descriptors": "", "sender": 0, "pause_s": 0}
    suspended = [step(chance, senders, chance.choice((b'{"parked": true}', None)))]
    suspended += [step(chance, senders) for _ in range(chance.choice((0, 0, 1, 3)))]
    at_its_end = [step(chance, senders, b'{"status": 1792}') for _ in range(chance.choice((0, 1, 2)))]
    return {
        **said,
        "is_honest": True,
        "itself": [],
        "first": [{**honest, "word": b"here".hex()}],
        "second": [{**honest, "word": b"app".hex()}],
        "suspended": [suspended, at_its_end],
        "waits": chance.random() < 0.5,
        # Otherwise the end of the first process ends the application before it has said who it is.
        "stays": True,
    }


class FuzzedSnapshot(ParkedApplication):
    """A snapshot whose forks say what a script says.

    Args:
        orders: Says to its process what to say.
        itself: That process: it is its namespace's first one.
        group: Its control group.
        tree: Has it.
    """

    def __init__(self, orders: socket.socket, itself: OpenProcess, group: Cgroup, tree: CgroupTree) -> None:
        process: Any = SimpleNamespace(as_origin=lambda: SnapshotOrigin(itself, itself, group))
        super().__init__(process, tree, SPEC)
        self._orders = orders
        self.said: dict[str, Any] = {}

    async def _ask(self, held: AsyncExitStack, *, is_ahead: bool) -> socket.socket:
        await trio.lowlevel.checkpoint()
        ours, theirs = held.enter_context(open_pair())
        with theirs:
            give(self._orders, theirs, self.said)
        return ours


@asynccontextmanager
async def open_snapshot(stage: Stage) -> AsyncIterator[FuzzedSnapshot]:
    """A preview's snapshot, in a namespace and a group of its own; its process is never to be touched either."""
    if stage.tree is None:
        pytest.skip("a snapshot forks in control groups alone, which an ordinary user may not make here")
    async with AsyncExitStack() as held:
        group = await held.enter_async_context(opened(stage.tree, "preview_parked"))
        orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        held.enter_context(orders)
        apart = ["unshare", "--pid", "--fork", "--kill-child"]
        command = [*enter_prefix(group.entry_files), *apart, sys.executable, "-I", "-S", str(PROGRAM)]
        program = held.enter_context(running([*command, str(theirs.fileno())], theirs))
        assert await trio.to_thread.run_sync(orders.recv, 16) == b"ready"
        (pid,) = proctree.descendants(program.pid)
        itself = verify(pid, lambda _: None)
        held.callback(itself.close)
        stage.strangers |= {"parked": pid, "wrapper": program.pid}
        yield FuzzedSnapshot(orders, itself, group, stage.tree)


async def restart(snapshot: FuzzedSnapshot, number: int) -> tuple[str, set[int]]:
    """One fork for a restart, as the runtime asks for it, and gives it up; what came of it, and what was moved."""
    with trio.move_on_after(_PATIENCE_S):
        try:
            waiting = await snapshot._fork(replace(SPEC, preview_id=f"preview_fuzz-{number}"))
        except NotForked as error:
            return str(error), set()
        moved = set(waiting.group.pids())
        with trio.CancelScope(shield=True):
            await waiting.held.aclose()
        return "entered", moved
    return "silent", set()


async def test_whatever_a_snapshot_says_no_process_but_a_fork_of_it_is_moved_or_killed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(SEED)
    print(f"PREVIEW_TEST_SEED={SEED}")
    own, outcomes = own_groups(), Counter[str]()
    async with open_snapshot(stage) as snapshot:
        identities = {name: proctree.identify(pid) for name, pid in stage.strangers.items()}
        groups = {name: groups_of(pid) for name, pid in stage.strangers.items()}
        inside = world_of(stage.strangers["parked"])
        before = open_descriptors()
        for number in range(EXCHANGES):
            monkeypatch.setattr(inbound, "_SO_PASSRIGHTS", chance.choice(PASSRIGHTS))
            snapshot.said = script(chance, stage, is_snapshot=True)
            with trio.fail_after(60):
                outcome, moved = await restart(snapshot, number)
            outcomes[outcome[:40]] += 1
            for name, identity in identities.items():
                assert identity is not None
                assert proctree.is_alive(identity), (SEED, number, name)
                assert groups_of(identity.pid) == groups[name], (SEED, number, name)
            assert own_groups() == own, (SEED, number)
            assert all(world_of(pid) in {inside, None} for pid in moved), (SEED, number)
        with trio.fail_after(60):
            while not open_descriptors() <= before:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.005)
    print(EXCHANGES, outcomes.most_common(20))
    assert outcomes["entered"], outcomes
    assert sum("it names a process" in one for one in outcomes), outcomes


def groups_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")


def world_of(pid: int) -> str | None:
    """The namespace of processes that it is in; None where it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None
