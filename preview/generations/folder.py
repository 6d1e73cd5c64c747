"""One local folder as a generation: ``preview run DIR`` launches it, and ``push`` packs it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import trio

from preview.core.clock import utc_now
from preview.core.descriptors import file_of, raise_want, walk
from preview.core.portable import O_NOFOLLOW, O_NONBLOCK
from preview.core.quoting import quoted
from preview.errors import GenerationNotFound, InvalidGeneration
from preview.generations.files import PathCheck, TreeWriter, require_some, shown
from preview.generations.interface import Budget, Generation, GenerationLimits
from preview.sources import is_environment_at

# Folders that tools recreate: large, and not needed by a preview, which has its own environment.
_SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", ".jj",
        "node_modules", "__pycache__", "__pypackages__", ".venv", ".tox", ".nox", ".eggs",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".cache",
        "site-packages", "bower_components", "htmlcov", ".nyc_output", ".next", ".nuxt", ".turbo", ".parcel-cache",
        ".idea", ".vscode", ".DS_Store", "__MACOSX",
    }
)  # fmt: skip
_SKIPPED_SUFFIXES = (
    ".pyc", ".pyo",
    # Temporary files of editors, next to a file that is being saved.
    "~", ".swp", ".swo", ".swx", ".kate-swp", "___jb_tmp___", "___jb_old___",
)  # fmt: skip
_SKIPPED_PREFIXES = (".#", ".goutputstream-")
# Installed packages: people hear that they are left out.
_INSTALLED = frozenset({"node_modules", "site-packages", "bower_components"})
# One thread copies this many files at once, so cancellation is quick.
_PART_FILES = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A file that belongs to the generation.

    Attributes:
        path: Relative path in the generation.
        source: The path to read: for a link, its target.
    """

    path: str
    source: Path


class FolderGenerations:
    """A ``GenerationSource`` with one generation: the folder's files at the time of each launch.

    Skips what tools recreate (``.git``, ``node_modules``, virtual environments, caches), broken links, sockets and
    pipes. A link to a file or folder inside the root is copied. A link to one of its own parent folders is skipped. A
    link that leaves the root is an error.

    Args:
        limits: None means the defaults of a service without any settings.
    """

    def __init__(
        self,
        directory: Path,
        *,
        generation_id: str,
        user_id: str,
        project_id: str,
        limits: GenerationLimits | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._limits = limits or GenerationLimits.default()
        self._generation = Generation(generation_id, project_id, user_id, utc_now(), name=self._directory.name)

    def note_change(self) -> None:
        """Increase the revision after the folder's files have changed."""
        self._generation = replace(self._generation, revision=self._generation.revision + 1)

    async def get(self, generation_id: str) -> Generation:
        """Return the generation.

        Raises:
            GenerationNotFound: ``generation_id`` is another id.

        Cancellation: nothing changes.
        """
        await trio.lowlevel.checkpoint()
        if generation_id != self._generation.id:
            raise GenerationNotFound(f"There is no generation {quoted(generation_id)}.")
        return self._generation

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """Copy the folder's files into ``directory``, an existing empty folder.

        Raises:
            GenerationNotFound: ``generation_id`` is another id.
            InvalidGeneration: The folder does not exist, has no files, or contains files that are not allowed.
            TooLarge: It contains too many files or bytes.

        Cancellation: the target may be partly filled; the caller removes it.
        """
        await self.get(generation_id)
        found = iter(await trio.to_thread.run_sync(partial(scan_folder, self._directory, self._limits)))
        budget = Budget(self._limits)
        with TreeWriter(directory, self._limits) as writer:
            while part := list(islice(found, _PART_FILES)):
                await trio.to_thread.run_sync(_copy, part, writer, budget)


def scan_folder(root: Path, limits: GenerationLimits) -> list[Found]:
    """Return the files that belong to the generation, ordered by path. Blocks: call in a thread.

    Raises:
        InvalidGeneration, TooLarge: A name or link is not allowed, or there are too many files or none.
    """
    if not root.is_dir():
        raise InvalidGeneration(f"The folder {shown(str(root))} does not exist; give the path of the project's folder.")
    check, real = PathCheck(limits), root.resolve()
    found = []
    for one in _walk(root, (real,), "", check):
        check.add_file(one.path)
        found.append(one)
    require_some({one.path: None for one in found})
    return found


def _walk(folder: Path, above: tuple[Path, ...], prefix: str, check: PathCheck) -> Iterator[Found]:
    """Yield the files below ``folder``, as deep as ``check`` allows.

    Args:
        folder: The folder.
        above: Real paths of the folder and its parents, from the generation's root down.
        prefix: The folder's path in the generation: empty, or ends with a slash.
        check: Checks the paths.
    """
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise_want(error)
        raise _unreadable(prefix or str(folder), error) from error
    if prefix and is_environment_at(folder, {entry.name for entry in entries}):
        return
    for entry in entries:
        path = f"{prefix}{entry.name}"
        if _is_skipped(entry.name):
            continue
        if entry.is_symlink():
            target = _link_target(Path(entry.path), path, above[0])
            if target is not None and target.is_dir():
                # A link to a parent folder would recurse endlessly.
                if target not in above:
                    check.add_folder(path)
                    yield from _walk(target, (*above, target), f"{path}/", check)
            elif target is not None:
                yield Found(path, target)
        elif entry.is_dir(follow_symlinks=False):
            check.add_folder(path)
            yield from _walk(Path(entry.path), (*above, above[-1] / entry.name), f"{path}/", check)
        elif entry.is_file(follow_symlinks=False):
            yield Found(path, Path(entry.path))


def _is_skipped(name: str) -> bool:
    return (
        name in _SKIPPED
        or name.endswith(_SKIPPED_SUFFIXES)
        or name.startswith(_SKIPPED_PREFIXES)
        # Autosave files of Emacs.
        or (name.startswith("#") and name.endswith("#"))
        # Systemd's units (`mnt-a\x2db.mount`): no path of a generation has one.
        or "\\" in name
    )


def kept_folders(root: Path) -> list[Path]:
    """Return the root and the subfolders that may contain files of the generation. Blocks: call in a thread."""
    found = []
    for name, folders, files in walk(root):
        if name != str(root) and is_environment_at(name, {*folders, *files}):
            folders.clear()
            continue
        folders[:] = sorted(folder for folder in folders if not _is_skipped(folder))
        found.append(Path(name))
    return found


def installed_folders(root: Path) -> list[str]:
    """Return the folders of installed packages that are left out: virtual environments, ``node_modules``.

    Blocks: call in a thread.
    """
    found = []
    for name, folders, files in walk(root):
        path = os.path.relpath(name, root)
        is_installed = os.path.basename(name) in _INSTALLED or is_environment_at(name, {*folders, *files})  # noqa: PTH119  a text
        if name != str(root) and is_installed:
            found.append(path)
            folders.clear()
            continue
        kept = _INSTALLED.union(folder for folder in folders if folder == ".venv" or not _is_skipped(folder))
        folders[:] = sorted(kept.intersection(folders))
    return found


def _link_target(link: Path, path: str, real_root: Path) -> Path | None:
    """Resolve a link to a file or folder inside the root; None if the link is broken."""
    try:
        target = link.resolve(strict=True)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # Python 3.11 raises RuntimeError for a loop of links
        raise InvalidGeneration(f"The link {shown(path)} cannot be followed; remove it.", path=path) from error
    if not target.is_relative_to(real_root):
        raise InvalidGeneration(
            f"The symbolic link {shown(path)} points outside the folder (to {shown(str(target))}); replace it with "
            "the file itself.",
            path=path,
        )
    if not target.is_file() and not target.is_dir():
        raise InvalidGeneration(
            f"The symbolic link {shown(path)} points to a special file; replace it with an ordinary file.", path=path
        )
    return target


def _copy(part: list[Found], writer: TreeWriter, budget: Budget) -> None:
    for one in part:
        try:
            content = read_found(one, budget)
        except OSError as error:
            raise_want(error)
            raise _unreadable(one.path, error) from error
        writer.write(one.path, content)


def read_found(one: Found, budget: Budget) -> bytes:
    """Return the file's content, up to its size at opening.

    Raises:
        InvalidGeneration: The path is no longer a regular file.
        TooLarge: Over the budget.
        OSError: The file cannot be read.
    """
    # O_NONBLOCK: a pipe may have replaced the file since the scan.
    descriptor = os.open(one.source, os.O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    with file_of(descriptor) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidGeneration(f"{shown(one.path)} is no longer a file; launch again.", path=one.path)
        budget.take(status.st_size, one.path)
        # Bytes appended meanwhile are not in the budget, so they are not read.
        return file.read(status.st_size)


def _unreadable(path: str, error: OSError) -> InvalidGeneration:
    return InvalidGeneration(
        f"{shown(path)} cannot be read ({error.strerror}); fix its permissions, or leave it out.", path=path
    )
