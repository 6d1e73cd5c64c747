"""Reading of one manifest, with a size limit, in common encodings."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preview.environments.requirements.requirements import OwnIndex, invalid

# A requirements file of a real project has a few hundred lines with hashes, far below a megabyte.
_MAX_FILE_BYTES = 1024 * 1024
# The lock file of a large project has a few thousand hashes.
_MAX_LOCK_BYTES = 8 * 1024 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # PowerShell's `pip freeze > requirements.txt`
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement as the manifest writes it, with its position."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Requirements in one file.

    Attributes:
        source: Path of the file, relative to the project.
        lines: Requirements for running the project.
        groups: Requirements for other purposes (``dev``, ``test``, extras), by name.
        requires_python: A range such as ``>=3.12``; None if the file names none.
        pins: Versions that a lock file chose, by normalised name.
        notes: Sentences for the user who launches the project.
        indexes: Indexes that the project names.
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
        EnvironmentFailed: The file cannot be read or is too large.
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
        raise invalid(f"{shown} is larger than {limit // 1024} KiB; it cannot be a list of requirements", origin=shown)
    return data


def read_text(path: Path, shown: str) -> str:
    """Return the file's text: UTF-8, or UTF-16 if a byte order mark or a zero second byte indicates that.

    Raises:
        EnvironmentFailed: The file cannot be read, is too large, or has another encoding.
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
        EnvironmentFailed: The file cannot be read or is not TOML.
    """
    data = read_bytes(path, shown, limit=_MAX_LOCK_BYTES if lock else _MAX_FILE_BYTES)
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        said = str(error) or type(error).__name__
        raise invalid(f"{shown} cannot be read: {said}; correct it", origin=shown) from error


def as_table(value: object) -> Mapping[str, object]:
    """Return ``value`` if it is a table, else an empty table."""
    return value if isinstance(value, dict) else {}


def as_texts(value: object) -> Sequence[str]:
    """Return the strings of a list; an empty list for any other value."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
