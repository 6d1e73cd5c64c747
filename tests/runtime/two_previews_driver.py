"""A service with two previews at once, and what the kernel says about them: ``two_previews_driver.py sandbox|warm``.

The first says where it is, the second is given that, and attacks it from inside. Then a process of the second one's
user does so from outside, with the service's own view. Prints JSON.
"""

from __future__ import annotations

import ctypes  # noqa: F401  for another user, who may not read it
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import structlog
import trio
from runtime_kit import INTERPRETER, LIMITS, PYTHON, application, read_all, read_line
from runtime_warm import open_texts

from preview.runtime import ProcessSpec, Runtime, SandboxRuntime, child_subreaper, probe_sandbox
from preview.runtime.kernel import proctree
from preview.runtime.sandbox import open_broker_if_needed
from preview.runtime.warm.eligibility import namespaces_of, read_status, user_fields

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

_VICTIM = """
import ctypes, os, socket, sys, time
open("secret", "w").close()
os.chmod("secret", 0o644)
libc = ctypes.CDLL(None)
assert libc.shmget(0x7072, 4096, 0o1666) >= 0
named = socket.socket(socket.AF_UNIX); named.bind("\\0victim"); named.listen()
port = socket.create_server(("127.0.0.1", 5999))
os.environ["SECRET"] = "x"
print("up", flush=True)
time.sleep(600)
"""
_ATTACK = """
import ctypes, errno, json, os, signal, socket, sys
folder, pid = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
def unix():
    socket.socket(socket.AF_UNIX).connect("\\0victim")
ways = {
    "folder": lambda: os.listdir(folder),
    "file": lambda: open(folder + "/secret").close(),
    "signal": lambda: os.kill(pid, signal.SIGTERM),
    "trace": lambda: called(libc.ptrace(16, pid, 0, 0)),
    "memory": lambda: open(f"/proc/{pid}/mem", "rb").close(),
    "variables": lambda: open(f"/proc/{pid}/environ", "rb").read(),
    "root": lambda: os.listdir(f"/proc/{pid}/root"),
    "shared memory": lambda: called(libc.shmget(0x7072, 4096, 0)),
    "abstract name": unix,
    "kernel setting": lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)),
    "kernel command": lambda: os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY)),
    "port": lambda: socket.socket().connect(("127.0.0.1", 5999)),
}
said = {}
for name, attack in ways.items():
    try:
        attack()
        said[name] = "done"
    except OSError as error:
        said[name] = errno.errorcode[error.errno]
print(json.dumps(said))
"""


def seen(pid: int) -> dict[str, object]:
    """What the kernel says about a process."""
    status = read_status(pid)
    return {
        "user": user_fields(status),
        "namespaces": sorted(namespaces_of(pid)),
        "capabilities": sorted({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}),
        "new privileges": status["NoNewPrivs"],
        "filter": status["Seccomp"],
    }


def attack_as(uid: int, given: str) -> str:
    """Return the results of the attack from outside, by a process that has only the user in common."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.dup2(write_end, 1)
            sys.argv = ["", given]
            # No new program: the interpreter may be nobody else's to read.
            exec(_ATTACK, {})
            sys.stdout.flush()
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as said:
        text = said.read()
    os.wait()
    return text


async def main(name: str) -> None:
    async with AsyncExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.chmod(base, 0o755)  # noqa: PTH101
        stack.enter_context(child_subreaper())
        broker = await stack.enter_async_context(open_broker_if_needed(base / "etc"))
        sandbox = await probe_sandbox(base / "etc", broker=broker)
        if not isinstance(sandbox, SandboxRuntime):
            print(json.dumps({"refused": sandbox.reason}))
            return
        runtime: Runtime = sandbox
        if name == "warm":
            runtime = await stack.enter_async_context(open_texts(sandbox))
        folders = [base / "victim", base / "attacker"]
        for folder in folders:
            # As the supervisor makes them.
            folder.mkdir(mode=0o700)

        def spec(index: int, program: str, *arguments: str) -> ProcessSpec:
            argv = [*PYTHON, program, *arguments]
            one = ProcessSpec(f"preview_{index}", argv, folders[index], {}, None, LIMITS, readable=INTERPRETER)
            return replace(one, writable=(folders[index],), slot=5001 + index)

        async with runtime.open_process(spec(0, _VICTIM)) as victim:
            assert (line := await read_line(victim)) == "up", line
            pid = _program(victim.identity.pid, application(victim))
            given = json.dumps([str(folders[0]), pid])
            async with runtime.open_process(spec(1, "import time; print('up', flush=True); time.sleep(600)")) as other:
                assert await read_line(other) == "up"
                both = [seen(pid), seen(_program(other.identity.pid, application(other)))]
            async with runtime.open_process(spec(1, _ATTACK, given)) as attacker:
                inside = json.loads(await read_all(attacker))
            uid = folders[1].stat().st_uid
            outside = json.loads(attack_as(uid, given)) if uid != os.geteuid() else None
            told = {"service": seen(os.getpid()), "previews": both, "inside": inside, "outside": outside}
            owners = [one.stat().st_uid for one in folders]
            print(json.dumps({**told, "owners": owners, "alive": proctree.is_alive(victim.identity)}))


def _program(first: int, found: int) -> int:
    """The application: below a fork's first process, or as ``application`` finds it."""
    return next(iter(proctree.descendants(first)), found) if found == first else found


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
