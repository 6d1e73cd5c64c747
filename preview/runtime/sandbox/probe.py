"""Tests whether sandboxes work, by starting one like a preview's, and explains failures with advice.

Bubblewrap reports each failure in one line on stderr, ``bwrap: …``. One line can have several causes, so kernel
settings are checked too: if one of them is certainly the cause, the advice names only that setting.

Source: bubblewrap.c (``die`` and ``die_with_error``), its issues 284, 505, 632 and 745; user_namespaces(7).
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from preview.errors import ConfigurationError, LaunchFailed
from preview.runtime.broker import Broker, NoBroker, open_broker
from preview.runtime.broker.preview_broker import detached_mount
from preview.runtime.cgroups import CgroupTree
from preview.runtime.process.first_look import look_around
from preview.runtime.sandbox.etc import write_etc
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.sandbox.socket_filter import can_fence
from preview.runtime.sandbox.users import is_confined_root, users_here

INSTALL = "install the packages bubblewrap and libseccomp2 (`preview doctor --fix`)"

_MOST_CHARACTERS = 200
_CONTAINER = (
    "in a container, start it with --security-opt seccomp=deploy/seccomp.json --security-opt apparmor=unconfined "
    "(docs/containers.md)"
)
_UNMASKED = "--security-opt systempaths=unconfined (Docker) or --security-opt unmask=ALL (Podman)"
_RESTRICTED = "kernel/apparmor_restrict_unprivileged_userns"
_APPARMOR = (
    "load AppArmor's profile deploy/apparmor/preview (docs/containers.md): copy it to /etc/apparmor.d, then "
    "`apparmor_parser -r /etc/apparmor.d/preview`; or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
)

# Kernel setting, the value that blocks sandboxes, and how to change it.
_SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "`sysctl kernel.unprivileged_userns_clone=1`"),
    ("user/max_user_namespaces", "0", "`sysctl user.max_user_namespaces=10000`"),
    ("user/max_net_namespaces", "0", "`sysctl user.max_net_namespaces=10000`"),
    ("user/max_pid_namespaces", "0", "`sysctl user.max_pid_namespaces=10000`"),
    (_RESTRICTED, "1", _APPARMOR),
)

# The first matching pattern applies.
_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Unknown option"), "install bubblewrap 0.7 or newer"),
    (re.compile(r"mount proc"), f"its /proc is hidden in part, as containers have it: start it with {_UNMASKED}"),
    (
        re.compile(r"loopback: .{0,200}File exists"),
        "gVisor cannot create an empty network namespace; run the service outside of it",
    ),
    (
        re.compile(r"setting up [ug]id map|loopback: "),
        f"on Ubuntu 24.04 and similar systems {_APPARMOR}; {_CONTAINER}, as an ordinary user (--user)",
    ),
    (re.compile(r"does not support user namespaces"), "use a kernel built with CONFIG_USER_NS"),
    (re.compile(r"SECCOMP"), "use a kernel built with CONFIG_SECCOMP_FILTER"),
    (
        re.compile(r"max_\*_namespaces"),
        "allow more namespaces: `sysctl user.max_user_namespaces=10000`, likewise max_net_namespaces and so on",
    ),
    (
        re.compile(r"new namespace"),
        f"let users make namespaces: `sysctl kernel.unprivileged_userns_clone=1` (Debian); {_CONTAINER} {_UNMASKED}",
    ),
    (
        re.compile(r"slave|pivot_root|tmpfs|mount|capset|setres[ug]id|setgroups"),
        f"{_CONTAINER}, with SELinux also label=disable",
    ),
)
_OTHERWISE = f"look up bwrap's message in bwrap(1); {_CONTAINER}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Reason why this machine cannot run sandboxes, and what the operator can do."""

    reason: str
    advice: str


def read_switch(name: str) -> str | None:
    """Return a kernel setting below ``/proc/sys``; None if this kernel lacks it."""
    try:
        return Path("/proc/sys", name).read_text("ascii", "replace").strip()
    except OSError:
        return None


def explain_refusal(said: str, switch: Callable[[str], str | None] = read_switch) -> Refusal:
    """Explain a failed sandbox from its output, with advice.

    Args:
        said: The sandbox's output. Bubblewrap's first line is used if there is one, else the first line.
        switch: Reads a kernel setting (``user/max_user_namespaces``); returns None if it does not exist.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    line = next((one for one in lines if one.startswith("bwrap: ")), lines[0] if lines else "")
    # Distributions append a long hint to the line.
    reason = line.removeprefix("bwrap: ").partition(". See <")[0].rstrip(".")[:_MOST_CHARACTERS]
    who = "bubblewrap is refused" if line.startswith("bwrap: ") else "a sandbox did not come up"
    return Refusal(f"{who} ({reason})", _advice(line, switch))


def _advice(line: str, switch: Callable[[str], str | None]) -> str:
    about = next((advice for pattern, advice in _ADVICE if pattern.search(line)), _OTHERWISE)
    if not re.search(r"namespace|[ug]id map|loopback: (?!.*File exists)", line):
        return about
    off = [how for name, value, how in _SWITCHES if switch(name) == value]
    return "; ".join(off) or about


_MEMORY_MB = 64
# A sandbox starts within milliseconds on an idle machine.
_TIMEOUT_S = 10.0
_SEE_LOG = "look at the machine's load and its log (dmesg)"
# chown(2) fails for a user id that the user namespace does not contain.
_NUMBERS = "give the container 65536 user ids, or start the service as an ordinary user"


async def probe_sandbox(
    etc: Path,
    groups: CgroupTree | None = None,
    calls: frozenset[str] = frozenset(),
    broker: Broker | NoBroker | None = None,
) -> SandboxRuntime | Refusal:
    """Return the best working sandbox runtime, or the reason for none.

    Args:
        etc: Folder of the service for the files of ``/etc`` that all sandboxes share.
        groups: Control groups that limit whole trees; None without control groups.
        calls: System calls that are also allowed; see ``check_extra_calls``.
        broker: See ``SandboxRuntime``.

    Cancellation: a sandbox that was started is ended.
    """
    try:
        await trio.to_thread.run_sync(write_etc, etc)
    except OSError as error:
        return Refusal(f"{etc} cannot be written ({error.strerror})", "set PREVIEW_DATA_DIR to a folder you can write")
    refusals: list[Refusal] = []
    try:
        for candidate in _candidates(etc, groups, calls, broker):
            refusal = await _try(candidate)
            if refusal is None:
                return candidate
            refusals.append(refusal)
    except ConfigurationError as error:
        return Refusal(error.message.partition(";")[0], INSTALL)
    # Root of a container is first tried with users of their own; the last refusal is the cause in any case.
    return refusals[-1]


def _candidates(
    etc: Path, groups: CgroupTree | None, calls: frozenset[str], broker: Broker | NoBroker | None
) -> Sequence[SandboxRuntime]:
    make = partial(SandboxRuntime, etc, groups=groups, calls=calls, broker=broker)
    if os.geteuid() != 0:
        return [make(own_users=False)]
    # On the machine itself, root lets no preview be root outside of its sandbox.
    own = [make(own_users=True)] if users_here() is not None else []
    return [*own, *([make(own_users=False)] if is_confined_root() else [])]


async def _try(runtime: SandboxRuntime) -> Refusal | None:
    try:
        look = await look_around(runtime, within_s=_TIMEOUT_S, memory_mb=_MEMORY_MB)
    except LaunchFailed as error:
        if "missing" in error.details:
            return Refusal(f"the program {error.details['missing']} is not installed", INSTALL)
        unmapped = error.details.get("errno") == errno.EINVAL
        return Refusal(error.message.rstrip("."), _NUMBERS if unmapped else _SEE_LOG)
    if look.is_well:
        return None
    if look.ended is None:
        return Refusal(f"a sandbox did not start within {_TIMEOUT_S:g} s", _SEE_LOG)
    return explain_refusal(look.said or str(look.ended))


@asynccontextmanager
async def open_broker_if_needed(folder: Path) -> AsyncIterator[Broker | NoBroker | None]:
    """Open a broker if this process may not mount, or restrict a socket, by itself.

    Args:
        folder: Any folder of the service, to try it with; it is made if it does not exist.

    Yields:
        The broker, or why there is none; None if none is needed.

    Cancellation: the broker is ended.
    """
    if await trio.to_thread.run_sync(_is_privileged, folder):
        yield None
        return
    async with AsyncExitStack() as held:
        broker: Broker | NoBroker
        try:
            broker = await held.enter_async_context(open_broker(folder))
        except (NoBroker, OSError) as error:
            restricted = f"; {_APPARMOR}" if read_switch(_RESTRICTED) == "1" else ""
            broker = NoBroker(f"{error}{restricted}")
        yield broker


def _is_privileged(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(detached_mount(str(folder)))
    except OSError:
        return False
    return can_fence()
