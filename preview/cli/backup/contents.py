"""Parts of a service that a backup has, and their order.

Saved: the database; the files ``secret`` and ``sealing-keys``; the journal, with lines that the database does not have
yet; the head and the pending entries of the audit trail; data snapshots. Not saved: environments and caches, which are
built again; the folders of running previews, which end with their service; archived logs, which have a place of their
own.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from preview.cli.backup.archive import (
    DATABASE,
    ArchiveReader,
    ArchiveWriter,
    Manifest,
    read_archive,
    write_archive,
)
from preview.cli.backup.databases import (
    Progress,
    check_empty,
    check_saved,
    disown_archive,
    kind_of,
    load_database,
    save_database,
    upgrade_saved,
)
from preview.cli.exits import CommandFailed
from preview.core.clock import rfc3339, utc_now
from preview.core.key_file import make_private_folder
from preview.core.portable import own_uid
from preview.core.quoting import quoted
from preview.settings import Settings

_KEYS = ("secret", "sealing-keys")
# Names of a data folder in which nothing has been stored.
_NOTHING = frozenset({"lost+found", "service.lock"})
# Left free on the disk by a restore.
_SPARE_BYTES = 64 * 1024 * 1024


def save(settings: Settings, path: Path, progress: Progress) -> Manifest:
    """Write a backup of the service's data folder and database. The service can keep running.

    Everything beside the database is copied before it, so that the database is never older: a line of the journal, or
    an entry of the audit, that reaches the database meanwhile is then twice in the backup, and the start after a
    restore passes over it, as after ``kill -9``. Data snapshots never change; they are copied last, as the database
    names them.

    Raises:
        CommandFailed: There is nothing to save, the file exists, or it cannot be written.
        ConfigurationError, DatabaseUnavailable: The database cannot be used.
    """
    folder = settings.data_dir
    _check_owner(folder)
    target = path.absolute()
    if not target.parent.is_dir():
        raise CommandFailed(f"There is no folder {quoted(str(target.parent))}.")
    with write_archive(target) as archive, _work_folder(target.parent) as work:
        for name in _KEYS:
            _add(archive, folder, (name,))
        for name in ("audit", "journal"):
            for file in _files(folder / name):
                _add(archive, folder, (name, file))
        copy = work / DATABASE
        revision = save_database(settings.resolved_database_url, copy, progress)
        with copy.open("rb") as source:
            archive.add(DATABASE, source)
        copy.unlink()
        progress("saving data snapshots…")
        for snapshot in _folders(folder / "snapshots"):
            _add_snapshot(archive, folder, snapshot)
        return archive.finish(
            {
                "preview": version("preview"),
                "created_at": rfc3339(utc_now()),
                "database": kind_of(settings.resolved_database_url),
                "revision": revision,
            }
        )


@contextmanager
def open_backup(path: Path) -> Iterator[ArchiveReader]:
    """Open a backup for ``check`` and ``load``. Raises: see ``read_archive``."""
    with read_archive(path) as archive:
        yield archive


def check_target(settings: Settings, manifest: Manifest) -> None:
    """Check that a backup may be restored here: data folder and database are empty, and the disk has space.

    Raises:
        CommandFailed: They are not, or it has not.
        ConfigurationError, DatabaseUnavailable: The database cannot be used.
    """
    folder = settings.data_dir
    _check_owner(folder)
    found = sorted({one.name for one in folder.iterdir()} - _NOTHING) if folder.exists() else []
    if found:
        raise CommandFailed(
            f"The data folder {folder} is not empty (it has {quoted(found[0])}); set PREVIEW_DATA_DIR to an empty "
            "folder, or move this one away."
        )
    check_empty(settings.resolved_database_url)
    _check_space(manifest, folder)


def check(archive: ArchiveReader, folder: Path) -> None:
    """Read a backup once, and check its database on a copy in ``folder``.

    Raises:
        BadArchive: It is damaged, or of a newer version.
    """
    if not os.access(folder, os.W_OK):
        folder = Path(tempfile.gettempdir())
    # Also the bound of the time that a file of zeros may take.
    _check_space(archive.manifest, folder)
    archive.check()
    with _work_folder(folder) as work:
        archive.extract(DATABASE, work / DATABASE)
        check_saved(work / DATABASE)
        upgrade_saved(work / DATABASE)


def load(archive: ArchiveReader, settings: Settings, progress: Progress) -> None:
    """Restore a backup into an empty data folder, whose lock the caller has, and its database.

    Everything is unpacked and checked beside its place first. The database comes last, in one step: without it, a
    restore was not completed.

    Raises:
        BadArchive: The backup is damaged, or of a newer version.
        CommandFailed: See ``check_target``.
    """
    folder = settings.data_dir
    try:
        make_private_folder(folder)
        check_target(settings, archive.manifest)
        _fill(archive, settings, progress)
    except OSError as error:
        raise CommandFailed(f"The data folder {folder} cannot be written: {error.strerror or error}.") from error


def _fill(archive: ArchiveReader, settings: Settings, progress: Progress) -> None:
    folder = settings.data_dir
    with _work_folder(folder) as work:
        progress("unpacking…")
        for name in archive.manifest.files:
            made = work / name
            for parent in reversed(made.relative_to(work).parents):
                (work / parent).mkdir(mode=0o700, exist_ok=True)
            archive.extract(name, made)
        check_saved(work / DATABASE)
        upgrade_saved(work / DATABASE)
        disown_archive(work / DATABASE)
        for part in (work / "snapshots").glob("*/*"):
            # Programs in sandboxes read them, as another user: see ``preview.data.snapshot.open_to_programs``.
            part.chmod(0o644)
            part.parent.chmod(0o755)
        moved = [one.name for one in sorted(work.iterdir()) if one.name != DATABASE]
        try:
            for name in moved:
                (work / name).rename(folder / name)
            load_database(work / DATABASE, settings.resolved_database_url, progress)
        except BaseException:
            # Back, so that the folder is empty for the next try.
            for name in moved:
                if (folder / name).exists():
                    (folder / name).rename(work / name)
            raise


def _check_space(manifest: Manifest, folder: Path) -> None:
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free
    # The database is there twice for a moment.
    needed = manifest.size_bytes + manifest.files[DATABASE].size + _SPARE_BYTES
    if needed > free:
        raise CommandFailed(
            f"The backup needs {needed // 1024**2:,} MiB, but the disk of {there} has only {free // 1024**2:,} MiB "
            "free; free some space, or name a folder on a larger disk (PREVIEW_DATA_DIR)."
        )


def _check_owner(folder: Path) -> None:
    """Check that this is the service's user: files of another one would stop it.

    Raises:
        CommandFailed: The folder belongs to another user.
    """
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError:
        return
    if owner != own_uid():
        raise CommandFailed(
            f"The data folder {folder} belongs to another user ({owner}); run this as that user, for instance with "
            f"`sudo -u '#{owner}'`."
        )


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for this user alone, on the disk of the result: ``/tmp`` is often in memory."""
    try:
        made = tempfile.TemporaryDirectory(prefix=".preview-", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise CommandFailed(f"The folder {parent} cannot be written: {error.strerror or error}.") from error
    with made as path:
        yield Path(path)


def _folders(parent: Path) -> Sequence[str]:
    """Return the names of complete snapshots; a name with a dot first is one that is being taken."""
    try:
        return sorted(
            one.name for one in os.scandir(parent) if one.is_dir(follow_symlinks=False) and one.name[0] != "."
        )
    except FileNotFoundError:
        return ()


def _files(parent: Path) -> Sequence[str]:
    try:
        return sorted(
            one.name for one in os.scandir(parent) if one.is_file(follow_symlinks=False) and one.name[0] != "."
        )
    except FileNotFoundError:
        return ()


def _add(archive: ArchiveWriter, folder: Path, parts: tuple[str, ...]) -> None:
    """Add a file, unless it was removed meanwhile: the database then has what was in it."""
    file = _opened(folder.joinpath(*parts))
    if file is None:
        return
    with file:
        archive.add("/".join(parts), file)


def _add_snapshot(archive: ArchiveWriter, folder: Path, snapshot: str) -> None:
    """Add all files of a snapshot, or none if it was deleted meanwhile."""
    with ExitStack() as opened:
        files: list[tuple[str, BinaryIO]] = []
        for name in _files(folder / "snapshots" / snapshot):
            file = _opened(folder / "snapshots" / snapshot / name)
            if file is None:
                return
            files.append((name, opened.enter_context(file)))
        for name, file in files:
            archive.add(f"snapshots/{snapshot}/{name}", file)


def _opened(path: Path) -> BinaryIO | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise CommandFailed(
            f"{quoted(str(path))} is not a regular file; move it out of the data folder, then try again."
        )
    return file
