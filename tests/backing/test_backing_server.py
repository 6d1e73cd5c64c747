"""A server that was taken over: what it puts in place of its socket leads the service nowhere."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from preview.backing.admin.postgresql import PostgresqlLimits
from preview.backing.own import OwnLimits, OwnPostgresqlEngine
from preview.backing.postgresql import PostgresqlEngine
from preview.backing.server import Server, ServerUnavailable, _find_socket
from preview.backing.server_command import ServerCommand, make_folder, note_use
from preview.core.servers import Program
from preview.runtime import Limits, PlainRuntime, Runtime, boot_id

LIMITS = Limits(memory_bytes=1 << 30, open_files=256, processes=64, file_bytes=1 << 30)
# Puts a link to another service's socket in place of its own, then a folder, then a file; at last it ends.
LINKS = """
import os, sys, time
os.chdir(sys.argv[1])
os.symlink(sys.argv[2], "one.sock")
time.sleep(0.5)
print("cannot listen")
sys.exit(3)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "server"
    make_folder(ServerCommand("x", "X", (), made, "one.sock", LIMITS, 2))
    return made / "socket"


def opened(folder: Path) -> int | None:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        return _find_socket(descriptor, "one.sock")
    finally:
        os.close(descriptor)


def test_only_a_socket_of_the_folder_itself_is_taken(folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as own:
        other.bind(str(tmp_path / "o"))
        for put in (
            lambda path: path.symlink_to(tmp_path / "o"),
            lambda path: path.mkdir(),
            lambda path: path.write_text("x"),
            os.mkfifo,
        ):
            put(folder / "one.sock")
            assert opened(folder) is None
            (folder / "one.sock").rmdir() if (folder / "one.sock").is_dir() else (folder / "one.sock").unlink()
        assert opened(folder) is None
        own.bind(str(folder / "one.sock"))
        descriptor = opened(folder)
    assert descriptor is not None
    os.close(descriptor)


async def test_a_link_in_place_of_the_socket_is_no_server(tmp_path: Path) -> None:
    asked = []

    async def ready(_socket: object) -> bool:
        asked.append(1)
        return True

    with socket.socket(socket.AF_UNIX) as other, trio.fail_after(30):
        other.bind(str(tmp_path / "o"))
        other.listen()
        other.setblocking(False)
        made = tmp_path / "server"
        command = ServerCommand(
            "x",
            "X",
            ("/usr/bin/python3", "-c", LINKS, str(made / "socket"), str(tmp_path / "o")),
            made,
            "one.sock",
            LIMITS,
            2,
        )
        runtime: Runtime = PlainRuntime()
        server = Server(command, runtime, ready)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run)
            with pytest.raises(ServerUnavailable, match="exit code 3: cannot listen"):
                await server.connected()
            nursery.cancel_scope.cancel()
        assert asked == []
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "ended"])
async def test_the_files_of_a_server_whose_service_was_killed_are_gone_at_the_next_start(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, is_killed: bool
) -> None:
    # The server itself starts at first need: fifty previews would leave their databases on the disk until then.
    command = ServerCommand("x", "X", (), tmp_path / "server", "one.sock", LIMITS, 2, prepare=("true",))
    make_folder(command)
    (command.folder / "of a preview").touch()
    note_use(command, boot_id() if is_killed else "")

    async def ready(_socket: object) -> bool:
        raise AssertionError("it is not wanted")

    with trio.move_on_after(1):
        await Server(command, PlainRuntime(), ready).run()
    assert command.folder.exists() is not is_killed
    assert command.prepared.exists() is not is_killed


async def test_what_a_service_that_ended_has_left_of_previews_own_servers_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "own" / "one-1" / "server" / "data"
    left.mkdir(parents=True)
    (left / "link").symlink_to(tmp_path)
    limits = OwnLimits(LIMITS, 5, 30, 1 << 30)
    program = Program(Path("/usr/bin/false"), "Broken")
    engine = OwnPostgresqlEngine(program, tmp_path / "own", limits, PlainRuntime(), kept=tmp_path / "kept")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.run)
        with trio.fail_after(10):
            while (tmp_path / "own" / "one-1").exists():  # noqa: ASYNC110  a thread removes it
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert os.listdir(tmp_path) == ["own"]  # noqa: PTH208


async def test_a_session_that_is_cancelled_at_its_first_message_leaves_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(Path("/usr/bin/false"), "Broken")
    engine = PostgresqlEngine(program, tmp_path, PostgresqlLimits(64, 5, 30, 0), PlainRuntime())
    ours, theirs = (trio.SocketStream(one) for one in trio.socket.socketpair())

    async def connect() -> trio.SocketStream:
        return ours

    monkeypatch.setattr(engine, "connect", connect)
    async with theirs:
        with trio.CancelScope() as scope:
            scope.cancel()
            await engine.begin(theirs, b"first", "pv_one")
        assert scope.cancelled_caught
        assert ours.socket.fileno() == -1
