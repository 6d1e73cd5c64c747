"""Files to upload, from a folder or from memory."""

from __future__ import annotations

import base64
import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from preview.client.errors import InvalidUpload

Source: TypeAlias = Path | str | Mapping[str, str | bytes]
"""A folder, or files by their paths."""

# Limits of a service without any settings; one with larger limits takes larger folders over `preview push`.
MAX_UPLOAD_BYTES = 200 * 1024 * 1024
MAX_UPLOAD_FILES = 20_000
# Folders deeper than this are a mistake, such as a loop.
_MAX_DEPTH = 64
# Base64 in JSON is a third longer than its content, and is read as a whole. Larger changes are sent as an archive.
MAX_JSON_BYTES = 4 * 1024 * 1024

# The same as for `preview push`: folders that tools recreate, which a preview does not need.
SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", ".jj",
        "node_modules", "__pycache__", "__pypackages__", ".venv", ".tox", ".nox", ".eggs",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".cache",
        "site-packages", "bower_components", "htmlcov", ".nyc_output", ".next", ".nuxt", ".turbo", ".parcel-cache",
        ".idea", ".vscode", ".DS_Store", "__MACOSX",
    }
)  # fmt: skip
SKIPPED_SUFFIXES = (
    ".pyc", ".pyo",
    # Temporary files of editors, next to a file that is being saved.
    "~", ".swp", ".swo", ".swx", ".kate-swp", "___jb_tmp___", "___jb_old___",
)  # fmt: skip
SKIPPED_PREFIXES = (".#", ".goutputstream-")
# Marks a virtual environment of any name (PEP 405).
_ENVIRONMENT_MARK = "pyvenv.cfg"
_INTERPRETER = re.compile(r"(?:python|pypy)[w\d.]*(?:\.exe)?")
_ENVIRONMENT_NAMES = frozenset(
    {
        "pyvenv.cfg", "bin", "lib", "lib64", "Scripts", "Lib", "include", "Include", "share", "etc", "man", "tcl",
        "pip-selfcheck.json", "CACHEDIR.TAG",
    }
)  # fmt: skip


def name_of(source: Source) -> str:
    """Return a name for people: the folder's, or ``files``."""
    return "files" if isinstance(source, Mapping) else Path(source).expanduser().resolve().name or "folder"


def read_source(source: Source) -> dict[str, bytes]:
    """Return the content of each file, by path. Blocks for a folder.

    Raises:
        InvalidUpload: The folder is missing or cannot be read, a link leaves it, or there is too much in it.
    """
    if isinstance(source, Mapping):
        found = {path: text.encode() if isinstance(text, str) else text for path, text in source.items()}
        if sum(map(len, found.values())) > MAX_UPLOAD_BYTES:
            raise _too_large()
        return found
    root, found, size = Path(source).expanduser().absolute(), {}, 0
    if not root.is_dir():
        raise InvalidUpload(f"The folder {root} does not exist; give the path of the project's folder.")
    for path, file in _walk(root, root.resolve(), (root.resolve(),), ""):
        try:
            content = _read(file, MAX_UPLOAD_BYTES - size)
        except FileNotFoundError:
            continue  # removed since the listing
        except OSError as error:
            raise InvalidUpload(
                f"{path} cannot be read ({error.strerror}); fix its permissions, or leave it out."
            ) from error
        found[path], size = content, size + len(content)
        if len(found) > MAX_UPLOAD_FILES:
            raise InvalidUpload(f"The folder has more than {MAX_UPLOAD_FILES} files; name the project's own folder.")
    if not found:
        raise InvalidUpload(f"The folder {root} has no files.")
    return found


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return the files as a tar.gz, without this machine's user names and ids."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=6) as archive:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def hashes_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file, in hexadecimal."""
    return {path: sha256(content).hexdigest() for path, content in files.items()}


def as_json(content: bytes) -> str | dict[str, str]:
    """Return the content as the API takes it: text, or base64."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def multipart(name: str, packed: bytes) -> Any:
    """Return the archive as a part of a form."""
    return {"archive": (f"{name}.tar.gz", packed, "application/gzip")}


def is_skipped(name: str) -> bool:
    """Return whether files and folders of this name are left out."""
    return (
        name in SKIPPED
        or name.endswith(SKIPPED_SUFFIXES)
        or name.startswith(SKIPPED_PREFIXES)
        # Autosave files of Emacs.
        or (name.startswith("#") and name.endswith("#"))
        # The service refuses it: systemd's units (`mnt-a\x2db.mount`).
        or (os.sep == "/" and "\\" in name)
    )


def _is_environment(folder: Path, names: set[str]) -> bool:
    """Return whether a folder with these entries is a virtual environment, without a project's own code in it."""
    if _ENVIRONMENT_MARK not in names or not all(name in _ENVIRONMENT_NAMES or name.startswith(".") for name in names):
        return False
    programs = (name for inner in ("bin", "Scripts") for name in _names(folder / inner))
    if any(_INTERPRETER.fullmatch(name) for name in programs):
        return True
    return any(_has_packages(folder / inner) for inner in ("lib", "lib64", "Lib"))


def _has_packages(folder: Path) -> bool:
    names = _names(folder)
    versions = (folder / name for name in names if _INTERPRETER.fullmatch(name))
    return "site-packages" in names or any("site-packages" in _names(one) for one in versions)


def _names(folder: Path) -> list[str]:
    try:
        return [] if folder.is_symlink() else [entry.name for entry in folder.iterdir()]
    except OSError:
        return []


def _walk(folder: Path, root: Path, above: tuple[Path, ...], prefix: str) -> Iterator[tuple[str, Path]]:
    """Yield the relative path and the file to read of each file below ``folder``, ordered by path."""
    if len(above) > _MAX_DEPTH:
        raise InvalidUpload(f"{prefix} is more than {_MAX_DEPTH} folders deep; leave it out.")
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidUpload(
            f"{folder} cannot be read ({error.strerror}); fix its permissions, or leave it out."
        ) from error
    if prefix and _is_environment(folder, {entry.name for entry in entries}):
        return
    for entry in entries:
        path, real = f"{prefix}{entry.name}", Path(entry.path)
        if is_skipped(entry.name):
            continue
        if entry.is_symlink():
            target = _target(real, path, root)
            if target is None:
                continue
            real = target
        if real.is_dir():
            # A link to a parent folder would lead into it again.
            if real.resolve() not in above:
                yield from _walk(real, root, (*above, real.resolve()), f"{path}/")
        elif real.is_file():
            yield path, real


def _target(link: Path, path: str, root: Path) -> Path | None:
    """Resolve a link inside the folder; None if it is broken."""
    try:
        target = link.resolve(strict=True)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # Python 3.11 raises RuntimeError for a loop of links
        raise InvalidUpload(f"The link {path} cannot be followed; remove it.") from error
    if not target.is_relative_to(root):
        raise InvalidUpload(
            f"The symbolic link {path} points outside the folder (to {target}); replace it with the file itself."
        )
    return target


def _read(file: Path, budget: int) -> bytes:
    # O_NONBLOCK: a pipe may have replaced the file since the listing.
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as opened:  # noqa: PTH123  a descriptor, not a path
        content = opened.read(budget + 1)
    if len(content) > budget:
        raise _too_large()
    return content


def _too_large() -> InvalidUpload:
    return InvalidUpload(
        f"The files exceed {MAX_UPLOAD_BYTES} bytes in total; leave out what the project does not need to run "
        "(data, builds, dependencies)."
    )
