"""A delegated control group from the user's systemd, for an ordinary user's ``serve``, ``run`` and ``doctor``.

The user's manager moves this process into a transient scope (``StartTransientUnit``, org.freedesktop.systemd1(5)). The
process does not execute itself again, as it would below ``systemd-run``. So its pid, terminal, arguments and exit code
stay, and a manager that refuses costs nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from preview.runtime.cgroups import read_own_groups

# A manager answers within some milliseconds; a busy machine takes longer.
_CALL_S = 5.0
# The manager answers before it has moved the process.
_MOVE_S = 2.0
_POLL_S = 0.001
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
# sd_booted(3)
_SYSTEMD_RUNS = Path("/run/systemd/system")
_UNIT = "run the service as a systemd unit with Delegate=yes (docs/settings.md, Control groups)"


@dataclass(frozen=True, slots=True)
class NoScope:
    """Reason why this process did not get a scope.

    Attributes:
        reason: Half a sentence.
        advice: The one step that leads to control groups; empty if systemd is not the way to them.
    """

    reason: str
    advice: str


def enter_scope() -> NoScope | None:
    """Move this process into a scope of its own with ``Delegate=yes``; return why not, or None.

    Does nothing for root, and for a process that can make groups already. Call it before any child process starts: each
    child stays in its parent's group.
    """
    if os.geteuid() == 0 or _is_delegated():
        return None
    runtime_dir = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    return _why_not(runtime_dir) or _start(runtime_dir / "bus")


def _is_delegated() -> bool:
    """Return whether the kernel lets this process move processes below its own group of version 2."""
    place = read_own_groups().unified
    return place is not None and os.access(f"{place.directory}/cgroup.procs", os.W_OK)


def _why_not(runtime_dir: Path) -> NoScope | None:
    if not _SYSTEMD_RUNS.is_dir():
        return NoScope("this machine does not run systemd", "")
    if not (runtime_dir / "systemd" / "private").exists():
        return NoScope("no systemd manager runs for this user", "`loginctl enable-linger` starts one")
    if not (runtime_dir / "bus").exists():
        return NoScope("the user's systemd has no D-Bus", "install the package dbus-user-session, and log in again")
    if shutil.which("busctl") is None:
        return NoScope("the program busctl is missing", "install the package systemd")
    if _may_outlive_session() and not _lingers():
        # The manager ends with the user's last session, and ends its scopes then.
        return NoScope(
            "systemd ends a scope when the user logs out, but nohup, tmux or screen should keep this process running",
            "run `loginctl enable-linger` to keep the scope and the process",
        )
    return None


def _lingers() -> bool:
    """Return whether the user's manager runs without a session of the user (logind's mark of it)."""
    try:
        return Path(f"/var/lib/systemd/linger/{pwd.getpwuid(os.geteuid()).pw_name}").exists()
    except KeyError:
        return False


def _may_outlive_session() -> bool:
    """Return whether the user has started this process below ``nohup``, tmux or screen."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN or bool(os.environ.keys() & {"TMUX", "STY"})


def _start(bus: Path) -> NoScope | None:
    before = read_own_groups().unified
    name = f"preview-{os.getpid()}-{time.time_ns()}.scope"
    properties = ["PIDs", "au", "1", f"{os.getpid()}", "Delegate", "b", "true"]
    # A scope that ends in failure would stay listed otherwise.
    properties += ["CollectMode", "s", "inactive-or-failed"]
    call = ["StartTransientUnit", "ssa(sv)a(sa(sv))", name, "fail", "3", *properties, "0"]
    try:
        done = subprocess.run(
            ["busctl", f"--address=unix:path={bus}", "call", *_MANAGER, *call],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return NoScope(f"the user's systemd did not answer: {error}", _UNIT)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        return NoScope(f"the user's systemd refused a scope: {said[-1] if said else done.returncode}", _UNIT)
    deadline = time.monotonic() + _MOVE_S
    while read_own_groups().unified == before or not _is_delegated():
        if time.monotonic() > deadline:
            return NoScope("the user's systemd did not move this process into its scope", _UNIT)
        time.sleep(_POLL_S)
    return None
