"""The sandbox's ``/etc``, made once for all sandboxes.

Each extra mount costs each launch a quarter of a millisecond, twice if the service is root. So files are copied when
the service starts. Folders with certificates, which may be replaced at any time, are mounted from the host.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from preview.core.isolation import Network
from preview.core.servers import SERVICE_HOSTS

_ETC = "/etc"
# Files that the C library, OpenSSL, Python and Node look up; none of them is secret.
_FILES = (
    *("ca-certificates.conf", "ld.so.cache", "ld.so.conf", "locale.alias", "localtime", "mime.types", "os-release"),
    *("protocols", "services", "timezone"),
)
_FOLDERS = ("alternatives", "ca-certificates", "ld.so.conf.d", "pki", "ssl")
_OWN = {
    "passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\npreview:x:1000:1000:preview:/tmp:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\npreview:x:1000:\nnogroup:x:65534:\n",
    # Names of servers in compose files lead to the preview's own servers, if it has any.
    "hosts": f"127.0.0.1 localhost preview {' '.join(SERVICE_HOSTS)}\n::1 localhost ip6-localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nprotocols: files\nservices: files\n",
}
# Previews with the host's network get these files live from the host. An empty file means the same as a missing one.
_NETWORK = ("gai.conf", "host.conf", "hosts", "resolv.conf")
# Links below this folder lead to the same file in each sandbox.
_SHOWN = "/usr/"


def write_etc(folder: Path) -> None:
    """Write or update the folder; sandboxes that use it never see a partly written file.

    Raises:
        OSError: The folder cannot be written.
    """
    own = {name: text.encode() for name, text in _OWN.items()}
    found = {name: content for name in _FILES if (content := _content(f"{_ETC}/{name}")) is not None}
    _fill(_folder(folder, Network.NONE), {**found, **own})
    _fill(_folder(folder, Network.HOST), {**found, **dict.fromkeys(_NETWORK, b""), **own})


def etc_mounts(folder: Path, network: Network, *, whole: bool = True) -> Iterator[tuple[str, str]]:
    """Yield read-only mounts in order, as (source, target); the caller must skip missing sources.

    Args:
        folder: The folder that ``write_etc`` has filled.
        network: The host's network adds its name resolution files.
        whole: Whether to mount one folder; otherwise each file is mounted, so that others can be added beside them.
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
    """Return a file's content, or a link's target; None unless all users can read it."""
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            target = os.readlink(path)  # noqa: PTH115
            if os.path.normpath(os.path.join(_ETC, target)).startswith(_SHOWN):  # noqa: PTH118
                return target
        status = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IROTH:
            return None
        return Path(path).read_bytes()
    except OSError:  # Missing, or not readable for this user.
        return None


def _fill(folder: Path, files: dict[str, bytes | str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Independent of the umask, because previews run as other users.
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
    """Write the file or link unless it is up to date; made outside of the folder, then renamed into it."""
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
