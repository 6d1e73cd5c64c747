"""Interface of generations, the service's own or an embedding application's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from preview.errors import TooLarge
from preview.settings import Settings


@dataclass(frozen=True, slots=True)
class Generation:
    """A generated project.

    Attributes:
        id: The host's or our own id (``ids.GENERATION_ID_PATTERN``).
        project_id: The project it was generated for. Unique among its owner's projects only.
        user_id: Its owner: nobody else may reach it.
        created_at: Aware, UTC.
        name: For people; may be empty.
        file_count: Number of files, or None where the source does not count them.
        size_bytes: Sum of the files' sizes, likewise.
        revision: Grows with each change of its files.
    """

    id: str
    project_id: str
    user_id: str
    created_at: datetime
    name: str = ""
    file_count: int | None = None
    size_bytes: int | None = None
    revision: int = 1


class GenerationSource(Protocol):
    """Source of generations. A host with its own storage implements these two methods."""

    async def get(self, generation_id: str) -> Generation:
        """Return the generation.

        Raises:
            GenerationNotFound: There is none with this id.

        Cancellation: nothing was changed.
        """

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """Write the generation's files into ``directory``, an empty folder that exists.

        Paths are relative, stay inside, and are plain files or folders: the caller runs what lies there.

        Raises:
            GenerationNotFound: There is none with this id (any more).
            InvalidGeneration: Its files cannot be written safely.

        Cancellation: the folder may be partly filled; the caller removes it.
        """


@dataclass(frozen=True, slots=True)
class GenerationLimits:
    """Bounds of one generation.

    Attributes:
        files: Number of files; as many folders may hold them.
        size_bytes: Sum of the files' sizes, unpacked.
    """

    files: int
    size_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that the operator has set."""
        return cls(files=settings.generation_files, size_bytes=settings.generation_bytes)

    @classmethod
    def default(cls) -> Self:
        """Those of a service where nothing is set."""
        fields = Settings.model_fields
        return cls(files=fields["generation_files"].default, size_bytes=fields["generation_bytes"].default)


class Budget:
    """Counts bytes as they come, and refuses the first one too many: no header is believed."""

    def __init__(self, limits: GenerationLimits) -> None:
        self._limit = limits.size_bytes
        self._left = limits.size_bytes

    def take(self, size_bytes: int) -> None:
        """Count ``size_bytes`` more.

        Raises:
            TooLarge: Over the limit.
        """
        self._left -= size_bytes
        if self._left < 0:
            raise TooLarge(
                f"The files are larger than {self._limit} bytes together; leave out what the project does not need "
                "to run (data, builds, dependencies).",
                limit_bytes=self._limit,
            )
