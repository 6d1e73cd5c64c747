"""System packages that previews need, and commands that install the missing ones."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from typing import Final

# Install commands by the distribution's ID or ID_LIKE in /etc/os-release (os-release(5)).
_INSTALLERS: Final[Mapping[str, tuple[Sequence[str], ...]]] = {
    "debian": (("apt-get", "update"), ("apt-get", "install", "-y", "--no-install-recommends")),
    "fedora": (("dnf", "install", "-y"),),
    "alpine": (("apk", "add"),),
    "arch": (("pacman", "-S", "--needed", "--noconfirm"),),
}
_OTHER_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "debian": {"libseccomp": "libseccomp2"},
    "alpine": {"util-linux": "util-linux-misc"},
}


def find_missing() -> list[str]:
    """Return the missing ones of ``bubblewrap``, ``libseccomp`` and ``util-linux``. Runs nothing."""
    missing = []
    if shutil.which("bwrap") is None:
        missing.append("bubblewrap")
    if ctypes.util.find_library("seccomp") is None:
        missing.append("libseccomp")
    if any(shutil.which(name) is None for name in ("setpriv", "prlimit")):
        missing.append("util-linux")
    return missing


def install_commands(missing: Sequence[str]) -> list[list[str]] | None:
    """Return the commands that install the packages, in order, with ``sudo`` if needed.

    Args:
        missing: The packages, as returned by ``find_missing``.

    Returns:
        None on an unknown distribution.
    """
    family = _family()
    if family is None:
        return None
    names = [_OTHER_NAMES.get(family, {}).get(name, name) for name in missing]
    *before, last = [[*_as_root(), *command] for command in _INSTALLERS[family]]
    return [*before, [*last, *names]]


def _family() -> str | None:
    try:
        said = platform.freedesktop_os_release()
    except OSError:
        return None
    for name in (said.get("ID", ""), *said.get("ID_LIKE", "").split()):
        if name in _INSTALLERS:
            return name
    return None


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]
