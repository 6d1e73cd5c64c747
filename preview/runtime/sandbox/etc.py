"""The sandbox's ``/etc``: one folder of the service, made once for all sandboxes.

Each mount of its own would cost each launch a quarter of a millisecond, twice where the service is root. So files are
copied when the service starts; folders, in which certificates are replaced at any time, are mounted from the machine.

Whose a preview's files are: with a service that runs as root, each preview has a user of its own.

The number is counted up from the preview's port. Holding the port is holding the number, so no two previews of a
machine share one, and no list of who has which is kept. Two services whose previews listen on different addresses
(``PREVIEW_PREVIEW_HOST``) may hold one port each, and with it one number; namespaces keep these previews apart, and
neither service's folders are shown to the other's. The range is one that nothing else uses (systemd.io/UIDS-GIDS:
1879048192 to 2147483647 are unused); in a container that has few numbers all previews are ``nobody``, and namespaces
keep them apart.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from preview.core.isolation import Network

_ETC = "/etc"
# What the C library, OpenSSL, Python and Node look up; none of it is secret.
_FILES = (
    *("ca-certificates.conf", "ld.so.cache", "ld.so.conf", "locale.alias", "localtime", "mime.types", "os-release"),
    *("protocols", "services", "timezone"),
)
_FOLDERS = ("alternatives", "ca-certificates", "ld.so.conf.d", "pki", "ssl")
_OWN = {
    "passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\npreview:x:1000:1000:preview:/tmp:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\npreview:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost preview\n::1 localhost ip6-localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n",
}
# With the machine's network come its names, as they are at that moment. An empty file says as much as none.
_NETWORK = ("gai.conf", "host.conf", "hosts", "resolv.conf")
# A link that leads there leads to the same file in each sandbox.
_SHOWN = "/usr/"


def write_etc(folder: Path) -> None:
    """Put the folder together, or bring it up to date; sandboxes that see it find each file whole at any moment.

    Raises:
        OSError: The folder cannot be written.
    """
    own = {name: text.encode() for name, text in _OWN.items()}
    found = {name: content for name in _FILES if (content := _content(f"{_ETC}/{name}")) is not None}
    _fill(_folder(folder, Network.NONE), {**found, **own})
    _fill(_folder(folder, Network.HOST), {**found, **dict.fromkeys(_NETWORK, b""), **own})


def etc_mounts(folder: Path, network: Network, *, whole: bool = True) -> Iterator[tuple[str, str]]:
    """Yield read-only mounts in order: source and place; missing sources are to be left out.

    Args:
        folder: The one that ``write_etc`` has filled.
        network: With the machine's network its names are shown too.
        whole: As one folder; else each file for itself, so that others can be shown beside them.
    """
    base = _folder(folder, network)
    live = [name for name in _FOLDERS if os.path.isdir(base / name)]  # noqa: PTH112  on the way of each launch
    live += _NETWORK if network is Network.HOST else ()
    if whole:
        yield str(base), _ETC
    else:
        yield from ((f"{base}/{name}", f"{_ETC}/{name}") for name in sorted(os.listdir(base)) if name not in live)  # noqa: PTH208
    for name in live:
        yield f"{_ETC}/{name}", f"{_ETC}/{name}"


def _folder(folder: Path, network: Network) -> Path:
    return folder / ("networked" if network is Network.HOST else "alone")


def _content(path: str) -> bytes | str | None:
    """Return a file's content, or a link's target; None if nothing is readable by all."""
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            target = os.readlink(path)  # noqa: PTH115
            if os.path.normpath(os.path.join(_ETC, target)).startswith(_SHOWN):  # noqa: PTH118
                return target
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IROTH:
            return None
        return Path(path).read_bytes()
    except OSError:  # it is not there, or not for this user
        return None


def _fill(folder: Path, files: dict[str, bytes | str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Whatever the service's umask is: previews are other users.
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    folders = [name for name in _FOLDERS if os.path.isdir(f"{_ETC}/{name}")]  # noqa: PTH112
    for entry in list(folder.iterdir()):
        if entry.name not in files and entry.name not in folders:
            entry.rmdir() if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    for name in folders:
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(0o755)
    for name, content in files.items():
        _put(folder / name, content)


def _put(path: Path, content: bytes | str) -> None:
    """Write the file, or link, unless it is that already; beside the folder first, and then in its place at once."""
    if isinstance(content, str):
        if path.is_symlink() and str(path.readlink()) == content:
            return
    elif path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        return
    made = path.parent.parent / f".{path.parent.name}-{path.name}-{os.getpid()}"
    made.unlink(missing_ok=True)
    if isinstance(content, str):
        made.symlink_to(content)
    else:
        made.write_bytes(content)
        made.chmod(0o644)
    made.replace(path)


FIRST_UID = 1_900_000_000
NOBODY = 65534


def give(folders: Sequence[Path], uid: int) -> None:
    """Make the folders and all in them the user's, unless they are already; links themselves, never what they lead to.

    Blocks on the disk: call it in a thread. Call it before anything of the preview runs: what is in the folders by then
    was written by the service, and no hard link leads out of them.

    Raises:
        OSError: It cannot be done.
    """
    for folder in folders:
        if folder.lstat().st_uid == uid:
            continue
        for _root, names, files, descriptor in os.fwalk(folder, follow_symlinks=False):
            for name in (*names, *files):
                os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
        # Last: the folder's owner says that all of it is done.
        os.chown(folder, uid, uid, follow_symlinks=False)
