"""Reading one manifest: bounded, in whatever encoding it was saved."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preview.environments.requirements.requirements import OwnIndex, invalid

# A requirements file of a real project has a few hundred lines with hashes; a megabyte is far beyond any of them.
_MAX_FILE_BYTES = 1024 * 1024
# The lock file of a large project: a few thousand hashes.
_MAX_LOCK_BYTES = 8 * 1024 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # PowerShell's `pip freeze > requirements.txt`
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement as a manifest writes it."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Requirements in one file.

    Attributes:
        source: The file, relative to the project.
        lines: What the project requires to run.
        groups: What it requires for other purposes (``dev``, ``test``, extras), by name.
        requires_python: ``>=3.12`` and the like, or None.
        pins: Versions that a lock file chose, by normalised name.
        notes: Sentences for the person who launches.
        indexes: That the project names.
        withheld: See ``RequirementSet``.
    """

    source: str
    lines: tuple[Line, ...] = ()
    groups: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)
    requires_python: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    indexes: tuple[OwnIndex, ...] = ()
    withheld: frozenset[str] = frozenset()


def read_bytes(path: Path, shown: str, *, limit: int = _MAX_FILE_BYTES) -> bytes:
    """Return the file's bytes.

    Raises:
        EnvironmentFailed: It cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise invalid(
            f"{shown} cannot be read ({reason}): add the file or remove what refers to it", origin=shown
        ) from error
    if len(data) > limit:
        raise invalid(f"{shown} is larger than {limit // 1024} KiB; this is no list of requirements", origin=shown)
    return data


def read_text(path: Path, shown: str) -> str:
    """Return the file's text: UTF-8, UTF-16 where a mark or every second byte says so.

    Raises:
        EnvironmentFailed: It cannot be read, is too large, or is in another encoding.
    """
    data = read_bytes(path, shown)
    encoding, start = next(((name, len(bom)) for bom, name in _BOMS if data.startswith(bom)), ("utf-8", 0))
    if start == 0 and len(data) > 1 and data[1] == 0 and data[0] != 0:
        encoding = "utf-16-le"
    try:
        return data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        raise invalid(f"{shown} is not text in UTF-8; save it as UTF-8", origin=shown) from error


def load_toml(path: Path, shown: str, *, lock: bool = False) -> dict[str, object]:
    """Return the parsed file.

    Raises:
        EnvironmentFailed: It cannot be read or is no TOML.
    """
    data = read_bytes(path, shown, limit=_MAX_LOCK_BYTES if lock else _MAX_FILE_BYTES)
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        said = str(error) or type(error).__name__
        raise invalid(f"{shown} cannot be read: {said}; correct it", origin=shown) from error


def as_table(value: object) -> Mapping[str, object]:
    """``value`` if it is a table with text keys, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_texts(value: object) -> Sequence[str]:
    """Return the texts of a list; nothing for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
