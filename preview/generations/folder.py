"""One folder on this machine as a generation: what ``preview run DIR`` launches, and ``push`` packs."""

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
from preview.core.descriptors import raise_want, walk
from preview.core.quoting import quoted
from preview.errors import GenerationNotFound, InvalidGeneration
from preview.generations.files import PathCheck, TreeWriter, require_some, shown
from preview.generations.interface import Budget, Generation, GenerationLimits

# Folders that tools make again: large, and of no use to a preview, whose environment is its own.
_SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", ".jj",
        "node_modules", "__pycache__", "__pypackages__", ".venv", ".tox", ".nox", ".eggs",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".cache",
        ".idea", ".vscode", ".DS_Store", "__MACOSX",
    }
)  # fmt: skip
_SKIPPED_SUFFIXES = (
    ".pyc", ".pyo",
    # What editors put beside a file while they save it.
    "~", ".swp", ".swo", ".swx", ".kate-swp", "___jb_tmp___", "___jb_old___",
)  # fmt: skip
_SKIPPED_PREFIXES = (".#", ".goutputstream-")
# A virtual environment, whatever it is called (PEP 405).
_ENVIRONMENT_MARK = "pyvenv.cfg"
# Copied in one go by a thread, so that a cancellation is seen soon.
_PART_FILES = 64


@dataclass(frozen=True, slots=True)
class Found:
    """A file that belongs to the generation.

    Attributes:
        path: Relative, as the generation has it.
        source: Where it really lies: a link's target.
    """

    path: str
    source: Path


class FolderGenerations:
    """The folder as it is at each launch; a ``GenerationSource`` of one generation.

    Left out are what tools make again (``.git``, ``node_modules``, virtual environments, caches), links that lead
    nowhere, sockets and pipes. A link to a file or a folder inside the folder becomes a copy of it, but for one that
    leads to a folder that it stands in; a link that leaves the folder is refused.

    Args:
        limits: None means those of a service where nothing is set.
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
        """Its files are others than they were: what was read from them before is out of date."""
        self._generation = replace(self._generation, revision=self._generation.revision + 1)

    async def get(self, generation_id: str) -> Generation:
        """Return the generation.

        Raises:
            GenerationNotFound: Another id is asked for.

        Cancellation: nothing changes.
        """
        await trio.lowlevel.checkpoint()
        if generation_id != self._generation.id:
            raise GenerationNotFound(f"There is no generation {quoted(generation_id)}.")
        return self._generation

    async def write_files(self, generation_id: str, directory: Path) -> None:
        """Copy the folder's files into ``directory``, an empty folder that exists.

        Raises:
            GenerationNotFound: Another id is asked for.
            InvalidGeneration: The folder is not there, holds what a generation may not hold, or nothing at all.
            TooLarge: It holds too many files or bytes.

        Cancellation: the target may be partly filled; the caller removes it.
        """
        await self.get(generation_id)
        found = iter(await trio.to_thread.run_sync(partial(scan_folder, self._directory, self._limits)))
        budget = Budget(self._limits)
        with TreeWriter(directory, self._limits) as writer:
            while part := list(islice(found, _PART_FILES)):
                await trio.to_thread.run_sync(_copy, part, writer, budget)


def scan_folder(root: Path, limits: GenerationLimits) -> list[Found]:
    """Every file that belongs to the generation, in the order of the paths. Blocks: for threads.

    Raises:
        InvalidGeneration, TooLarge: A name or a link may not be, there are too many, or none at all.
    """
    if not root.is_dir():
        raise InvalidGeneration(f"The folder {shown(str(root))} is not there; name the project's folder.")
    check, real = PathCheck(limits), root.resolve()
    found = []
    for one in _walk(root, (real,), "", check):
        check.add_file(one.path)
        found.append(one)
    require_some({one.path: None for one in found})
    return found


def _walk(folder: Path, above: tuple[Path, ...], prefix: str, check: PathCheck) -> Iterator[Found]:
    """Yield the files below ``folder``, whose path in the generation is ``prefix``; not deeper than ``check`` allows.

    Args:
        folder: The folder.
        above: Where it and the folders that it stands in really lie, the generation's own first.
        prefix: Empty, or ends with a slash.
        check: For the names.
    """
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise_want(error)
        raise _unreadable(prefix or str(folder), error) from error
    if prefix and any(entry.name == _ENVIRONMENT_MARK for entry in entries):
        return
    for entry in entries:
        path = f"{prefix}{entry.name}"
        if _is_skipped(entry.name):
            continue
        if entry.is_symlink():
            target = _link_target(Path(entry.path), path, above[0])
            if target is not None and target.is_dir():
                # One that leads up again would never end.
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
        # Emacs' autosaves.
        or (name.startswith("#") and name.endswith("#"))
    )


def kept_folders(root: Path) -> list[Path]:
    """Return the folder and those below it that may contain a generation's files. Blocks: for threads."""
    found = []
    for name, folders, files in walk(root):
        if name != str(root) and _ENVIRONMENT_MARK in files:
            folders.clear()
            continue
        folders[:] = sorted(folder for folder in folders if not _is_skipped(folder))
        found.append(Path(name))
    return found


def _link_target(link: Path, path: str, real_root: Path) -> Path | None:
    """Return the file or folder that a link means, or None if there is nothing at its end."""
    try:
        target = link.resolve(strict=True)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:  # Python 3.11 calls a loop of links a RuntimeError
        raise InvalidGeneration(f"The link {shown(path)} cannot be followed; remove it.", path=path) from error
    if not target.is_relative_to(real_root):
        raise InvalidGeneration(
            f"The link {shown(path)} leaves the folder (to {shown(str(target))}); put the file itself there.", path=path
        )
    if not target.is_file() and not target.is_dir():
        raise InvalidGeneration(
            f"The link {shown(path)} leads to a special file; put what it means itself there.", path=path
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
    """Its content, as long as it was when it was opened.

    Raises:
        InvalidGeneration: It is no file any more.
        TooLarge: Over the budget.
        OSError: It cannot be read.
    """
    # Not blocking: a pipe may have taken the file's place since it was found.
    descriptor = os.open(one.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidGeneration(f"{shown(one.path)} is no longer a file; launch again.", path=one.path)
        budget.take(status.st_size)
        # What is written to it meanwhile is not counted, so it is not read.
        return file.read(status.st_size)


def _unreadable(path: str, error: OSError) -> InvalidGeneration:
    return InvalidGeneration(f"{shown(path)} cannot be read ({error.strerror}); allow it, or leave it out.", path=path)
