"""Definitions of templates: which packages a template imports, and which files it sees."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from preview.runtime.interface import ProcessSpec, WarmStart


@dataclass(frozen=True, slots=True)
class Wanted:
    """Definition of a template.

    Attributes:
        readable: Folders of the environment and of its interpreter.
        modules: Modules to import, as in ``WarmStart``.
        anchors: Folders that contain the folders of all previews.
        warm_ups: Whether packages are also used once.
    """

    key: str
    python: Path
    launchers: Path
    readable: tuple[Path, ...]
    modules: frozenset[str]
    anchors: tuple[Path, ...]
    warm_ups: bool = True

    def sees_as(self, other: Wanted) -> bool:
        """Return whether both templates see the same files."""
        mine, theirs = ((one.python, one.launchers, set(one.readable), set(one.anchors)) for one in (self, other))
        return mine == theirs


_WANTED: TypeAdapter[Wanted] = TypeAdapter(Wanted)


def wanted_by(spec: ProcessSpec, warm: WarmStart) -> Wanted:
    """Return the definition of the template for this process."""
    return Wanted(
        key=warm.key,
        python=Path(spec.argv[0]),
        launchers=warm.launcher.parent,
        readable=tuple(spec.readable),
        modules=frozenset(warm.modules),
        anchors=tuple(warm.anchors),
    )


log = structlog.get_logger(__name__)

_MOST_FILES = 200
_MOST_BYTES = 256 * 1024


class RememberedTemplates:
    """Stored definitions of templates, with use counts. Each call blocks on the disk for well under a millisecond.

    Methods raise no errors: an unreadable file counts as missing.

    Args:
        folder: Folder of the files; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uses: dict[str, int] = {}

    def note(self, wanted: Wanted) -> None:
        """Count a use; written to disk only at the 1st, 2nd, 4th, … use, so that a launch seldom writes."""
        uses = self._uses.get(wanted.key) or self._read_uses(wanted.key)
        self._uses[wanted.key] = uses + 1
        if (uses + 1).bit_count() == 1:
            self._write(wanted, uses + 1)

    def most_used(self, count: int) -> list[Wanted]:
        """Return the ``count`` most used definitions whose interpreter still exists; delete the files of others."""
        found: list[tuple[int, Wanted]] = []
        for path in self._files():
            said = _read(path)
            if said is None or not said[1].python.exists():
                with suppress(OSError):
                    path.unlink()
            else:
                found.append(said)
        found.sort(key=lambda one: one[0], reverse=True)
        self._uses = {wanted.key: uses for uses, wanted in found}
        return [wanted for _, wanted in found[:count]]

    def _files(self) -> list[Path]:
        try:
            return sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)[
                :_MOST_FILES
            ]
        except OSError:
            return []

    def _read_uses(self, key: str) -> int:
        said = _read(self._folder / f"{key}.json")
        return 0 if said is None else said[0]

    def _write(self, wanted: Wanted, uses: int) -> None:
        path = self._folder / f"{wanted.key}.json"
        temporary = path.with_suffix(f".{os.getpid()}")
        said = _WANTED.dump_python(wanted, mode="json", exclude={"warm_ups"})
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"uses": uses, **said}), "utf-8")
            temporary.replace(path)
        except OSError as error:
            log.warning("template record not written", key=wanted.key, why=error.strerror)
            with suppress(OSError):
                temporary.unlink()


def _read(path: Path) -> tuple[int, Wanted] | None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        said = json.loads(path.read_text("utf-8"))
        return int(said["uses"]), _WANTED.validate_python(said)
    except (OSError, ValueError, KeyError, TypeError):
        return None
