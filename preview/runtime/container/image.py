"""The image of containers that show this machine's own programs: mount points, and the files of a sandbox's ``/etc``.

Programs and libraries are mounted from the machine, read-only, as sandboxes have them. So an environment that was built
on the machine runs in its containers, no registry is asked, and the image has some kilobytes.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preview.core.isolation import Network
from preview.runtime.container.engine import Engine
from preview.runtime.container.interpreter import OWN, Interpreter, carried_interpreter
from preview.runtime.sandbox.etc import etc_mounts
from preview.runtime.sandbox.view import SYSTEM_FOLDERS

_REPOSITORY = "preview-host"
_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "var")
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Image:
    """An image, and what its containers show of this machine besides.

    Attributes:
        name: Name and tag.
        mounts: Pairs of source and target, read-only.
        is_hosts: Whether its programs are this machine's.
        interpreter: Command of this machine's Python in its containers.
    """

    name: str
    mounts: Sequence[tuple[Path, Path]] = field(default=())
    is_hosts: bool = False
    interpreter: Interpreter = OWN


async def host_image(engine: Engine, etc: Path) -> Image:
    """Return the image with this machine's programs; it is made unless the engine has it.

    Args:
        engine: The engine.
        etc: The folder that ``write_etc`` has filled.

    Raises:
        EngineError: The image cannot be made.
        OSError: The folder cannot be read.

    Cancellation: the image may have been made.
    """
    links, mounts = _system()
    # Certificates may be replaced at any time, so they are mounted.
    files = [(Path(source), Path(target)) for source, target in etc_mounts(etc, Network.NONE, whole=False)]
    live = [(source, target) for source, target in files if source == target]
    copied = [(source, target) for source, target in files if source != target]
    archive = _archive(links, [target for _, target in (*mounts, *live)], copied)
    # Podman gives each image that it imports the tag "latest".
    name = f"{_REPOSITORY}-{hashlib.sha256(archive).hexdigest()[:_DIGITS]}:latest"
    if not await engine.has_image(name):
        await engine.import_image(name, archive)
    return Image(name, (*mounts, *live), is_hosts=True)


def operators_image(name: str) -> Image:
    """Return an image with programs of its own.

    Raises:
        NoInterpreter: This machine's Python cannot be shown in it.
    """
    interpreter = carried_interpreter()
    return Image(name, interpreter.mounts, interpreter=interpreter)


def _system() -> tuple[dict[str, str], list[tuple[Path, Path]]]:
    """Return the machine's links among its program folders, and the folders to mount."""
    links: dict[str, str] = {}
    mounts: list[tuple[Path, Path]] = []
    for folder in map(Path, SYSTEM_FOLDERS):
        if folder.is_symlink():
            links[str(folder)] = str(folder.readlink())
        elif folder.is_dir():
            mounts.append((folder, folder))
    return links, mounts


def _archive(links: dict[str, str], points: Sequence[Path], copied: Sequence[tuple[Path, Path]]) -> bytes:
    """Return a tar archive, the same for the same content."""
    folders = {*_FOLDERS, *(str(point).strip("/") for point in points)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(folders):
            archive.addfile(_member(name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755))
        for link, target in sorted({**links, "/var/tmp": "/tmp"}.items()):  # noqa: S108  the container's own
            archive.addfile(_member(link.strip("/"), tarfile.SYMTYPE, 0o777, link=target))
        for source, shown in sorted(copied, key=lambda pair: pair[1]):
            if source.is_symlink():
                link = os.readlink(source)  # noqa: PTH115
                archive.addfile(_member(str(shown).strip("/"), tarfile.SYMTYPE, 0o777, link=link))
            else:
                content = source.read_bytes()
                member = _member(str(shown).strip("/"), tarfile.REGTYPE, 0o644)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _member(name: str, kind: bytes, mode: int, *, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname = kind, mode, link
    return member
