"""How much a generation may hold, and the counting of it while it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from preview.errors import TooLarge
from preview.settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
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

    def __init__(self, limits: Limits) -> None:
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
