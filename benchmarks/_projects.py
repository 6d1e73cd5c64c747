"""Folders of real projects: a copy of each, launched as ``preview run`` would in a service of its own."""

from __future__ import annotations

import logging
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
import trio
from _caches import use_usual_caches

from preview.generations import FolderGenerations
from preview.service import open_service
from preview.settings import Settings
from preview.supervisor import LaunchRequest, LivePreview, User

__all__ = ["copied", "each_project", "launched", "quiet"]

USER = User("ann", "enterprise")


def quiet() -> None:
    """The service's own log says nothing: what counts is printed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def each_project(projects: Path, only: Sequence[str]) -> Iterator[Path]:
    """The folders in order of their names; all where ``only`` is empty."""
    for folder in sorted(one for one in projects.iterdir() if one.is_dir() and not one.name.startswith(".")):
        if not only or folder.name in only:
            yield folder


@contextmanager
def copied(folder: Path, cache: Path | None) -> Iterator[tuple[Path, Settings]]:
    """A copy of the project, and settings with folders and ports of its own; ``cache`` keeps the environments."""
    use_usual_caches()
    base = 20_000 + 50 * random.SystemRandom().randrange(200)
    with tempfile.TemporaryDirectory(prefix="preview-project-", ignore_cleanup_errors=True) as temporary:
        values: dict[str, object] = {
            "data_dir": Path(temporary) / "data",
            "cache_dir": cache or Path(temporary) / "cache",
            "port_min": base,
            "port_max": base + 49,
        }
        copy = Path(temporary) / "projects" / folder.name
        shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        yield copy, Settings(**values)  # type: ignore[arg-type]  # pydantic validates each value


@asynccontextmanager
async def launched(folder: Path, settings: Settings, timeout_s: float) -> AsyncIterator[LivePreview]:
    """The project's preview, running or over or late; what one does to its service is no other's matter.

    Raises:
        PreviewError: No preview was made.
    """
    source = FolderGenerations(folder, generation_id=folder.name, user_id=USER.id, project_id="corpus")
    async with open_service(settings, generations=source) as service:
        record = (await service.previews.launch(LaunchRequest(USER, folder.name))).record
        preview = service.previews.find(record.id)
        assert preview is not None
        with trio.move_on_after(timeout_s):
            await preview.settled.wait()
        yield preview
