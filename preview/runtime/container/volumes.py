"""Volumes of an image: folders in memory of a fixed size, or the image is refused; never folders on the engine's disk.

The engine makes a folder on its disk for each volume of an image's configuration that the container does not mount
itself. So the configuration decides, not the Dockerfile; and the finished container is looked at once more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from preview.core.quoting import quoted

_MOST: Final = 16
_FOLDER: Final = re.compile(r"(?:/[A-Za-z0-9._@-]{1,100}){1,20}/?")
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


def check_mounts(described: Mapping[str, object]) -> None:
    """Check the engine's description of a container: no mount is a folder of the engine.

    Raises:
        BadVolume: One is.
    """
    mounts = described.get("Mounts")
    for one in mounts if isinstance(mounts, list) else []:
        if not isinstance(one, dict) or one.get("Type") not in ("bind", "tmpfs"):
            raise BadVolume("the engine gives it a volume on its disk")


def is_plain_folder(text: str) -> bool:
    """Return whether a text is the absolute path of a folder, without ``.`` and ``..``."""
    return _FOLDER.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
