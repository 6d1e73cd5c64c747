"""What a sandboxed program sees, and may write, of files, processes and the network: what it was given, no more."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sandbox_programs as programs
import trio
from engine_kit import is_gvisor
from runtime_fixtures import starter
from runtime_kit import LIMITS, Start, outside, read_all, read_line

from preview.core.isolation import Network
from preview.runtime import FD_PLACEHOLDER, Runtime, SandboxRuntime, bind_in_range
from preview.runtime.kernel import proctree
from preview.runtime.sandbox.users import give, users_here

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only a service that runs as root gives users of their own")


def own_user(port: int) -> int:
    users = users_here()
    assert users is not None
    return users.of(port)


@pytest.fixture
def inner_user(cage: str, listener: socket.socket) -> int:
    """The program's user as it is told itself: a container has no user namespace of its own."""
    if cage != "container":
        return 1000
    return own_user(listener.getsockname()[1]) if os.geteuid() == 0 else os.geteuid()


def owner(path: Path) -> int:
    return path.lstat().st_uid


def everything_in(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]


@pytest.fixture
async def seen(start_caged: Start, project: Path) -> dict[str, Any]:
    """What the program has found when it looked around."""
    (project.parent / "of-another-preview").mkdir()
    async with start_caged(programs.LOOK) as process:
        found = json.loads(await read_all(process))
    assert isinstance(found, dict)
    return found


async def test_of_the_folders_beside_its_own_none_is_there(seen: dict[str, Any], project: Path) -> None:
    assert seen["siblings"] == [project.name]


async def test_of_etc_there_is_what_libraries_look_up(seen: dict[str, Any]) -> None:
    assert {"passwd", "group", "hosts"} <= set(seen["etc"])
    assert {"shadow", "sudoers", "ssh", "machine-id", "crontab", "environment"}.isdisjoint(seen["etc"])


async def test_of_devices_there_are_the_harmless_ones(seen: dict[str, Any]) -> None:
    harmless = {"core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty"}
    # Engines mount a mqueue of the container's own.
    # gVisor's own kernel has two more, which answer to nobody without capabilities.
    gvisors = {"fuse", "net"} if is_gvisor() else set()
    assert set(seen["dev"]) <= harmless | {"urandom", "zero", "console", "mqueue"} | gvisors


async def test_it_writes_into_its_own_folder_and_into_memory_only(seen: dict[str, Any], project: Path) -> None:
    # Whoever is forked owns what leads to its folder in a /tmp that is its own.
    leading = {str(parent) for parent in project.parents} - {"/tmp"}
    writable = {path for path in seen["writable"] if path not in leading}
    assert writable - {"/dev/mqueue"} == {"/dev/shm", "/tmp", str(project)}


async def test_its_folder_is_shown_at_another_path_too(start_caged: Start, cage: str, project: Path) -> None:
    if cage != "sandbox":
        pytest.skip("an image has its own files, and a template shows no others")
    write = "import pathlib; one = pathlib.Path('/srv/shop'); (one / 'new').write_text('x'); print(one.resolve())"
    async with start_caged(write, links={Path("/srv/shop"): project}) as process:
        assert await read_all(process) == f"{project}\n"
    assert (project / "new").read_text() == "x"


async def test_a_folder_is_shown_at_another_path_read_only(
    start_caged: Start, cage: str, project: Path, tmp_path: Path
) -> None:
    if cage == "warm":
        pytest.skip("a template shows no others")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "one").write_text("a tool\n")
    look = (
        "import pathlib; one = pathlib.Path('/run/tools/one'); print(one.read_text(), end='')\n"
        "try: one.write_text('mine')\n"
        "except OSError as error: print(error.strerror)"
    )
    placed = {Path("/run/tools"): tmp_path / "tools"}
    async with start_caged(look, placed=placed) as process:
        assert await read_all(process) == "a tool\nRead-only file system\n"


async def test_no_process_outside_is_in_sight(seen: dict[str, Any]) -> None:
    # The first process, and the program; an engine's runtime has used up some numbers before.
    assert seen["processes"][0] == 1
    # In gVisor the bridge's too.
    assert len(seen["processes"]) <= 2 + is_gvisor()


async def test_it_is_another_user_without_any_capability(seen: dict[str, Any], inner_user: int) -> None:
    assert seen["user"][:3] == [inner_user] * 3
    assert set(seen["user"][3]) <= {inner_user, 65534}
    assert seen["capabilities"] == [0] * 5


async def test_system_calls_are_filtered(seen: dict[str, Any]) -> None:
    # 2: SECCOMP_MODE_FILTER (proc(5))
    assert seen["seccomp"] == 2


async def test_the_machines_name_is_not_told(seen: dict[str, Any]) -> None:
    assert seen["host"] == "preview"


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
async def test_file_systems_in_memory_take_what_they_are_allowed(start_caged: Start, folder: str) -> None:
    limits = replace(LIMITS, temp_bytes=3 * 2**20)
    async with start_caged(programs.FILL, folder, "10", limits=limits) as process:
        assert await read_all(process) == f"3 {errno.ENOSPC}\n"


async def test_what_it_writes_beside_its_folder_is_bounded_and_never_on_the_disk(
    start_caged: Start, project: Path
) -> None:
    limits = replace(LIMITS, temp_bytes=3 * 2**20)
    (project.parent / "of-another-preview").mkdir()
    beside = str(project.parent)
    async with start_caged(programs.FILL, beside, "10", limits=limits, around=project.parent) as process:
        assert await read_all(process) == f"3 {errno.ENOSPC}\n"
    assert sorted(one.name for one in project.parent.iterdir()) == ["of-another-preview", project.name]


async def test_it_makes_a_folder_beside_its_own_and_moves_neither(start_caged: Start, project: Path) -> None:
    (project / "kept").write_text("mine")
    write = (
        "import os, pathlib; logs = pathlib.Path('../logs'); logs.mkdir(); (logs / 'one').write_text('x')\n"
        "print(sorted(os.listdir('..')), pathlib.Path('kept').read_text())\n"
        "try: os.rename(os.getcwd(), os.getcwd() + '-away')\n"
        "except OSError as error: print(error.errno)"
    )
    async with start_caged(write, around=project.parent) as process:
        listed, refused = (await read_all(process)).splitlines()
    assert listed == f"{sorted(['logs', project.name])} mine"
    assert int(refused) in (errno.EBUSY, errno.EPERM)
    assert [one.name for one in project.parent.iterdir()] == [project.name]


async def test_its_folder_may_lie_deeper_in_the_one_around_it(start_caged: Start, project: Path) -> None:
    (project / "kept").write_text("mine")
    read = "import os; print(open('kept').read(), sorted(os.listdir('../..')))"
    async with start_caged(read, around=project.parent.parent) as process:
        assert await read_all(process) == f"mine ['{project.parent.name}']\n"


async def read_from(listener: socket.socket) -> bytes:
    async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
        return b"".join([chunk async for chunk in stream])


async def test_without_a_network_it_serves_on_the_inherited_socket_and_reaches_nothing(
    start_caged: Start, listener: socket.socket
) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as other:
        port = str(other.getsockname()[1])
        async with start_caged(programs.REACH, FD_PLACEHOLDER, port):
            found = json.loads(await read_from(listener))
    # Its own loopback interface is there; nobody listens on it.
    assert found["127.0.0.1"] == "ECONNREFUSED"
    assert set(found.values()) <= {"ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL", "EHOSTUNREACH"}


async def test_with_the_machines_network_it_reaches_the_machine(
    start_sandboxed: Start, listener: socket.socket
) -> None:
    with bind_in_range("127.0.0.1", 20_000, 32_000) as other:
        port = str(other.getsockname()[1])
        async with start_sandboxed(programs.REACH_LOOPBACK, FD_PLACEHOLDER, port, network=Network.HOST):
            found = json.loads(await read_from(listener))
    assert found == {"127.0.0.1": "reached"}


async def test_a_folder_to_read_cannot_be_written(start_sandboxed: Start, tmp_path: Path) -> None:
    shared = tmp_path / "environment"
    shared.mkdir()
    (shared / "module.py").write_text("mine = 1")
    shared.chmod(0o777)
    (shared / "module.py").chmod(0o666)
    async with start_sandboxed(programs.TAMPER, str(shared), readable=(shared,)) as process:
        told = json.loads(await read_all(process))
    assert told.pop("read") == "mine = 1"
    # EXDEV: a hard link into its own folder would be one to write through. EBUSY: the folder is a mount point.
    assert set(told.values()) <= {errno.EROFS, errno.EPERM, errno.EACCES, errno.EXDEV, errno.EBUSY}
    assert (shared / "module.py").read_text() == "mine = 1"
    assert [entry.name for entry in shared.iterdir()] == ["module.py"]


@pytest.mark.parametrize("parent", ["/var/tmp", "/dev/shm", "/tmp"])
async def test_its_folder_may_lie_among_those_that_it_gets_of_its_own(
    caged: Runtime, listener: socket.socket, parent: str
) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        (Path(folder) / "note").write_text("its own")
        async with starter(caged, listener, Path(folder))("print(open('note').read())") as process:
            assert await read_all(process) == "its own\n"


@as_root
async def test_outside_it_is_a_user_of_its_own(start_caged: Start, listener: socket.socket) -> None:
    async with start_caged(programs.WAIT) as process:
        program = outside(process, int(await read_line(process)))
        assert owner(Path(f"/proc/{program}")) == own_user(listener.getsockname()[1])


@as_root
async def test_its_files_become_that_users_and_what_links_lead_to_does_not(
    start_caged: Start, project: Path, tmp_path: Path, listener: socket.socket
) -> None:
    (tmp_path / "outside").write_text("not its own")
    (project / "deep").mkdir()
    (project / "deep" / "file").write_text("its own")
    (project / "deep" / "link").symlink_to(tmp_path / "outside")
    (project / "folder-link").symlink_to(tmp_path)
    uid = own_user(listener.getsockname()[1])
    async with start_caged(programs.LOOK) as process:
        await read_all(process)
    assert set(map(owner, everything_in(project))) == {uid}
    assert {owner(tmp_path / "outside"), owner(tmp_path)} == {0}


@as_root
async def test_what_is_a_users_already_is_not_walked_again(project: Path) -> None:
    give([project], own_user(3001))
    (project / "planted").symlink_to("/etc/passwd")
    give([project], own_user(3001))
    assert owner(project / "planted") == 0


async def test_programs_outside_obey_no_variable_of_the_child(
    start_sandboxed: Start, project: Path, tmp_path: Path
) -> None:
    """``LD_PRELOAD`` names a library that is none: whoever obeys says so on stderr (ld.so(8))."""
    (project / "no-library.so").write_text("none")
    (tmp_path / "path").mkdir()
    for name in ("bwrap", "setpriv", "prlimit"):
        (tmp_path / "path" / name).write_text("#!/bin/sh\necho taken over\n")
        (tmp_path / "path" / name).chmod(0o755)
    variables = {
        "LD_AUDIT": str(project / "no-library.so"),
        "PATH": str(tmp_path / "path"),
        "BASH_ENV": "/dev/null",
        "LOCPATH": str(project),
    }
    async with start_sandboxed("import os; print(os.environ['PATH'])", environment=variables) as process:
        text = await read_all(process)
    assert text.splitlines()[-1] == str(tmp_path / "path")
    assert "taken over" not in text


async def test_no_variable_is_on_any_command_line_of_the_machine(start_caged: Start) -> None:
    secret = "s3cr3t-of-this-preview"
    async with start_caged(programs.WAIT, environment={"PASSWORD": secret}) as process:
        await read_line(process)
        command_lines, variables = _all_command_lines(), _variables_of(process.identity.pid)
    assert [one for one in command_lines + variables if secret.encode() in one] == []


def _all_command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes())
    return found


def _variables_of(leader: int) -> list[bytes]:
    """The variables of the processes around the sandbox, which are the service's user's."""
    around = [pid for pid in (leader, *proctree.descendants(leader)) if proctree.namespace_pids(pid)[1:] in ([], [1])]
    return [Path(f"/proc/{pid}/environ").read_bytes() for pid in around]


async def test_a_file_that_it_makes_setuid_gives_nobody_anything(
    start_caged: Start, project: Path, inner_user: int
) -> None:
    async with start_caged(programs.MAKE_SETUID) as process:
        told = json.loads(await read_all(process))
    made = (project / "tool").lstat()
    assert told["uid"] == [inner_user, inner_user]
    assert not (made.st_uid == 0 and os.geteuid() == 0 and made.st_mode & stat.S_ISUID)


async def test_the_service_keeps_nothing_of_a_sandbox_that_was_given_up(sandbox: SandboxRuntime, start: Start) -> None:
    with trio.CancelScope() as scope:
        async with start(programs.WAIT) as process:
            scope.cancel()
            await trio.sleep_forever()
    assert not proctree.is_alive(process.identity)
