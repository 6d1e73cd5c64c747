from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

MakeZip = Callable[..., io.BytesIO]

FILES = {"main.py": b"print('hello')\n", "app/models.py": b"x = 1\n", "app/data/\N{SNOWMAN}.bin": bytes(range(256))}


def make_zip(
    files: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED, mode: int = stat.S_IFREG | 0o644
) -> io.BytesIO:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            # Also names that ZipInfo would change.
            entry.filename = entry.orig_filename = name
            entry.external_attr = mode << 16
            entry.compress_type = compression
            archive.writestr(entry, content)
    target.seek(0)
    return target


def make_tar(*members: tuple[tarfile.TarInfo, bytes], tar_format: int = tarfile.PAX_FORMAT) -> io.BytesIO:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", format=tar_format) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    target.seek(0)
    return target


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.size = len(content)
    return info, content


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
