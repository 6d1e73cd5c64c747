"""Definition of a template."""

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
        launchers: The folder that launchers lie in.
        readable: Its folders, and those of its interpreter.
        anchors: Folders that hold previews' folders.
        warm_ups: Whether packages are used once as well.
    """

    key: str
    python: Path
    launchers: Path
    readable: tuple[Path, ...]
    modules: frozenset[str]
    anchors: tuple[Path, ...]
    warm_ups: bool = True

    def sees_as(self, other: Wanted) -> bool:
        """Return whether a template of one sees the same files as one of the other."""
        mine, theirs = ((one.python, one.launchers, set(one.readable), set(one.anchors)) for one in (self, other))
        return mine == theirs


_WANTED: TypeAdapter[Wanted] = TypeAdapter(Wanted)


def wanted_by(spec: ProcessSpec, warm: WarmStart) -> Wanted:
    """Return the template's definition for such a process."""
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
    """Definitions of templates and their uses. Blocks on the disk for well under a millisecond.

    Nothing here is ever an error: what cannot be read is not remembered.

    Args:
        folder: Where the files lie; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uses: dict[str, int] = {}

    def note(self, wanted: Wanted) -> None:
        """Count a use; written at the 1st, 2nd, 4th, … use, so that a launch seldom writes."""
        uses = self._uses.get(wanted.key) or self._read_uses(wanted.key)
        self._uses[wanted.key] = uses + 1
        if (uses + 1).bit_count() == 1:
            self._write(wanted, uses + 1)

    def most_used(self, count: int) -> list[Wanted]:
        """Those used most, whose environments are there still; files of others are removed."""
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
