"""What the edges may ask of the supervisor: the shapes, without the machinery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from preview.detection import Overrides
from preview.storage.records import PreviewRecord
from preview.user import User


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A launch as the edge has understood it.

    Attributes:
        user: Who launches; must own the generation.
        generation_id: What to launch.
        project_id: Must be the generation's, where given.
        startup_timeout_s: Seconds allowed for start-up; None means the setting.
        overrides: What detection would else decide about the start; wins over the project's ``preview.toml``.
    """

    user: User
    generation_id: str
    project_id: str | None = None
    startup_timeout_s: float | None = None
    overrides: Overrides | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch gives back.

    Attributes:
        record: The preview, ``starting``; ``running`` after a restart in place.
        token: A preview token in clear: shown once, kept only as a hash.
    """

    record: PreviewRecord
    token: str


@dataclass(frozen=True, slots=True)
class FilesChange:
    """Files of a project that are to be changed where it runs.

    Attributes:
        written: Content by relative path; checked as a generation's paths are (``preview.generations.PathCheck``).
        removed: Relative paths, checked likewise; one that is not there is no mistake.
    """

    written: Mapping[str, bytes] = field(default_factory=dict)
    removed: Sequence[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All paths, those that are written first."""
        return (*self.written, *(path for path in self.removed if path not in self.written))


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload gives back: the new process serves.

    Attributes:
        record: The preview, ``running``.
        changed: Paths that were written.
        removed: Paths that were removed.
        elapsed_s: Seconds from the request until the new process served.
    """

    record: PreviewRecord
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    elapsed_s: float
