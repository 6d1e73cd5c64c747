"""Code that has taken a worker over reaches nothing: no file but the project's, no network, no process, no secret."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from worker_fixtures import Attacker

from preview.worker.confine import landlock_version

pytestmark = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")

TRY = """
    import ctypes, os, signal, socket, sys
    def attempt(what, *arguments):
        try:
            return f"done: {what(*arguments)!r}"[:200]
        except OSError as error:
            return type(error).__name__
"""
REFUSED = {"PermissionError", "OSError"}


async def refused(attacker: Attacker, *calls: str) -> None:
    """Each of these calls fails."""
    code = TRY + "".join(f"    found_{number} = attempt({call})\n" for number, call in enumerate(calls))
    names = ", ".join(f"found_{number}" for number in range(len(calls)))
    answer = await attacker.run(f"{code}    answer = [{names}]\n")
    assert [(call, one) for call, one in zip(calls, answer, strict=True) if one not in REFUSED] == []


async def test_all_parts_of_the_confinement_are_there(attacker: Attacker) -> None:
    await attacker.run("answer = 1")
    assert attacker.pool.parts == ("landlock", "seccomp", "limits")


async def test_it_reads_its_own_project(attacker: Attacker) -> None:
    found = await attacker.run(
        "answer = [context.project.joinpath('main.py').read_text(), len(__import__('os').listdir(context.project))]"
    )
    assert found == [(attacker.project / "main.py").read_text(), 1]


async def test_it_reads_no_other_file(attacker: Attacker, tmp_path: Path) -> None:
    neighbour = attacker.project.parent / "neighbour"
    neighbour.mkdir()
    (neighbour / "main.py").write_text("SECRET = 'sesame'")
    (tmp_path / "secret").write_text("sesame")
    (attacker.project / "link").symlink_to(tmp_path / "secret")
    files = [
        str(tmp_path / "secret"), str(neighbour / "main.py"), str(attacker.project / "link"),
        str(attacker.project / "../neighbour/main.py"), "/etc/passwd", "/proc/self/environ", "/proc/1/environ",
        f"/proc/{os.getpid()}/environ", f"/proc/{os.getpid()}/mem", "/proc/self/mem", "/dev/shm",
        f"/proc/{os.getpid()}/root/etc/passwd", f"/proc/{os.getpid()}/fd/0",
    ]  # fmt: skip
    await refused(
        attacker,
        *(f"os.open, {file!r}, os.O_RDONLY" for file in files),
        *(f"os.listdir, {str(folder)!r}" for folder in (tmp_path, neighbour, attacker.project.parent, "/", "/proc")),
    )


async def test_it_writes_nowhere(attacker: Attacker) -> None:
    mine = str(attacker.project / "main.py")
    await refused(
        attacker,
        f"os.open, {mine!r}, os.O_WRONLY",
        f"os.open, {str(attacker.project / 'new')!r}, os.O_WRONLY | os.O_CREAT",
        f"os.unlink, {mine!r}",
        f"os.rename, {mine!r}, {mine + '2'!r}",
        f"os.chmod, {mine!r}, 0o777",
        f"os.chown, {mine!r}, 1, 1",
        f"os.truncate, {mine!r}, 0",
        f"os.utime, {mine!r}",
        f"os.setxattr, {mine!r}, 'user.x', b'y'",
        f"os.link, {mine!r}, {mine + '3'!r}",
        f"os.symlink, '/etc/passwd', {mine + '4'!r}",
        f"os.mkdir, {str(attacker.project / 'folder')!r}",
        f"os.mkfifo, {str(attacker.project / 'pipe')!r}",
        "os.open, '/tmp/preview-worker-was-here', os.O_WRONLY | os.O_CREAT",
        "os.open, '/dev/shm/preview-worker-was-here', os.O_WRONLY | os.O_CREAT",
        "os.memfd_create, 'x'",
    )
    assert [one.name for one in attacker.project.iterdir()] == ["main.py"]


async def test_it_has_no_network(attacker: Attacker) -> None:
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as local:
        server.bind(("127.0.0.1", 0))
        server.listen()
        local.bind("\0preview-test-worker")
        local.listen()
        await refused(
            attacker,
            f"socket.create_connection, {server.getsockname()!r}",
            "socket.socket",
            "socket.socket, socket.AF_UNIX",
            "socket.socket, socket.AF_NETLINK, socket.SOCK_RAW",
            "socket.socketpair",
            "socket.socket, socket.AF_INET, socket.SOCK_DGRAM",
        )
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


async def test_it_starts_signals_and_traces_no_process(attacker: Attacker) -> None:
    me, server = os.getpid(), attacker.pool.server_pid or 0
    await attacker.run("answer = 1")
    server = attacker.pool.server_pid or 0
    await refused(
        attacker,
        "os.fork",
        "os.execv, '/bin/true', ['true']",
        "os.posix_spawn, '/bin/true', ['true'], {}",
        f"os.kill, {me}, 0",
        f"os.kill, {server}, signal.SIGKILL",
        "os.kill, -1, signal.SIGKILL",
        f"os.pidfd_open, {me}",
        f"os.setpriority, os.PRIO_PROCESS, {me}, 19",
        "os.setuid, 0",
        "os.nice, 5",
        "os.unshare, 0x10000000" if hasattr(os, "unshare") else "os.setsid",
        "os.chroot, '/'",
        "os.chdir, '/'",
    )
    answer = await attacker.run(
        f"""
        import ctypes, resource
        libc = ctypes.CDLL(None, use_errno=True)
        answer = []
        for call, *arguments in (
            (libc.ptrace, 16, {me}, 0, 0), (libc.unshare, 0x10000000), (libc.mount, b"x", b"/tmp", b"tmpfs", 0, 0),
            (libc.setns, 0, 0), (libc.socket, 2, 1, 0), (libc.syscall, 425, 1, 0), (libc.syscall, 321, 0, 0, 0),
            (libc.syscall, 438, 0, 0, 0), (libc.syscall, 310, {me}, 0, 0, 0, 0, 0),
        ):
            answer.append(call(*arguments))
        try:
            resource.prlimit({me}, resource.RLIMIT_NOFILE, (3, 3))
            answer.append("lowered")
        except PermissionError:
            answer.append(-1)
        """
    )
    assert answer == [-1] * 10


async def test_no_thread_can_be_started(attacker: Attacker) -> None:
    assert (
        await attacker.run(
            """
        import threading
        try:
            threading.Thread(target=print).start()
            answer = "started"
        except RuntimeError:
            answer = "refused"
        """
        )
        == "refused"
    )


async def test_it_holds_no_capability_that_writes_and_none_of_the_services_descriptors(attacker: Attacker) -> None:
    answer = await attacker.run(
        """
        import ctypes, os, struct
        data = ctypes.create_string_buffer(24)
        ctypes.CDLL(None).capget(struct.pack("=Ii", 0x20080522, 0), data)
        open_ = []
        for number in range(64):
            try:
                os.fstat(number)
                open_.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:
                pass
        answer = [list(struct.unpack("=6I", data.raw)), open_]
        """
    )
    capabilities, descriptors = answer
    # CAP_DAC_READ_SEARCH alone, and that only where the service is root.
    read_only = 1 << 2 if os.geteuid() == 0 else 0
    assert [one & ~read_only for one in capabilities] == [0] * 6
    expected = {"/dev/null", str(attacker.project), "/memfd:progress (deleted)"}
    assert {one for one in descriptors if not one.startswith("socket:")} <= expected
    assert sum(one.startswith("socket:") for one in descriptors) == 1


async def test_nothing_of_the_services_environment_is_there(
    attacker: Attacker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await attacker.run("import os; answer = sorted(os.environ)")
    assert names == ["LANG", "PATH"]


async def test_one_worker_leaves_nothing_for_the_next(attacker: Attacker) -> None:
    first = await attacker.run("import os, sys; sys.stained = True; answer = os.getpid()")
    for _ in range(4):
        second, stained = await attacker.run("import os, sys; answer = [os.getpid(), hasattr(sys, 'stained')]")
        assert second != first
        assert not stained
