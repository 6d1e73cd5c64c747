"""What the edges may ask of the supervisor: the shapes, without the machinery."""

from __future__ import annotations

from dataclasses import dataclass

from preview.detection import Overrides
from preview.storage.records import PreviewRecord
from preview.user import User

__all__ = ["LaunchRequest", "Launched", "User"]


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
        record: The preview, ``starting``.
        token: The preview token in clear: shown once, kept only as a hash.
    """

    record: PreviewRecord
    token: str
