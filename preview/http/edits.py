"""Save a change of a generation's files, and apply it to the running preview."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog
import trio

from preview.core.lifecycle import State
from preview.errors import DatabaseUnavailable, NoActivePreview, PreviewError, ServiceStopping
from preview.generations import Edit, Edited, GenerationLibrary, VersionNote
from preview.supervisor import FilesChange, LivePreview, PreviewManager, User

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reload:
    """Result of applying a change to the preview.

    Attributes:
        status: ``none`` if no preview was running or nothing had changed.
        preview_id: Id of the preview; None if there is none.
        elapsed_s: Seconds from storing the change until the new process serves, or until the failure.
        error: Reason of a failure, after which the previous process still serves.
    """

    status: Literal["reloaded", "failed", "none"]
    preview_id: str | None = None
    elapsed_s: float = 0.0
    error: PreviewError | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """A stored change (``edited``, without contents) and the result for the preview."""

    edited: Edited
    reload: Reload


@dataclass(slots=True)
class _Line:
    """Changes of one generation that are not yet applied to its preview.

    Attributes:
        lock: Owned by the save that applies changes; fair, so the newest save comes next.
        pending: Paths that have changed in the store and are not covered by a finished reload.
        bringing: Scope of the save that owns the lock; a newer save cancels it and applies all changes.
        last: Result of the newest reload.
        waiting: Number of saves that use this object; it is removed with the last one.
    """

    lock: trio.Lock = field(default_factory=trio.Lock)
    pending: set[str] = field(default_factory=set)
    bringing: trio.CancelScope | None = None
    last: Reload = Reload("none")
    waiting: int = 0


@dataclass(slots=True)
class _Save:
    """One save, in a task of its own."""

    done: trio.Event = field(default_factory=trio.Event)
    saved: Saved | None = None
    error: Exception | None = None


class FileEdits:
    """Stores changes and reloads previews. A generation's newest reload replaces older ones and includes their changes.

    One reload at a time reads contents from the store, so a preview never ends with an older version.

    Args:
        nursery: Runs each save, so that a stored change reaches the preview even if the client disconnects.
        library: Stores the files.
        previews: Reloads running previews.
    """

    def __init__(self, nursery: trio.Nursery, library: GenerationLibrary, previews: PreviewManager) -> None:
        self._nursery = nursery
        self._library = library
        self._previews = previews
        # Bounded by the number of active requests.
        self._lines: dict[str, _Line] = {}
        # Paths by preview that may not have been applied; included in the next change. Bounded by the live previews.
        self._unsure: dict[str, set[str]] = {}

    async def save(
        self,
        user: User,
        generation_id: str,
        edit: Edit,
        *,
        note: VersionNote | None = None,
        expected: Callable[[int], bool] | None = None,
    ) -> Saved:
        """Store the change as a version, and apply it to the generation's preview if one runs.

        A stored change is a success, whether or not the preview starts with it.

        Raises:
            GenerationNotFound, PreconditionFailed, InvalidGeneration, TooLarge: See ``GenerationLibrary.edit``.
            ServiceStopping: The service was shut down meanwhile.

        Cancellation: the change is still stored and applied to the preview.
        """
        save = _Save()
        self._nursery.start_soon(self._carry_out, save, user, generation_id, edit, note, expected)
        await save.done.wait()
        if save.error is not None:
            raise save.error
        if save.saved is None:
            raise ServiceStopping("The service is shutting down; the change may or may not be kept. Try again.")
        return save.saved

    async def _carry_out(
        self,
        save: _Save,
        user: User,
        generation_id: str,
        edit: Edit,
        note: VersionNote | None,
        expected: Callable[[int], bool] | None,
    ) -> None:
        try:
            edited = await self._library.edit(generation_id, edit, note=note, expected=expected)
            # Keep only the names: many saves, also of disconnected clients, may wait long for a preview.
            edited = replace(edited, written=dict.fromkeys(edited.written, b""))
            del edit
            reload = Reload("none")
            if not edited.is_empty:
                reload = await self._in_line(user, generation_id, {*edited.written, *edited.removed})
            save.saved = Saved(edited, reload)
        except Exception as error:  # noqa: BLE001  the waiting caller raises it
            save.error = error
        finally:
            save.done.set()

    async def _in_line(self, user: User, generation_id: str, paths: set[str]) -> Reload:
        line = self._lines.setdefault(generation_id, _Line())
        line.pending |= paths
        line.waiting += 1
        if line.bringing is not None:
            line.bringing.cancel()
        try:
            while True:
                async with line.lock:
                    # Nothing is pending if a newer save has applied these paths, too.
                    if not line.pending:
                        return line.last
                    with trio.CancelScope() as line.bringing:
                        line.last = await self._bring(user, generation_id, line)
                    line.bringing = None
        finally:
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(generation_id, None)

    async def _bring(self, user: User, generation_id: str, line: _Line) -> Reload:
        """Apply the pending changes to the preview. Cancellation: they are pending again, and may have been applied."""
        taken, line.pending = line.pending, set()
        try:
            preview = self._previews.active(generation_id)
            if preview is None:
                return Reload("none")
            # The starting preview may have received its files before, during or after the change.
            await preview.settled.wait()
            if preview.record.state is not State.RUNNING:
                return Reload("none")
            return await self._reload(user, preview, taken)
        except trio.Cancelled:
            line.pending |= taken
            raise

    async def _reload(self, user: User, preview: LivePreview, paths: set[str]) -> Reload:
        began, generation_id = trio.current_time(), preview.record.generation_id
        paths = paths | self._unsure.get(preview.id, set())
        revision = 0
        try:
            revision = (await self._library.get(generation_id)).revision
            written = await self._library.read_files(generation_id, sorted(paths))
            change = FilesChange(written, sorted(paths - written.keys()), revision)
            await self._previews.reload(user, generation_id, change)
        except NoActivePreview:
            return Reload("none")
        except PreviewError as error:
            log.info("reload failed", preview_id=preview.id, why=error.message)
            self._remember(preview.id, paths)
            await self._mark(generation_id, revision, preview.id, error)
            return Reload("failed", preview.id, trio.current_time() - began, error)
        self._remember(preview.id, set())
        return Reload("reloaded", preview.id, trio.current_time() - began)

    async def _mark(self, generation_id: str, revision: int, preview_id: str, error: PreviewError) -> None:
        """Mark the version in the list of versions. Without a database the mark is missing, and nothing else."""
        try:
            await self._library.versions.note_failed_reload(generation_id, revision, preview_id, error.message)
        except DatabaseUnavailable as failure:
            log.warning("failed version not marked", generation_id=generation_id, why=failure.message)

    def _remember(self, preview_id: str, unsure: set[str]) -> None:
        live = self._previews.all_active
        self._unsure = {one: paths for one, paths in self._unsure.items() if one in live and one != preview_id}
        if unsure:
            self._unsure[preview_id] = unsure
