"""Interface of generations, the service's own or an embedding application's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from preview.core.quoting import quoted
from preview.errors import TooLarge

if TYPE_CHECKING:
    from preview.settings import Settings


@dataclass(frozen=True, slots=True)
class Generation:
    """A generated project.

    Attributes:
        id: The id given by the host or by this service (``ids.GENERATION_ID_PATTERN``).
        project_id: The project that the generation belongs to. Unique only among its owner's projects.
        user_id: The owner. No other user may access the generation.
        created_at: Aware, UTC.
        name: A display name; may be empty.
        file_count: Number of files; None if the source does not count them.
        size_bytes: Sum of the files' sizes; None if the source does not count them.
        revision: Increases with each change of the files.
        group: The group that its owner has put it in; empty for none.
        origin: Address of the repository that its files were imported from; empty for none.
    """

    id: str
    project_id: str
    user_id: str
    created_at: datetime
    name: str = ""
    file_count: int | None = None
    size_bytes: int | None = None
    revision: int = 1
    group: str = ""
    origin: str = ""

    @property
    def version(self) -> int:
        """Number of the newest version of the files."""
        return self.revision


class GenerationSource(Protocol):
    """Source of generations. A host with its own storage implements these two methods."""

    async def get(self, generation_id: str) -> Generation:
        """Return the generation.

        Raises:
            GenerationNotFound: No generation has this id.

        Cancellation: nothing changes.
        """

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """Write the generation's files into ``directory``, an existing empty folder.

        Write only plain files and folders, at relative paths that stay inside: the caller runs them.

        Raises:
            GenerationNotFound: No generation has this id (any more).
            InvalidGeneration: The files cannot be written safely.

        Cancellation: the folder may be partly filled; the caller removes it.
        """


@dataclass(frozen=True, slots=True)
class GenerationLimits:
    """Limits of one generation.

    Attributes:
        files: Maximum number of files, and also of folders.
        size_bytes: Maximum sum of the files' sizes, unpacked.
    """

    files: int
    size_bytes: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the operator has set."""
        return cls(files=settings.generation_files, size_bytes=settings.generation_bytes)

    @classmethod
    def default(cls) -> Self:
        """Return the limits of a service without any settings."""
        # Only here: the processes that read untrusted files have no settings.
        from preview.settings import Settings  # noqa: PLC0415

        fields = Settings.model_fields
        return cls(files=fields["generation_files"].default, size_bytes=fields["generation_bytes"].default)


# A smaller share does not tell where the rest is.
_MOST = 0.5
_DEEPEST = 4


def where_most(amounts: Mapping[str, int], what: str) -> str:
    """Return the part of a sentence that names the deepest folder with half of the amounts; empty if there is none.

    Args:
        amounts: What each file counts, by path.
        what: Names the amounts: ``of them``.
    """
    whole, found = sum(amounts.values()), ""
    for depth in range(1, _DEEPEST + 1):
        totals: Counter[str] = Counter()
        for path, amount in amounts.items():
            parts = path.split("/", depth)
            if len(parts) > depth:
                totals["/".join(parts[:depth])] += amount
        folder, amount = max(totals.items(), key=itemgetter(1), default=("", 0))
        if amount <= whole * _MOST:
            break
        found = folder
    return f" (most {what} in the folder {quoted(found)})" if found else ""


class Budget:
    """Byte counter that raises at the limit. Counts actual bytes, because headers cannot be trusted."""

    def __init__(self, limits: GenerationLimits) -> None:
        self._limit = limits.size_bytes
        self._left = limits.size_bytes
        self._taken: dict[str, int] = {}

    def take(self, size_bytes: int, path: str = "") -> None:
        """Count ``size_bytes`` more.

        Args:
            size_bytes: Size of a file, or of a part of it.
            path: The file; the error then names the folder with most of the bytes.

        Raises:
            TooLarge: The total is over the limit.
        """
        self._left -= size_bytes
        if path:
            self._taken[path] = self._taken.get(path, 0) + size_bytes
        if self._left < 0:
            raise TooLarge(
                f"The files exceed {self._limit} bytes in total{where_most(self._taken, 'of it')}; leave out what "
                "the project does not need to run (data, builds, dependencies), or raise PREVIEW_GENERATION_BYTES.",
                limit_bytes=self._limit,
            )
