"""What a template is to be made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preview.runtime.interface import ProcessSpec, WarmStart


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a template is to be made of.

    Attributes:
        key: The environment's name.
        python: Its interpreter.
        launchers: The folder that launchers lie in.
        readable: Its folders, and those of its interpreter.
        modules: What is to be imported.
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
        """Whether a template of one sees the same files as one of the other."""
        mine, theirs = ((one.python, one.launchers, set(one.readable), set(one.anchors)) for one in (self, other))
        return mine == theirs

    def as_json(self) -> dict[str, object]:
        """For a file; ``from_json`` reads it."""
        return {
            "key": self.key,
            "python": str(self.python),
            "launchers": str(self.launchers),
            "readable": [str(one) for one in self.readable],
            "modules": sorted(self.modules),
            "anchors": [str(one) for one in self.anchors],
        }

    @classmethod
    def from_json(cls, said: Mapping[str, object]) -> Wanted:
        """What ``as_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        return cls(
            key=_text(said["key"]),
            python=Path(_text(said["python"])),
            launchers=Path(_text(said["launchers"])),
            readable=tuple(map(Path, _texts(said["readable"]))),
            modules=frozenset(_texts(said["modules"])),
            anchors=tuple(map(Path, _texts(said["anchors"]))),
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError("a list is missing")
    return [_text(one) for one in value]


def wanted_by(spec: ProcessSpec, warm: WarmStart) -> Wanted:
    """What the template of such a process is made of."""
    return Wanted(
        key=warm.key,
        python=Path(spec.argv[0]),
        launchers=warm.launcher.parent,
        readable=tuple(spec.readable),
        modules=frozenset(warm.modules),
        anchors=tuple(warm.anchors),
    )
