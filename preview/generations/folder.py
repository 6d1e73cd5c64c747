"""One folder on this machine as a generation: what ``preview run DIR`` launches, and ``push`` packs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import trio

from preview.clock import utc_now
from preview.errors import GenerationNotFound, InvalidGeneration
from preview.generations.files import TreeWriter, require_some
from preview.generations.interface import Generation
from preview.generations.limits import Budget, Limits
from preview.generations.paths import PathCheck, shown

__all__ = ["FolderGenerations"]

# Folders that tools make again: large, and of no use to a preview, whose environment is its own.
_SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", ".jj",
        "node_modules", "__pycache__", "__pypackages__", ".venv", ".tox", ".nox", ".eggs",
        ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints", ".cache",
        ".idea", ".vscode", ".DS_Store", "__MACOSX",
    }
)  # fmt: skip
_SKIPPED_SUFFIXES = (".pyc", ".pyo")
# A virtual environment, whatever it is called (PEP 405).
_ENVIRONMENT_MARK = "pyvenv.cfg"
# Copied in one go by a thread, so that a cancellation is seen soon.
_PART_FILES = 64


@dataclass(frozen=True, slots=True)
class _Found:
    """A file to copy.

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
        directory: The project's folder.
        generation_id: Its id.
        user_id: Its owner.
        project_id: Its project.
        limits: None means those of a service where nothing is set.
    """

    def __init__(
        self, directory: Path, *, generation_id: str, user_id: str, project_id: str, limits: Limits | None = None
    ) -> None:
        self._directory = directory.absolute()
        self._limits = limits or Limits.default()
        self._generation = Generation(generation_id, project_id, user_id, utc_now(), name=self._directory.name)

    async def get(self, generation_id: str) -> Generation:
        """The generation.

        Raises:
            GenerationNotFound: Another id is asked for.

        Cancellation: nothing changes.
        """
        await trio.lowlevel.checkpoint()
        if generation_id != self._generation.id:
            raise GenerationNotFound(f"There is no generation {generation_id[:128]!r}.")
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
        found = iter(await trio.to_thread.run_sync(partial(_scan, self._directory, self._limits)))
        budget = Budget(self._limits)
        with TreeWriter(directory, self._limits) as writer:
            while part := list(islice(found, _PART_FILES)):
                await trio.to_thread.run_sync(_copy, part, writer, budget)


def _scan(root: Path, limits: Limits) -> list[_Found]:
    """Every file to copy, checked as far as names and links go, in the order of the paths."""
    if not root.is_dir():
        raise InvalidGeneration(f"The folder {shown(str(root))} is not there; name the project's folder.")
    check, real = PathCheck(limits), root.resolve()
    found = []
    for one in _walk(root, (real,), "", check):
        check.add_file(one.path)
        found.append(one)
    require_some({one.path: None for one in found})
    return found


def _walk(folder: Path, above: tuple[Path, ...], prefix: str, check: PathCheck) -> Iterator[_Found]:
    """The files below ``folder``, whose path in the generation is ``prefix``; not deeper than ``check`` allows.

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
        raise _unreadable(prefix or str(folder), error) from error
    if prefix and any(entry.name == _ENVIRONMENT_MARK for entry in entries):
        return
    for entry in entries:
        path = f"{prefix}{entry.name}"
        if entry.name in _SKIPPED or entry.name.endswith(_SKIPPED_SUFFIXES):
            continue
        if entry.is_symlink():
            target = _link_target(Path(entry.path), path, above[0])
            if target is not None and target.is_dir():
                # One that leads up again would never end.
                if target not in above:
                    check.add_folder(path)
                    yield from _walk(target, (*above, target), f"{path}/", check)
            elif target is not None:
                yield _Found(path, target)
        elif entry.is_dir(follow_symlinks=False):
            check.add_folder(path)
            yield from _walk(Path(entry.path), (*above, above[-1] / entry.name), f"{path}/", check)
        elif entry.is_file(follow_symlinks=False):
            yield _Found(path, Path(entry.path))


def _link_target(link: Path, path: str, real_root: Path) -> Path | None:
    """The file or folder that a link means, or None where there is nothing at its end."""
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


def _copy(part: list[_Found], writer: TreeWriter, budget: Budget) -> None:
    for one in part:
        try:
            content = _read(one, budget)
        except OSError as error:
            raise _unreadable(one.path, error) from error
        writer.write(one.path, content)


def _read(one: _Found, budget: Budget) -> bytes:
    # Not blocking: a pipe may have taken the file's place since it was found.
    descriptor = os.open(one.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123  a descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidGeneration(f"{shown(one.path)} is no file any more; launch again.", path=one.path)
        budget.take(status.st_size)
        # What is written to it meanwhile is not counted, so it is not read.
        return file.read(status.st_size)


def _unreadable(path: str, error: OSError) -> InvalidGeneration:
    return InvalidGeneration(f"{shown(path)} cannot be read ({error.strerror}); allow it, or leave it out.", path=path)
