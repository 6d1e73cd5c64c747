"""The parts of an image that its containers get as copies: the working folder, and the list of users.

The root of a container is read-only, and its user is the preview's own. A program expects to write to its working
folder, and to have the name that the image's ``USER`` gives it. So the folder is in memory, of a fixed size, with the
image's content. The list of users gives the preview's number the name of the image's user. Both are read once from a
container that never runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlencode

import trio

from preview.runtime.container.engine import Engine, EngineError
from preview.runtime.container.joining import Order
from preview.runtime.container.volumes import is_plain_folder
from preview.runtime.run_image import RunImage

_COPY_S: Final = 30.0
_PAGE: Final = 4096
_MOST_KEPT: Final = 8
_MOST_FILES: Final = 20_000
_USERS_BYTES: Final = 256 * 1024
_FIELDS: Final = 7
_NOT_FOUND: Final = 404
# os.FileMode of Go: the bits of a folder and of a link.
_GO_FOLDER, _GO_LINK = 1 << 31, 1 << 27
_OF_THE_KERNEL: Final = ("/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True)
class Contents:
    """Copies for the containers of one image.

    Attributes:
        users: The image's list of users.
        folder: The working folder; empty if it stays read-only.
        archive: File with the folder's content.
        size_bytes: Memory that the content takes.
        reason: Why the folder stays read-only, as half a sentence.
        home: Home of the image's user; empty without one.
        opened: The archive, open to read; the caller closes it.
        may_change: Whether another attempt may read more: the engine refused, or was slow.
    """

    users: str = ""
    folder: str = ""
    archive: Path | None = None
    size_bytes: int = 0
    reason: str = ""
    home: str = ""
    opened: IO[bytes] | None = None
    may_change: bool = False

    @property
    def variables(self) -> Mapping[str, str]:
        """Variables of the program: the home of its user, if that is a place where it may write."""
        is_own = bool(self.folder) and Path(self.home or "/").is_relative_to(self.folder)
        return {"HOME": self.home} if is_own else {}


class _Refused(Exception):
    """The engine has refused or was slow, which is no fact of the image; the message is half a sentence."""


class ImageContents:
    """Contents of the images that ran last.

    Args:
        engine: The engine.
        directory: Folder for the archives; made when needed.
    """

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._known: dict[tuple[str, str, int], Contents] = {}
        self._reading: dict[tuple[str, str, int], trio.Lock] = {}

    async def of(
        self,
        image: RunImage,
        most_bytes: int,
        shown: Sequence[Path],
        open_container: Callable[[], AbstractAsyncContextManager[str]],
    ) -> Contents:
        """Return the contents of an image; the caller closes ``opened``.

        Args:
            image: The image.
            most_bytes: Size of a working folder that is copied.
            shown: Paths of the container's other mounts.
            open_container: Creates a container of the image that is never started.

        Raises:
            EngineError: The engine refuses.
            OSError: The archive cannot be kept.

        Cancellation: nothing is kept.
        """
        key = image.name, image.directory, most_bytes
        # Two processes of one image read it once; another image waits for neither.
        lock = self._reading.setdefault(key, trio.Lock())
        try:
            async with lock:
                found = self._known.pop(key, None)
                if found is None or (found.archive is not None and not found.archive.exists()):
                    async with open_container() as container:
                        found = await self._read(container, image, most_bytes, shown)
                self._known[key] = found
                # Now: another image may take its place, and remove the archive.
                opened = None if found.archive is None else found.archive.open("rb")
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._reading.pop(key, None)
        if found.may_change:
            self._forget(key)
        while len(self._known) > _MOST_KEPT:
            self._forget(next(iter(self._known)))
        return replace(found, opened=opened)

    def _forget(self, key: tuple[str, str, int]) -> None:
        known = self._known.pop(key, None)
        if known is not None and known.archive is not None:
            known.archive.unlink(missing_ok=True)

    async def _read(self, container: str, image: RunImage, most_bytes: int, shown: Sequence[Path]) -> Contents:
        users, may_change = "", False
        try:
            users = await self._users(container)
        except _Refused:
            may_change = True
        try:
            reason = await self._fault(container, image.directory, shown)
        except _Refused as error:
            reason, may_change = str(error), True
        if reason:
            return Contents(users, reason=reason, may_change=may_change)
        name = hashlib.sha256(f"{image.name} {image.directory} {most_bytes}".encode()).hexdigest()
        path = self._directory / f"{name[:32]}.tar"
        try:
            with path.open("w+b") as file:
                # Each file has a head, and ends at a full block: most archives are smaller than twice the limit.
                size = 0
                reason = await self._copy(container, image.directory, 2 * most_bytes, file)
                if not reason:
                    size, reason = await trio.to_thread.run_sync(_measure, file, most_bytes)
        except _Refused as error:
            reason, may_change = str(error), True
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        if reason:
            path.unlink(missing_ok=True)
            return Contents(users, reason=reason, may_change=may_change)
        return Contents(users, image.directory.rstrip("/"), path, size, may_change=may_change)

    async def _users(self, container: str) -> str:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._directory) as packed:
            if await self._copy(container, "/etc/passwd", 2 * _USERS_BYTES, packed):
                return ""
            return await trio.to_thread.run_sync(_first_text, packed)

    async def _copy(self, container: str, path: str, most_bytes: int, file: IO[bytes]) -> str:
        """Write a path of a container as an archive into a file; return what is wrong with it, as half a sentence.

        Raises:
            _Refused: Another attempt may succeed.
        """
        size = 0
        try:
            with trio.fail_after(_COPY_S):
                async with self._engine.open_download(_archive(container, path)) as pieces:
                    async for piece in pieces:
                        size += len(piece)
                        if size > most_bytes:
                            return f"it has more than {most_bytes >> 21} MiB"
                        await trio.to_thread.run_sync(file.write, piece)
        except EngineError as error:
            if error.status is None:
                raise
            if error.status != _NOT_FOUND:
                raise _Refused(str(error)) from error
            return str(error)
        except trio.TooSlowError:
            raise _Refused(f"it was not read within {_COPY_S:g} s") from None
        return ""

    async def _mode(self, container: str, path: str) -> int:
        """Return the mode of a path as Go counts it, not following its link; 0 if there is none."""
        try:
            headers = await self._engine.head(_archive(container, path)) or {}
        except EngineError as error:
            if error.status is None:
                raise
            raise _Refused(str(error)) from error
        try:
            said = json.loads(base64.b64decode(headers.get(b"x-docker-container-path-stat", b"")))
        except (ValueError, RecursionError):
            return 0
        found = said.get("mode") if isinstance(said, dict) else None
        return found if isinstance(found, int) else 0

    async def _fault(self, container: str, folder: str, shown: Sequence[Path]) -> str:
        """Return why a folder cannot be replaced by one in memory, as half a sentence; empty if it can."""
        if folder.rstrip("/") == "" or not is_plain_folder(folder):
            return "it is the root, or no plain path"
        path = Path(folder)
        if any(path.is_relative_to(one) for one in _OF_THE_KERNEL) or any(
            path.is_relative_to(one) or one.is_relative_to(path) for one in shown
        ):
            return "each container has a folder there already"
        for one in (*reversed(path.parents[:-1]), path):
            # A link would lead the engine's mount to another folder.
            mode = await self._mode(container, str(one))
            if not mode & _GO_FOLDER or mode & _GO_LINK:
                return "it is no folder, or a link leads to it"
        return ""


@contextmanager
def with_folder(order: Order, number: int, copies: Contents) -> Iterator[Order]:
    """Yield the order with the working folder's content; the archive is closed at the end.

    Args:
        order: The order of a container.
        number: Number of the archive's descriptor in the program.
        copies: The content.
    """
    if copies.opened is None:
        yield order
        return
    with copies.opened as file:
        descriptors = {**order.descriptors, number: file.fileno()}
        yield replace(order, descriptors=descriptors, folder=(number, copies.folder))


def _archive(container: str, path: str) -> str:
    return f"/containers/{container}/archive?{urlencode({'path': path})}"


def _measure(file: IO[bytes], most_bytes: int) -> tuple[int, str]:
    """Return the memory that an archive's files take, and why that is too much."""
    size = count = 0
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for one in archive:
                count += 1
                size += -(-one.size // _PAGE) * _PAGE + (_PAGE if one.isdir() else 0)
                if count > _MOST_FILES:
                    return 0, f"it has more than {_MOST_FILES:,} files"
                if size > most_bytes:
                    return 0, f"it has more than {most_bytes >> 20} MiB"
    except tarfile.TarError:
        return 0, "the engine's archive of it cannot be read"
    return size, ""


def _first_text(file: IO[bytes]) -> str:
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            one = archive.next()
            content = None if one is None or not one.isreg() else archive.extractfile(one)
            if content is None:
                return ""
            # Names of other alphabets are no names of users.
            return content.read(_USERS_BYTES).decode("ascii", "replace").replace("\ufffd", "?")
    except tarfile.TarError:
        return ""


def own_users(text: str, wanted: str, user: str) -> tuple[str, str]:
    """Return the list of users for a container, and the home of its user; empty without one.

    The image's user has the preview's number, so programs find its name, and may change to it.

    Args:
        text: The image's list; see passwd(5).
        wanted: The image's ``USER``: a name or number, perhaps with a group; empty for root.
        user: User and group of the container, as numbers.
    """
    number, _, group = user.partition(":")
    name = wanted.partition(":")[0]
    lines = [one for one in text.splitlines() if one.count(":") == _FIELDS - 1 and one.isprintable()]
    kept, entry = [], ["preview", "x", number, group, "preview", "/tmp", "/bin/sh"]  # noqa: S108  the container's own
    for line in lines:
        fields = line.split(":")
        if name not in ("", "root", "0") and entry[0] == "preview" and name in (fields[0], fields[2]):
            entry = [fields[0], "x", number, group, *fields[4:]]
        elif fields[2] != number:
            kept.append(line)
    if not any(one.startswith("root:") for one in kept):
        kept.insert(0, "root:x:0:0:root:/root:/bin/sh")
    own = [] if number == "0" else [":".join(entry)]
    return "\n".join([*own, *kept]) + "\n", entry[5] if entry[0] != "preview" else ""
