"""Requirements that are paths inside the project; the cache key contains a hash of their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from preview.core.descriptors import walk
from preview.environments.requirements.requirements import ProjectRequirement, invalid
from preview.errors import EnvironmentFailed

# A folder with more files is not a small local package.
_MAX_FILES = 5_000
_MAX_BYTES = 100 * 1024 * 1024
_SKIPPED = frozenset({".git", "__pycache__", ".venv", "venv", "node_modules", "build", "dist"})

_NAMED = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<extras>\[[^\]]*\])?\s*@\s*(?P<target>.+)$")
_BARE_EXTRAS = re.compile(r"^(?P<path>.*?)(?P<extras>\[[A-Za-z0-9,._\s-]*\])?$")


def looks_local(text: str) -> bool:
    """Return whether a requirement is a path (``./lib``, ``lib.whl``, ``name @ file:…``), not a name or a URL."""
    target = _target(text)
    if target.startswith("file:"):
        return True
    if re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:", target):
        return False
    named = _NAMED.match(text) is not None
    return named or target.startswith((".", "/", "~")) or target.endswith((".whl", ".tar.gz", ".zip"))


def _target(text: str) -> str:
    named = _NAMED.match(text)
    return (named["target"] if named else text).split(" ;")[0].strip()


def resolve_inside(project: Path, base: Path, name: str, origin: str) -> Path:
    """Return the resolved path of ``name``, which is relative to ``base``.

    Raises:
        EnvironmentFailed: The path is outside ``project``.
    """
    try:
        path = (base / name).resolve()
    except (OSError, ValueError, RuntimeError):  # NUL, or a loop of links
        path = Path("/")
    if not path.is_relative_to(project):
        raise invalid(
            f"{origin} refers to {name[:200]!r}, which is outside the project; copy it into the project", origin=origin
        )
    return path


def local_requirement(project: Path, base: Path, text: str, origin: str) -> ProjectRequirement:
    """Return a requirement that is a path inside the project: a wheel, an archive or a folder with a build file.

    Raises:
        EnvironmentFailed: The path is outside the project, does not exist, or is too large.
    """
    named = _NAMED.match(text)
    target = _target(text).removeprefix("file:")
    target = target.removeprefix("//localhost") if target.startswith("//localhost/") else target
    bare = _BARE_EXTRAS.match(target)
    location, extras = (bare["path"], bare["extras"] or "") if bare else (target, "")
    path = _find(project, base, re.sub(r"^//(?=/)", "", location), origin)
    if not path.exists():
        raise EnvironmentFailed(
            f"{origin} refers to {location[:200]!r}, which is not in the project; add it or remove the line",
            reason="not_found",
            requirement=text[:200],
            origin=origin,
        )
    prefix = f"{named['name']}{named['extras'] or ''} @ " if named else ""
    return ProjectRequirement(
        text=f"{prefix}{path.as_uri()}" if named else f"{path}{extras}",
        name=canonicalize_name(named["name"]) if named else _wheel_name(path),
        extras=frozenset(),
        pinned=True,
        origin=origin,
        identity=f"{prefix}{extras}{path.relative_to(project)} {_digest(path, origin)}",
    )


def _find(project: Path, base: Path, name: str, origin: str) -> Path:
    """Return the path from the file's folder, or from one above: pip takes the one that it is started in."""
    first = resolve_inside(project, base, name, origin)
    # A path upwards says where it begins.
    if first.exists() or ".." in Path(name).parts:
        return first
    above = (folder for folder in base.parents if folder.is_relative_to(project))
    others = (resolve_inside(project, folder, name, origin) for folder in above)
    return next((one for one in others if one.exists()), first)


def _wheel_name(path: Path) -> str | None:
    try:
        return parse_wheel_filename(path.name)[0]
    except InvalidWheelFilename:
        return None


def _digest(path: Path, origin: str) -> str:
    digest = hashlib.sha256()
    total = 0
    for number, file in enumerate(_files(path)):
        total += file.stat().st_size
        if number >= _MAX_FILES or total > _MAX_BYTES:
            raise invalid(
                f"{origin} refers to a folder with more than {_MAX_FILES} files or {_MAX_BYTES // 2**20} MiB; "
                "point it at the package's own folder",
                origin=origin,
            )
        with file.open("rb") as content:
            inner = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{file.relative_to(path)}\0{inner}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, folders, names in walk(path):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.endswith(".egg-info"))
        for name in sorted(names):
            file = Path(folder) / name
            if file.is_file() and not file.is_symlink():
                yield file
