"""Parts of containers without an engine: checks inside, process limits, private networks, and lists of users."""

from __future__ import annotations

import base64
import errno
import importlib.util
import io
import json
import os
import socket
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import trio
from runtime_kit import open_descriptors

from preview.core.lifecycle import CheckFault
from preview.environments import HealthCheck
from preview.errors import LaunchFailed
from preview.runtime.container import Engine, EngineError
from preview.runtime.container.contents import Contents, ImageContents, _first_text, own_users
from preview.runtime.container.joining import JOIN
from preview.runtime.container.network import open_private_network, remove_networks
from preview.runtime.container.process import ContainerProcess, _read_some
from preview.runtime.container.runtime import ContainerRuntime
from preview.runtime.kernel.linux import memory_file
from preview.runtime.run_image import Checked, RunImage, RunNetwork
from preview.supervisor.process.health_checks import run_health_checks


@contextmanager
def check_of_first_process() -> Iterator[tuple[ModuleType, Any, socket.socket, socket.socket]]:
    """Yield the module of a container's first process, its check, and both ends of the connection."""
    found = importlib.util.spec_from_file_location("preview_join_under_test", JOIN)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    service, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with service, own:
        yield module, module.Check(), service, own


@pytest.mark.parametrize(
    ("failing", "error"),
    [("fork", BlockingIOError(errno.EAGAIN, "busy")), ("fork", MemoryError()), ("lseek", OSError(errno.EIO, "x"))],
)
def test_a_check_that_cannot_be_started_does_not_end_the_container(
    monkeypatch: pytest.MonkeyPatch, failing: str, error: Exception
) -> None:
    def fail(*_: object) -> int:
        raise error

    before = open_descriptors()
    with check_of_first_process() as (_, check, service, own):
        result, told = os.pipe()
        reading, writing = os.pipe()
        with memory_file(json.dumps({"within_s": 5}).encode()) as packed:
            socket.send_fds(service, [b"check"], [packed, told, writing])
        os.close(told)
        os.close(writing)
        monkeypatch.setattr(os, failing, fail)
        check.start(own, None)
        monkeypatch.undo()
        # All ends of the first process are closed: both pipes end.
        assert (os.read(result, 100), os.read(result, 100)) == (b"127", b"")
        assert os.read(reading, 1000).startswith(b"cannot be run: ")
        assert os.read(reading, 100) == b""
        assert check.pid == 0
        os.close(result)
        os.close(reading)
    assert open_descriptors() <= before


@pytest.mark.parametrize("sent", [1, 3])
def test_descriptors_of_an_order_that_cannot_be_read_are_closed(sent: int) -> None:
    with check_of_first_process() as (_, check, service, own):
        reading, writing = os.pipe()
        with memory_file(b"[" * 10) as packed:
            socket.send_fds(service, [b"check"], [*([packed] if sent > 1 else []), *[writing] * (sent - (sent > 1))])
        os.close(writing)
        check.start(own, None)
        while os.read(reading, 1000):
            pass
        os.close(reading)


@pytest.mark.parametrize(
    ("limited", "own_users", "expected"), [(True, True, 2 * 259 + 64), (False, True, 259), (True, False, None)]
)
def test_containers_of_one_user_may_have_all_processes_of_the_preview_together(
    limited: bool, own_users: bool, expected: int | None
) -> None:
    limits = frozenset({"processes"} if limited else ())
    parts = SimpleNamespace(engine=None, doors=Path("/nowhere"), habits=SimpleNamespace(limits=limits))
    runtime = ContainerRuntime(cast("Any", parts), cast("Any", SimpleNamespace(own_users=own_users)))
    spec: Any = SimpleNamespace(limits=SimpleNamespace(processes=32), image=None)
    alone = runtime._process_limit(spec)
    spec.image = replace(RunImage("x"), network=RunNetwork("n", "198.18.0.2", {}, 259))
    together = runtime._process_limit(spec)
    assert together > alone
    assert expected is None or together == expected


class FalseEngine(Engine):
    """An engine's networks, and what it answers."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.networks: set[str] = set()
        self.refusals: list[Exception] = []
        self.created = self.removed = 0
        self.takes_s = 0.0
        self.creating = trio.Event()
        self.appears_later = False

    async def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
        if method == "GET":
            return [{"Name": name} for name in self.networks]
        if method == "POST":
            assert body is not None
            name = str(body["Name"])
            self.creating.set()
            self.created += 1
            await trio.sleep(self.takes_s)
            if self.appears_later:
                raise EngineError("the engine has not answered")
            if self.refusals:
                raise self.refusals.pop(0)
            self.networks.add(name)
            return {}
        self.removed += 1
        name = path.rpartition("/")[2]
        if self.appears_later and self.removed == 3:
            self.networks.add(name)
        if name not in self.networks:
            raise EngineError("no such network", 404)
        if self.refusals:
            raise self.refusals.pop(0)
        self.networks.discard(name)
        return None


async def test_a_launch_cancelled_while_its_network_is_made_leaves_none(autojump_clock: trio.testing.MockClock) -> None:
    engine = FalseEngine()
    engine.takes_s = 2
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel() -> None:
                await engine.creating.wait()
                scope.cancel()

            nursery.start_soon(cancel)
            async with open_private_network(engine, "d", "p"):
                pytest.fail("it was cancelled")
    assert (engine.created, engine.networks) == (1, set())


async def test_a_network_that_appears_after_its_request_failed_is_removed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    engine = FalseEngine()
    engine.appears_later = True
    with pytest.raises(LaunchFailed, match="has not answered"):
        async with open_private_network(engine, "d", "p"):
            pytest.fail("there is none")
    assert (engine.removed, engine.networks) == (3, set())


@pytest.mark.parametrize(
    ("refusal", "tries"),
    [
        (EngineError("plugin not found", 404), 1),
        (EngineError("server error", 500), 1),
        (EngineError("Pool overlaps with other one on this address space", 403), 2),
        (EngineError("subnet 198.18.0.0/28 is already used on the host or by another config", 500), 2),
        (OSError(errno.EMFILE, "too many open files"), 2),
    ],
)
async def test_only_an_overlap_or_want_of_descriptors_is_tried_again(
    autojump_clock: trio.testing.MockClock, refusal: Exception, tries: int
) -> None:
    engine = FalseEngine()
    engine.refusals = [refusal]
    try:
        async with open_private_network(engine, "d", "p") as network:
            assert network.name in engine.networks
            engine.refusals = [OSError(errno.EMFILE, "too many open files")]
    except LaunchFailed:
        assert tries == 1
    assert (engine.created, engine.networks) == (tries, set())


async def test_networks_that_the_engine_does_not_remove_delay_no_other(autojump_clock: trio.testing.MockClock) -> None:
    class Stubborn(FalseEngine):
        async def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> object:
            if method == "DELETE" and not path.endswith("-last"):
                raise EngineError("it has active endpoints", 403)
            return await super().call(method, path, body)

    engine = Stubborn()
    engine.networks = {*(f"n{number}" for number in range(100)), "n-last"}
    began = trio.current_time()
    await remove_networks(engine, "d")
    assert trio.current_time() - began <= 31


def archive_of(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        one = tarfile.TarInfo("app/file")
        one.size = len(content)
        archive.addfile(one, io.BytesIO(content))
    return packed.getvalue()


class EngineOfImages(Engine):
    """An engine with images that have a working folder with one file."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.fault: EngineError | None = None
        self.reads = 0

    @asynccontextmanager
    async def open_download(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        if self.fault is not None:
            raise self.fault

        async def pieces() -> AsyncIterator[bytes]:
            yield archive_of(b"content")

        self.reads += 1
        yield pieces()

    async def head(self, path: str) -> Mapping[bytes, bytes] | None:
        stat = base64.b64encode(json.dumps({"mode": 1 << 31}).encode())
        return {b"x-docker-container-path-stat": stat}


@asynccontextmanager
async def unused() -> AsyncIterator[str]:
    yield "c"


async def contents_of(contents: ImageContents, number: int = 0) -> Contents:
    return await contents.of(RunImage(f"image{number}", directory="/app"), 1 << 20, [], unused)


async def test_a_refusal_of_the_engine_is_no_fact_of_the_image(tmp_path: Path) -> None:
    engine = EngineOfImages()
    contents = ImageContents(engine, tmp_path)
    engine.fault = EngineError("it is being paused", 500)
    refused = await contents_of(contents)
    assert (refused.folder, refused.reason) == ("", "it is being paused")
    engine.fault = None
    found = await contents_of(contents)
    again = await contents_of(contents)
    assert (found.folder, again.folder, engine.reads) == ("/app", "/app", 2)
    for one in (found, again):
        assert one.opened is not None
        one.opened.close()


async def test_a_missing_folder_is_a_fact_of_the_image(tmp_path: Path) -> None:
    engine = EngineOfImages()
    contents = ImageContents(engine, tmp_path)
    engine.fault = EngineError("no such file", 404)
    assert (await contents_of(contents)).reason == "no such file"
    engine.fault = None
    assert (await contents_of(contents)).reason == "no such file"


async def test_a_start_has_its_archive_also_after_many_other_images(tmp_path: Path) -> None:
    contents = ImageContents(EngineOfImages(), tmp_path)
    first = await contents_of(contents)
    for number in range(1, 12):
        other = (await contents_of(contents, number)).opened
        assert other is not None
        other.close()
    assert first.archive is not None
    assert not first.archive.exists()
    assert first.opened is not None
    assert first.opened.read() == archive_of(b"content")
    first.opened.close()
    assert len(contents._known) == 8


async def test_output_of_a_check_is_read_slowly(autojump_clock: trio.testing.MockClock) -> None:
    class Endless(trio.abc.ReceiveStream):
        count = 0

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            await trio.lowlevel.checkpoint()
            self.count += 1
            return b"y" * (max_bytes or 1)

        async def aclose(self) -> None:
            pass

    stream, said = Endless(), bytearray()
    with trio.move_on_after(10):
        await _read_some(stream, said)
    assert stream.count < 1100
    assert len(said) <= 4096


async def test_a_check_without_a_free_descriptor_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[int, int]] = []
    pipe2 = os.pipe2

    def pipe(flags: int) -> tuple[int, int]:
        if made:
            raise OSError(errno.EMFILE, "too many open files")
        made.append(pipe2(flags))
        return made[0]

    monkeypatch.setattr(os, "pipe2", pipe)
    process: Any = object.__new__(ContainerProcess)
    with pytest.raises(OSError, match="too many"):
        await process._start_check(None)
    monkeypatch.undo()
    for one in made[0]:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(one)


async def test_health_checks_go_on_without_a_descriptor_and_end_with_their_own_fault(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Process:
        count = 0

        async def check(self, argv: Sequence[str], directory: str, within_s: float) -> Checked:
            self.count += 1
            if self.count == 1:
                raise OSError(errno.EMFILE, "too many open files")
            return Checked(1, "sick")

    preview: Any = SimpleNamespace(id="p", check_fault=None)
    health = HealthCheck(("false",), interval_s=5.0, timeout_s=1.0, retries=1, start_s=0.0)
    with trio.move_on_after(7):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_health_checks, preview, Process(), health, "/")
            await trio.sleep(6)
            assert "sick" in preview.check_fault.reason
            # The fault of the process that takes over stays when this one ends.
            preview.check_fault = other = CheckFault(preview.check_fault.reason)
            nursery.cancel_scope.cancel()
    assert preview.check_fault is other


def test_a_list_of_users_in_another_alphabet_can_be_written() -> None:
    packed = io.BytesIO()
    content = "root:x:0:0:root:/root:/bin/sh\napp:x:7:7:Émile Ω:/srv/app:/bin/sh\n".encode()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        one = tarfile.TarInfo("passwd")
        one.size = len(content)
        archive.addfile(one, io.BytesIO(content))
    users, home = own_users(_first_text(packed), "app", "1234:1234")
    assert users.isascii()
    assert users.startswith("app:x:1234:1234:")
    assert home == "/srv/app"
