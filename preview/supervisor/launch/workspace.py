"""A preview's folders: its project, its temporary files, its database. They go when it goes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from preview.core.ext4_topdir import spread_below
from preview.core.removal import remove_folder
from preview.settings import Settings

log = structlog.get_logger(__name__)

# Removing 100,000 files takes about two seconds on a slow disk; what is left then is found by the cleanup.
_REMOVE_BUDGET_S = 5.0
_AGAIN_S = (0.1, 0.3, 0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Folders of one preview.

    Attributes:
        root: Holds all below it.
        project: The generation's files; the child's working folder.
        temp: The child's TMPDIR and HOME.
        database: Folder of the child's own SQLite file.
    """

    root: Path
    project: Path
    temp: Path
    database: Path

    @property
    def folders(self) -> tuple[Path, Path, Path]:
        """Those that its processes write to."""
        return self.project, self.temp, self.database

    @property
    def database_path(self) -> Path:
        """The child's own SQLite file; there is none until it makes it."""
        return self.database / "preview.db"

    @property
    def database_url(self) -> str:
        """For the child's DATABASE_URL."""
        return f"sqlite:///{self.database_path}"


def workspace_root(settings: Settings) -> Path:
    """Return the folder that holds each preview's workspace."""
    return settings.data_dir / "previews"


def make_roots(*roots: Path) -> None:
    """Make folders that hold workspaces, which the disk keeps apart; what cannot be made is for a launch to tell."""
    for root in roots:
        with suppress(OSError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            spread_below(root)


@asynccontextmanager
async def open_workspace(settings: Settings, preview_id: str) -> AsyncIterator[Workspace]:
    """Make the folders, empty and private (mode 0700), and remove them at the end, however that comes.

    Cancellation: the folders are removed (bounded; what a hung disk keeps is logged and left to the cleanup).
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
    """Let its folders be as new, whatever is in there; once, and nothing may run in there.

    What was there goes with the rest: to remove thousands of files and make as many again takes ext4 seconds, as it
    does not take an inode that was freed a moment ago.

    Raises:
        OSError: The disk refuses.

    Cancellation: the folders may not be there; the opener removes those that are.
    """
    # In the same folder: to put another user's somewhere else takes that user's right to write to it.
    for folder in (workspace.project, workspace.temp):
        folder.rename(folder.with_name(f"{folder.name}-aside"))
    await remove_tree(workspace.database)
    _make(workspace)


def _make(workspace: Workspace) -> None:
    for folder in workspace.folders:
        folder.mkdir(mode=0o700, parents=True)


async def remove_tree(*directories: Path) -> None:
    """Remove folders and all below them; links are removed, never followed. Nothing happens where there is none.

    What cannot be removed is tried again a moment later, some times: the service may be out of descriptors.

    Cancellation: the thread goes on in the background and ends with the removal.
    """
    for pause_s in (*_AGAIN_S, None):
        directories = await trio.to_thread.run_sync(_remove, directories, abandon_on_cancel=True)
        if not directories or pause_s is None:
            return
        await trio.sleep(pause_s)


def _remove(directories: tuple[Path, ...]) -> tuple[Path, ...]:
    """Those of which something is left."""
    for directory in directories:
        remove_folder(directory)
    return tuple(directory for directory in directories if os.path.lexists(directory))
