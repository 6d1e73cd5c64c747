"""Volumes of an image: folders in memory of a fixed size, or the image is refused; never folders on the engine's disk.

The engine makes a folder on its disk for each volume of an image's configuration that the container does not mount
itself. So the configuration decides, not the Dockerfile; and the finished container is looked at once more.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import structlog
import trio

from preview.core.quoting import quoted
from preview.runtime.container.engine import Engine, EngineError

log = structlog.get_logger(__name__)

_MOST: Final = 16
_NOT_FOUND: Final = 404
_FOLDER: Final = re.compile(r"(?:/[A-Za-z0-9._@-]{1,100}){1,20}/?")
_OWNED: Final = re.compile(r",uid=\d+,gid=\d+")
_REMOVE_S: Final = 10.0
_OF_THE_KERNEL: Final = tuple(map(Path, ("/proc", "/sys", "/dev")))


class BadVolume(Exception):
    """The image has a volume that cannot be limited; the message is half a sentence."""


def volume_mounts(
    volumes: Sequence[str], size_bytes: int, shown: Iterable[Path], in_memory: Iterable[str]
) -> list[Mapping[str, object]]:
    """Return the mounts for an image's volumes, each a folder in memory.

    Args:
        volumes: The volumes of the image's configuration.
        size_bytes: Size of each.
        shown: Paths of the container's other mounts.
        in_memory: Folders that are in memory already.

    Raises:
        BadVolume: A volume cannot have such a folder.
    """
    if len(volumes) > _MOST:
        raise BadVolume(f"the image has more than {_MOST} volumes")
    options, targets = {"SizeBytes": size_bytes, "Mode": 0o1777}, tuple(shown)
    known, found = {Path(one) for one in in_memory}, list[Path]()
    for text in volumes:
        path = Path(text)
        if not is_plain_folder(text):
            raise BadVolume(f"its volume {quoted(text[:100])} is no plain path of a folder")
        if path in known:
            continue
        if any(_overlap(path, one) for one in targets) or any(path.is_relative_to(one) for one in _OF_THE_KERNEL):
            raise BadVolume(f"its volume {path} is a folder that each container has already")
        known.add(path)
        found.append(path)
    return [{"Type": "tmpfs", "Target": str(one), "TmpfsOptions": options} for one in found]


def check_mounts(described: Mapping[str, object], own: str) -> None:
    """Check the engine's description of a container: no mount is a folder of the engine.

    Args:
        described: The description.
        own: Beginning of the names of folders that the service has made; see ``open_owned_folders``.

    Raises:
        BadVolume: One is.
    """
    mounts = described.get("Mounts")
    for one in mounts if isinstance(mounts, list) else []:
        is_own = isinstance(one, dict) and one.get("Type") == "volume" and str(one.get("Name")).startswith(own)
        if not is_own and (not isinstance(one, dict) or one.get("Type") not in ("bind", "tmpfs")):
            raise BadVolume("the engine gives it a volume on its disk")


def is_plain_folder(text: str) -> bool:
    """Return whether a text is the absolute path of a folder, without ``.`` and ``..``."""
    return _FOLDER.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def without_owners(description: Mapping[str, object]) -> dict[str, object]:
    """Return a container's description whose folders in memory have no owner, for one that never runs."""
    host = description["HostConfig"]
    if not isinstance(host, dict):
        return dict(description)
    folders = {path: _OWNED.sub("", options) for path, options in host["Tmpfs"].items()}
    return {**description, "HostConfig": {**host, "Tmpfs": folders}}


@asynccontextmanager
async def open_owned_folders(
    engine: Engine, name: str, labels: Mapping[str, str], description: Mapping[str, object]
) -> AsyncIterator[dict[str, object]]:
    """Yield a container's description for Podman, which gives folders in memory no owner.

    Such a folder is a volume of the kind ``tmpfs``. Podman mounts it when the container starts.

    Args:
        engine: Podman.
        name: Beginning of the volumes' names.
        labels: Labels of the volumes.
        description: Podman gets it without the owned folders in memory, and with these volumes.

    Raises:
        EngineError: Podman refuses.

    Cancellation: the volumes are removed (bounded).
    """
    host = description["HostConfig"]
    folders = host["Tmpfs"] if isinstance(host, dict) else {}
    owned = [path for path, options in folders.items() if _OWNED.search(options)]
    made = {f"{name}-{number}": path for number, path in enumerate(owned)}
    try:
        for one, path in made.items():
            kind = {"type": "tmpfs", "device": "tmpfs", "o": _in_blocks(folders[path])}
            body = {"Name": one, "Driver": "local", "DriverOpts": kind, "Labels": dict(labels)}
            await engine.call("POST", "/volumes/create", body)
        # U gives it to the container's user; else it would be its who owns this folder in the image.
        binds = [f"{one}:{path}:U,nocopy" for one, path in made.items()]
        kept = {path: options for path, options in folders.items() if path not in owned}
        changed = {**host, "Tmpfs": kept, "Binds": binds} if isinstance(host, dict) else host
        yield {**description, "HostConfig": changed}
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True):
            await _remove(engine, list(made))


def _in_blocks(options: str) -> str:
    """Return the options of a folder in memory with its size in blocks: Podman takes ``size`` for a quota of a disk."""
    words = [one for one in options.split(",") if one not in ("rw", "exec")]
    sizes = {one: f"nr_blocks={-(-int(one[5:]) // mmap.PAGESIZE)}" for one in words if one.startswith("size=")}
    return ",".join(sizes.get(one, one) for one in words)


async def remove_owned_folders(engine: Engine, label: str) -> None:
    """Remove the volumes of an earlier run. Cancellation: some are removed.

    Raises:
        EngineError: No engine answers.
    """
    found = await engine.call("GET", f"/volumes?{urlencode({'filters': json.dumps({'label': [label]})})}")
    listed = found.get("Volumes") if isinstance(found, dict) else None
    names = [str(one.get("Name")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    await _remove(engine, names)


async def _remove(engine: Engine, names: Sequence[str]) -> None:
    for one in names:
        try:
            await engine.call("DELETE", f"/volumes/{one}?force=1")
        except EngineError as error:
            if error.status != _NOT_FOUND:
                log.warning("volume not removed", volume=one, error=str(error))
