"""The user ids of previews, chosen from those that this process may use.

If the service runs as root, each preview has its own user. The user id is counted up from the preview's reserved port.
So no two previews of a machine share an id, and no list of ids is needed. Two services whose previews listen on
different addresses (``PREVIEW_PREVIEW_HOST``) may use the same port, and so the same id. Namespaces isolate these
previews, and no service shows the other's folders. On a machine nothing else uses the range of ids
(systemd.io/UIDS-GIDS: 1879048192 to 2147483647 are unused).

Root of a container, or of an ordinary user's range in ``/etc/subuid``, usually has the ids 0 to 65535. There the id is
the port itself: other users of the container may have it too. With fewer ids all previews have the service's user.
``preview serve`` enters an ordinary user's range by itself (``preview.cli.local.own_range``).
"""

from __future__ import annotations

import errno
import os
import pwd
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from preview.errors import LaunchFailed

FIRST_UID = 1_900_000_000
_PORTS = 65_536
# The root, and what lies in it, such as /etc.
_LEAST_DEPTH = 2
_CAP_SYS_ADMIN = 21
_MAPS, _RANGES = "/proc/self/{}", ("/etc/subuid", "/etc/subgid")
# subuid(5): name, first id, number of ids.
_SUBUID_FIELDS = 3
# user_namespaces(7): the map of a machine's own namespace contains all ids.
_ALL_IDS = ((0, 0, 2**32 - 1),)


@dataclass(frozen=True, slots=True)
class Users:
    """Ids of users, and of the group that each has.

    Attributes:
        first: Id for port 0, counted as this process counts.
        template: Id of all templates, the lowest of the range.
    """

    first: int
    template: int

    @property
    def count(self) -> int:
        """Number of ids, from that of templates on."""
        return self.first + _PORTS - self.template

    def of(self, slot: int) -> int:
        """Return the user of a preview, outside of its sandbox.

        Args:
            slot: The preview's port.

        Raises:
            LaunchFailed: The user would be root's or the templates', which happens to port 1 of a container.
        """
        if self.first + slot <= self.template:
            raise LaunchFailed(
                f"A preview's user id is derived from its port, and port {slot} has none in this container."
            )
        return self.first + slot

    def inside(self, slot: int) -> int:
        """Return the same user as its template counts, which is 0 itself."""
        return self.of(slot) - self.template


_MACHINE, _CONTAINER = Users(FIRST_UID, FIRST_UID - 1), Users(0, 1)


@lru_cache(maxsize=1)
def users_here() -> Users | None:
    """Return the users that root can give previews; None if it has too few ids (``/proc/self/uid_map``)."""
    maps = [_read_map(name) for name in ("uid_map", "gid_map")]
    return next((users for users in (_MACHINE, _CONTAINER) if all(_has(ids, users) for ids in maps)), None)


def may_be_machines_root() -> bool:
    """Return whether this process may be the machine's root, by its user id: as root of a container often is."""
    return os.geteuid() == 0 and any(first == above == 0 for first, above, _ in _read_map("uid_map"))


def is_confined_root() -> bool:
    """Return whether this process is root of a container only: without some of root's rights, or without some ids."""
    if os.geteuid() != 0:
        return False
    return not int(_status()["CapEff"], 16) & 1 << _CAP_SYS_ADMIN or _read_map("uid_map") != _ALL_IDS


def _status() -> dict[str, str]:
    lines = Path("/proc/self/status").read_text("utf-8", "replace").splitlines()
    return dict(line.partition(":")[::2] for line in lines)


@dataclass(frozen=True, slots=True)
class NoRange:
    """Reason why this process cannot become root of a range of ids.

    Attributes:
        reason: Half a sentence.
        advice: The one step to a range; empty if there is none.
    """

    reason: str
    advice: str = ""


def why_no_range() -> NoRange | None:
    """Return what an ordinary user lacks for a range of ids of its own; None if ``unshare --map-auto`` may be tried."""
    status = _status()
    if status["NoNewPrivs"].strip() == "1":
        # newuidmap is a set-user-id program.
        return NoRange("the process cannot gain privileges (no_new_privs), and newuidmap needs them")
    if int(status["CapEff"], 16):
        # For instance CAP_NET_BIND_SERVICE, from a systemd unit. It would hold in the new user namespace only.
        return NoRange("the process has capabilities, and would lose them")
    if shutil.which("newuidmap") is None or shutil.which("newgidmap") is None:
        return NoRange("newuidmap is missing", "install newuidmap (Debian's package uidmap)")
    if not all(map(_gives_range, _RANGES)):
        ids = "--add-subuids 100000-165535 --add-subgids 100000-165535"
        return NoRange(
            f"{' and '.join(_RANGES)} do not assign {_CONTAINER.count} ids", f"`sudo usermod {ids} {_user_name()}`"
        )
    return None


def advise_own_users() -> str:
    """Return the step after which root's previews have users of their own, for ``preview doctor``; else empty."""
    if os.geteuid() != 0:
        return ""
    lacks = "user ids 0 to 65535" if users_here() is None else "capability SYS_ADMIN"
    return f"to run each preview as a separate user, give the container the {lacks} (docs/containers.md)"


def _gives_range(file: str) -> bool:
    """Return whether a file in the form of subuid(5) gives this user enough ids."""
    try:
        lines = [line.split(":") for line in Path(file).read_text("utf-8", "replace").splitlines()]
    except OSError:
        return False
    names = {_user_name(), str(os.getuid())}
    counts = [one[2] for one in lines if len(one) == _SUBUID_FIELDS and one[0] in names]
    return any(count.isascii() and count.isdigit() and int(count) >= _CONTAINER.count for count in counts)


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _read_map(name: str) -> tuple[tuple[int, int, int], ...]:
    """Return lines of a map: first id here, first id in the namespace above, number of ids."""
    lines = Path(_MAPS.format(name)).read_text("ascii").splitlines()
    return tuple((int(first), int(above), int(count)) for first, above, count in map(str.split, lines))


def _has(ids: Sequence[tuple[int, int, int]], users: Users) -> bool:
    """Return whether one line of a map contains all ids: a template's map must lie within one (user_namespaces(7))."""
    end = users.template + users.count
    return any(first <= users.template and end <= first + count for first, _, count in ids)


def give(folders: Sequence[Path], uid: int) -> None:
    """Make ``uid`` the owner of the folders and their content, unless done before; links are not followed.

    Blocks on the disk: call it in a thread. Call it before any process of the preview runs. Until then only the service
    has written to the folders, so no hard link leads out of them.

    Raises:
        OSError: A change of owner failed, or a folder is the machine's own.
    """
    for folder in folders:
        if len(folder.parts) <= _LEAST_DEPTH or ".." in folder.parts:
            raise OSError(errno.EPERM, "a folder of the machine is nobody's", str(folder))
        if folder.lstat().st_uid == uid:
            continue
        for _root, names, files, descriptor in os.fwalk(folder, follow_symlinks=False):
            for name in (*names, *files):
                os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
        # Last, because the folder's owner marks the whole folder as done.
        os.chown(folder, uid, uid, follow_symlinks=False)
