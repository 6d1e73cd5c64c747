"""What a run of the tests left out for want of a program, and the one command that brings it."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What a skip's reason says, and Debian's packages that have it.
_PACKAGES = {
    r"no sandbox|bubblewrap|bwrap": ("bubblewrap", "libseccomp2"),
    r"Chromium": ("chromium",),
    r"nginx": ("nginx-light",),
    r"PostgreSQL|no postgresql": ("postgresql",),
    r"mariadb-server": ("mariadb-server",),
    r"redis-server": ("redis-server",),
    r"util-linux|setpriv": ("util-linux",),
    r"user session without": ("systemd", "dbus-daemon"),
}


def missing_programs(reasons: Iterable[str]) -> str | None:
    """One line for the end of a run; None where nothing that could be installed was missing."""
    count, packages = 0, dict[str, None]()
    for reason in reasons:
        wanted = [names for pattern, names in _PACKAGES.items() if re.search(pattern, reason)]
        if wanted:
            count += 1
            packages |= dict.fromkeys(name for names in wanted for name in names)
    if not count:
        return None
    tests = "1 test was" if count == 1 else f"{count} tests were"
    return f"{tests} skipped for want of a program; this installs all: sudo apt-get install {' '.join(packages)}"
