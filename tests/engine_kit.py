"""A container engine of the tests' own: Debian's Docker, in a network of its own, with its own folders and socket.

With `PREVIEW_TEST_PODMAN=1`, and for the parameter `podman`, it is Podman, which an ordinary user starts too. Its
containers' runtime is runc, or what `PREVIEW_TEST_CONTAINER_RUNTIME` names.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import pytest

# It ends with the tests, however they end: their end of the pipe is closed then, and the first process ends.
# What it has started ends too: it is the first of a namespace. An ordinary user has none: there a monitor may stay.
_HELD = """
ip link set lo up 2>/dev/null
# crun refuses machines with both versions of control groups; of these the first has the controllers.
[ "$PREVIEW_TEST_CONTAINER_RUNTIME" != crun ] || umount --lazy /sys/fs/cgroup/unified 2>/dev/null
start() {
    ( %s ) &
    trap "kill -KILL -$! $!; exit" TERM
    wait $! || { touch "$0/refused"; exit; }
    trap - TERM
    exec %s
}
start >>"$0/log" 2>&1 </dev/null &
cat >/dev/null
kill $! 2>/dev/null
wait
"""
_DOCKER = (
    'dockerd --data-root "$0/root" --exec-root "$0/exec" --pidfile "$0/pid" -H "unix://$0/s" --config-file "$0/json" '
    "--bridge none --iptables=false --log-level error --cgroup-parent /preview-tests"
)
_PODMAN = (
    'podman --root "$0/root" --runroot "$0/exec" --tmpdir "$0/tmp" --cgroup-manager cgroupfs --events-backend none '
    '--runtime "${PREVIEW_TEST_CONTAINER_RUNTIME:-runc}" --log-level error'
)
# Podman's service starts also where Podman can run no container; Docker's does not.
_TRIAL = (
    'mkdir -p "$0/trial/usr" && (cd "$0/trial" && ln -s usr/bin usr/lib usr/lib64 .) && '
    f'exec timeout -s KILL 50 {_PODMAN} run --rm --network none --volume /usr:/usr:ro --rootfs "$0/trial" true'
)
_ALONE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
_START_S = 20.0
# Podman runs a container first, in less time; a machine on which it runs none is noticed at once.
_PODMAN_START_S = 60.0
# Debian's runsc takes every network namespace of a newer kernel for the machine's own.
_ARGUMENTS = {"runsc": {"runtimeArgs": ["--host-uds=all", "--network=none"]}}
_PREFIX = "preview-engine-"
_EARLIER_S = 3600.0
ENGINES = ("container", "podman")
"""As a parameter: containers of Docker, and of Podman."""
FURTHER_RUNTIMES = ("crun", "runsc")
"""The engine's own runtimes beside runc, where Debian's packages of these names are installed."""


def engine_here() -> Path | str:
    """The engine's socket; or why there is none."""
    named = os.environ.get("PREVIEW_TEST_ENGINE")
    if named:
        return Path(named)
    found = _started(is_podman=is_podman())
    if isinstance(found, Path):
        # For services in processes of their own.
        os.environ["PREVIEW_TEST_ENGINE"] = str(found)
    return found


@lru_cache(maxsize=2)
def _started(*, is_podman: bool) -> Path | str:
    """Start the tests' own engine of a kind, once for each worker. Return its socket, or why there is none."""
    if os.geteuid() != 0 and not is_podman:
        return "the tests' own engine is started by root"
    package, programs = (
        ("podman", ("podman", "runc")) if is_podman else ("docker.io", ("dockerd", "containerd", "runc"))
    )
    if missing := [name for name in programs if shutil.which(name) is None]:
        return f"{', '.join(missing)} of Debian's {package} is not installed"
    remove_earlier()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    held = start_engine(folder)
    if isinstance(held, str):
        return held
    atexit.register(end_engine, folder, held)
    return folder / "s"


def start_engine(folder: Path) -> int | str:
    """Start an engine in a folder. Return the descriptor whose end ends it, or why it does not start."""
    runtimes: dict[str, object] = {
        name: {"path": path, **_ARGUMENTS.get(name, {})}
        for name in FURTHER_RUNTIMES
        if (path := shutil.which(name)) is not None
    }
    alone = _ALONE if os.geteuid() == 0 else ()
    if alone and (refused := _refused(alone)):
        shutil.rmtree(folder)
        return f"the engine runs no container ({refused})"
    (folder / "json").write_text(json.dumps({"runtimes": runtimes} if runtimes else {}))
    reading, writing = os.pipe()
    held = (_TRIAL, f'{_PODMAN} system service --time 0 "unix://$0/s"') if is_podman() else ("true", _DOCKER)
    # Of a new session, and nobody's child: what an engine starts would else become the children of these tests.
    command = ["setsid", "--fork", *alone, "sh", "-c", _HELD % held, str(folder)]
    try:
        # There: Podman's monitor leaves a file where it stands if memory runs out.
        with (folder / "log").open("ab") as log:
            subprocess.run(command, cwd=folder, stdin=reading, stdout=subprocess.DEVNULL, stderr=log, check=True)
    finally:
        os.close(reading)
    until = time.monotonic() + (_PODMAN_START_S if is_podman() else _START_S)
    while not _answers(folder / "s"):
        if time.monotonic() > until or (folder / "refused").exists():
            said = (folder / "log").read_text("utf-8", "replace").splitlines()[-1:]
            failed = "runs no container" if (folder / "refused").exists() else "does not start"
            end_engine(folder, writing)
            return f"the engine {failed} ({' '.join(said)[:300]})"
        time.sleep(0.02)
    return writing


def _refused(alone: tuple[str, ...]) -> str:
    """Why this machine gives an engine no namespaces of its own; empty if it does."""
    tried = subprocess.run([*alone, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.strip()[-300:] or "unshare failed"


def remove_earlier() -> None:
    """Remove folders of engines that have ended long ago, and whose tests were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - _EARLIER_S and engine_pid(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)


def own_runtime() -> str | None:
    """The engine's own runtime under test; None is its default."""
    return os.environ.get("PREVIEW_TEST_CONTAINER_RUNTIME") or None


def is_gvisor() -> bool:
    """Whether the containers under test are gVisor's."""
    return own_runtime() == "runsc"


IN_TIME_S = 240 if is_gvisor() else 60
"""For a test with a preview: gVisor starts programs slowly on a busy machine."""


def is_podman() -> bool:
    """Whether the tests' own engine is Podman."""
    return os.environ.get("PREVIEW_TEST_PODMAN") == "1"


IN_CONTAINERS = ("container",) if is_podman() or own_runtime() or os.environ.get("PREVIEW_TEST_ENGINE") else ENGINES
"""Parameters of tests that run on Docker and on Podman; on the one engine or runtime that variables name, if any."""


def use_podman(patch: pytest.MonkeyPatch) -> None:
    """Have the tests' own engine be Podman until the patch is undone."""
    patch.setenv("PREVIEW_TEST_PODMAN", "1")
    # Set at first: what was not there is removed at the end.
    patch.setenv("PREVIEW_TEST_ENGINE", "")


def use_engine(name: str, patch: pytest.MonkeyPatch) -> str:
    """Have the tests' own engine be that of a parameter. Return ``container`` for one of ``ENGINES``, else the name."""
    if name == "podman":
        use_podman(patch)
    return "container" if name in ENGINES else name


def engine_or_skip() -> Path:
    """The engine's socket; where it cannot run its tests are skipped, or fail if they have to run."""
    found = engine_here()
    return found if isinstance(found, Path) else _skip(found)


def start_or_skip(folder: Path) -> int:
    """See ``start_engine``; where none starts, the test is skipped, or fails if it has to run."""
    held = start_engine(folder)
    return held if isinstance(held, int) else _skip(held)


def _skip(reason: str) -> NoReturn:
    required = f"PREVIEW_TEST_REQUIRE_{'PODMAN' if is_podman() else 'DOCKER'}"
    if os.environ.get(required) == "1":
        pytest.fail(f"{required}=1, but {reason}")
    pytest.skip(f"no container engine: {reason}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(2)
        try:
            asking.connect(str(path))
            asking.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            return b" 200 " in asking.recv(100)
        except OSError:
            return False


def end_engine(folder: Path, writing: int) -> None:
    """End an engine that ``start_engine`` has started; its folder is gone then."""
    os.close(writing)
    until = time.monotonic() + _START_S
    while engine_pid(folder) is not None and time.monotonic() < until:
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)
    # What the engine has started may still write.
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.01)
        shutil.rmtree(folder, ignore_errors=True)
    # Groups of containers that ended with their engine: Docker's and Podman's. One in use stays.
    for group, names, _ in os.walk("/sys/fs/cgroup"):
        for name in names:
            if group.endswith("/preview-tests") or (group.endswith("/libpod_parent") and name.startswith("libpod-")):
                with suppress(OSError):
                    Path(group, name).rmdir()


def engine_pid(folder: Path) -> int | None:
    """The pid of the engine that was started in a folder; None if it has ended."""
    root = f"{folder}/root".encode()
    wanted = ([b"dockerd", b"--data-root", root], [b"podman", b"--root", root])
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (entry / "cmdline").read_bytes().split(b"\0")[:3] in wanted:
                return int(entry.name)
    return None
