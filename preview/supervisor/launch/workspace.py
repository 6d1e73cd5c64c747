"""Folders of a preview: project, temporary files, database. They are removed with the preview."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import structlog
import trio

from preview.core.removal import remove_folder
from preview.settings import Settings
from preview.supervisor.launch.ext4_topdir import spread_below

log = structlog.get_logger(__name__)

# Removing 100,000 files takes about two seconds on a slow disk; the cleanup removes what is left after this time.
_REMOVE_BUDGET_S = 5.0
_AGAIN_S = (0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Folders of one preview.

    Attributes:
        root: Parent folder of project and temp.
        project: The generation's files; working directory of the processes.
        temp: TMPDIR and HOME of the processes.
        database: Folder of the preview's SQLite file.
    """

    root: Path
    project: Path
    temp: Path
    database: Path

    @property
    def folders(self) -> tuple[Path, Path, Path]:
        """Folders that the processes can write to."""
        return self.project, self.temp, self.database

    @property
    def database_path(self) -> Path:
        """Path of the preview's SQLite file, which the application creates."""
        return self.database / "preview.db"

    @property
    def database_url(self) -> str:
        """Value of DATABASE_URL."""
        return f"sqlite:///{self.database_path}"


def workspace_root(settings: Settings) -> Path:
    """Return the parent folder of all workspaces."""
    return settings.data_dir / "previews"


def preview_folders(settings: Settings) -> tuple[Path, Path]:
    """Return the folders that have a subfolder for each preview, named by its id: workspaces, and databases."""
    return workspace_root(settings), settings.resolved_db_path


def make_roots(*roots: Path) -> None:
    """Create parent folders of workspaces and spread their subfolders over the disk; errors appear at the launch."""
    for root in roots:
        with suppress(OSError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            spread_below(root)


@asynccontextmanager
async def open_workspace(settings: Settings, preview_id: str) -> AsyncIterator[Workspace]:
    """Create the folders, empty and private (mode 0700), and remove them at the end in any case.

    Cancellation: the folders are removed, within a deadline; what is left is logged and removed by the cleanup.
    """
    root = workspace_root(settings) / preview_id
    workspace = Workspace(root, root / "project", root / "tmp", settings.resolved_db_path / preview_id)
    try:
        workspace.root.mkdir(mode=0o700, parents=True)
        _make(workspace)
        yield workspace
    finally:
        with trio.move_on_after(_REMOVE_BUDGET_S, shield=True) as scope:
            await remove_tree(workspace.root, workspace.database)
        if scope.cancelled_caught:
            log.error("folder not removed in time", preview_id=preview_id, directory=str(root))


async def put_aside(workspace: Workspace) -> None:
    """Replace the folders by empty ones, while no process uses them.

    The old folders are only renamed; see ``remove_aside``. To remove thousands of files and create as many again
    takes ext4 seconds, because it does not reuse an inode that was freed a moment ago.

    Raises:
        OSError: The disk refuses.

    Cancellation: folders may be missing; ``open_workspace`` removes the others.
    """
    # Rename within the same parent: moving another user's folder elsewhere requires write access to the folder.
    number = next(number for number in count(1) if not (workspace.root / f"{workspace.project.name}-{number}").exists())
    for folder in (workspace.project, workspace.temp):
        folder.rename(folder.with_name(f"{folder.name}-{number}"))
    await remove_tree(workspace.database)
    _make(workspace)


async def remove_aside(workspace: Workspace) -> None:
    """Remove the folders that were put aside. Cancellation: ``open_workspace`` removes the others."""
    names = (workspace.project.name, workspace.temp.name)
    await remove_tree(*(folder for name in names for folder in workspace.root.glob(f"{name}-[0-9]*")))


def _make(workspace: Workspace) -> None:
    for folder in workspace.folders:
        folder.mkdir(mode=0o700, parents=True)


async def remove_tree(*directories: Path) -> None:
    """Remove folders with their content; links are removed, never followed. Ignores missing folders.

    Folders that cannot be removed are retried a few times, as the service may be out of descriptors.

    Cancellation: the thread continues in the background until the removal ends.
    """
    for pause_s in (*_AGAIN_S, None):
        directories = await trio.to_thread.run_sync(_remove, directories, abandon_on_cancel=True)
        if not directories or pause_s is None:
            return
        await trio.sleep(pause_s)


def _remove(directories: tuple[Path, ...]) -> tuple[Path, ...]:
    """Remove the folders; return those of which something is left."""
    for directory in directories:
        remove_folder(directory)
    return tuple(directory for directory in directories if os.path.lexists(directory))
