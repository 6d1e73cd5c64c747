"""What bubblewrap says where it is refused, and what an operator does about it.

Bubblewrap gives each failure one line on stderr, ``bwrap: …``. The same line has several causes, so the kernel's
switches are looked at as well: what is certainly off is named alone.

Source: bubblewrap.c (``die`` and ``die_with_error``), its issues 284, 505, 632 and 745; user_namespaces(7).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

INSTALL = "install the packages bubblewrap and libseccomp2 (`preview doctor --fix`)"

_MOST_CHARACTERS = 200
_CONTAINER = "in a container, start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
_UNMASKED = "--security-opt systempaths=unconfined (Docker) or --security-opt unmask=ALL (Podman)"
_APPARMOR = (
    "load AppArmor's profile for it: copy bwrap-userns-restrict of the package apparmor-profiles from "
    "/usr/share/apparmor/extra-profiles to /etc/apparmor.d, then `systemctl reload apparmor`; or "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
)

# A switch of the kernel, what it says when it is off, and how it is turned on.
_SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "`sysctl kernel.unprivileged_userns_clone=1`"),
    ("user/max_user_namespaces", "0", "`sysctl user.max_user_namespaces=10000`"),
    ("user/max_net_namespaces", "0", "`sysctl user.max_net_namespaces=10000`"),
    ("user/max_pid_namespaces", "0", "`sysctl user.max_pid_namespaces=10000`"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", _APPARMOR),
)

# The first that fits counts.
_ADVICE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Unknown option"), "install bubblewrap 0.7 or newer"),
    (re.compile(r"mount proc"), f"its /proc is hidden in part, as containers have it: start it with {_UNMASKED}"),
    (re.compile(r"loopback: .{0,200}File exists"), "gVisor makes no empty network; run the service outside of it"),
    (re.compile(r"setting up [ug]id map|loopback: "), f"on Ubuntu 24.04 and its like {_APPARMOR}; {_CONTAINER}"),
    (re.compile(r"does not support user namespaces"), "use a kernel built with CONFIG_USER_NS"),
    (re.compile(r"SECCOMP"), "use a kernel built with CONFIG_SECCOMP_FILTER"),
    (
        re.compile(r"max_\*_namespaces"),
        "let there be more namespaces: `sysctl user.max_user_namespaces=10000`, likewise max_net_namespaces and so on",
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
_OTHERWISE = f"see bwrap(1) for what it says; {_CONTAINER}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why this machine does not sandbox.

    Attributes:
        reason: What went wrong, half a sentence.
        advice: What to install or set.
    """

    reason: str
    advice: str


def read_switch(name: str) -> str | None:
    """A setting of the kernel below ``/proc/sys``; None where this kernel has no such one."""
    try:
        return Path("/proc/sys", name).read_text("ascii", "replace").strip()
    except OSError:
        return None


def explain_refusal(said: str, switch: Callable[[str], str | None] = read_switch) -> Refusal:
    """What a sandbox that did not come up has printed, and what to do.

    Args:
        said: Its output; the first line of bubblewrap's counts, else the first of all.
        switch: Reads a setting of the kernel (``user/max_user_namespaces``); None where there is none.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    line = next((one for one in lines if one.startswith("bwrap: ")), lines[0] if lines else "")
    # The hint of a distribution at the end of it is longer than all the rest.
    reason = line.removeprefix("bwrap: ").partition(". See <")[0].rstrip(".")[:_MOST_CHARACTERS]
    who = "bubblewrap is refused" if line.startswith("bwrap: ") else "a sandbox did not come up"
    return Refusal(f"{who} ({reason})", _advice(line, switch))


def _advice(line: str, switch: Callable[[str], str | None]) -> str:
    about = next((advice for pattern, advice in _ADVICE if pattern.search(line)), _OTHERWISE)
    if not re.search(r"namespace|[ug]id map|loopback: (?!.*File exists)", line):
        return about
    off = [how for name, value, how in _SWITCHES if switch(name) == value]
    return "; ".join(off) or about
