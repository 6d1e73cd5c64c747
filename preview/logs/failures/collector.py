"""Collects the failures of all live previews: searches their lines, reads the source, groups and stores the records.

All of it is one task of the service, which uses a bounded share of a core: after each millisecond of work it rests for
four. The lines are searched in turns of about a millisecond, so that the event loop goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

import structlog
import trio

from preview.core.bounded_dict import BoundedDict
from preview.errors import DatabaseUnavailable
from preview.logs.failures.fingerprint import fingerprint_of, where_to_look
from preview.logs.failures.groups import FailureGroups
from preview.logs.failures.model import Failure, FailureRecord, Frame, SourceLines
from preview.logs.failures.scan import Found, scan_in_turns
from preview.logs.failures.source import line_of, read_source
from preview.logs.failures.store import FailureStore
from preview.logs.failures.watch import FailureWatch, Stream, Watched, failure_of
from preview.logs.model.events import Level
from preview.settings import Settings
from preview.storage import Database

log = structlog.get_logger(__name__)

# While something may be unfinished.
_ROUND_S = 0.05
_REST_PER_WORK = 4
_LONGEST_REST_S = 0.5
# Between two transactions, for all previews.
_SAVE_S = 0.25
_RETRY_S = 2.0
_SETTLE_S = 1.0
_READ_S = 1.0
_LAST_S = 2.0
# Ended previews whose records could not be stored yet.
_MOST_ENDED = 1_000
_SOURCES = 256


class FailureCollector:
    """The failure records of all previews.

    Args:
        database: The service's database.
        settings: Maximum number of records of a preview.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._store = FailureStore(database)
        self._most_groups = settings.failure_groups
        self._watches: dict[str, FailureWatch] = {}
        self._woken = trio.Event()
        self._save_at = 0.0
        self._sources: BoundedDict[tuple[str, str, int, int], SourceLines | None] = BoundedDict(_SOURCES)

    def watch(self, preview: Watched) -> None:
        """Collect the failures of a live preview, until its end."""
        watch = FailureWatch(preview, self._most_groups, self._wake)
        self._watches[preview.id] = watch
        preview.log.broadcast.add(watch)

    async def settle(self, preview_id: str) -> None:
        """Wait until what a live preview has printed is searched; at most for a second.

        Cancellation: nothing changes.
        """
        watch = self._watches.get(preview_id)
        if watch is not None:
            with trio.move_on_after(_SETTLE_S):
                await watch.preview.log.read_on()
                await watch.wait_searched()

    async def settle_last(self, preview_id: str) -> None:
        """Search the last lines of a preview whose folder is about to be removed, at once.

        Cancellation: the source of its last failures may be missing.
        """
        watch = self._watches.get(preview_id)
        if watch is not None and watch.is_busy:
            watch.is_hurried = True
            self._wake()
            with trio.move_on_after(_READ_S):
                await watch.wait_searched()

    def known(self, preview_id: str) -> list[FailureRecord]:
        """Return the records of a live preview that are complete by now, the oldest first."""
        watch = self._watches.get(preview_id)
        return [] if watch is None else list(watch.groups.records.values())

    async def records(self, preview_id: str) -> tuple[Sequence[FailureRecord], int, int]:
        """Return a preview's records, the newest first; and the totals, see ``FailureGroups``.

        Raises:
            DatabaseUnavailable: The preview is over, and the database did not respond.

        Cancellation: nothing changes.
        """
        await self.settle(preview_id)
        watch = self._watches.get(preview_id)
        if watch is not None:
            self._report(watch)
            groups = watch.groups
            records, further, unread = list(groups.records.values()), groups.further, groups.unread_lines
        else:
            records, further, unread = await self._store.load(preview_id)
        return sorted(records, key=lambda one: (one.last.last_seq, one.id), reverse=True), further, unread

    def _wake(self) -> None:
        self._woken.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Search and store until cancelled. Cancellation: what is not stored yet is stored, within two seconds."""
        task_status.started()
        try:
            while True:
                await self._woken.wait()
                self._woken = trio.Event()
                while await self._round():
                    with trio.move_on_after(_ROUND_S):
                        await self._woken.wait()
                    self._woken = trio.Event()
        finally:
            with trio.move_on_after(_LAST_S, shield=True):
                self._save_at = 0.0
                for watch in self._watches.values():
                    watch.is_hurried = True
                await self._round()

    async def _round(self) -> bool:
        """Search all previews once; returns True if there is more to do soon."""
        for watch in list(self._watches.values()):
            if watch.is_busy:
                await self._search_safely(watch)
        await self._save()
        return any(one.is_busy or one.is_over or one.groups.is_changed for one in self._watches.values())

    async def _search_safely(self, watch: FailureWatch) -> None:
        """Search one preview's lines; whatever is in them, the other previews' are searched too."""
        try:
            await self._search(watch)
        except Exception:
            log.exception("failure search failed", preview_id=watch.preview.id)
            watch.streams.clear()
            watch.end_searched()

    async def _search(self, watch: FailureWatch) -> None:
        began = perf_counter()
        while watch.sort():
            await _rest(perf_counter() - began, watch)
            began = perf_counter()
        for request_id, stream in list(watch.streams.items()):
            is_final = watch.is_hurried or watch.is_over or trio.current_time() - stream.last_at > stream.quiet_s
            if stream.is_new or is_final:
                lines = stream.lines
                found = await self._scan(watch, stream)
                # New lines may have come meanwhile only to the queue.
                for one in stream.keep_after(found, is_final=is_final):
                    began = perf_counter()
                    await self._add(watch, *failure_of(one, lines, request_id))
                    await _rest(perf_counter() - began, watch)
        self._report(watch)
        watch.end_searched()

    async def _scan(self, watch: FailureWatch, stream: Stream) -> list[Found]:
        found: list[Found] = []
        began = perf_counter()
        for one in scan_in_turns([line.text for line in stream.lines], watch.own):
            if one is not None:
                found.append(one)
                continue
            await _rest(perf_counter() - began, watch)
            began = perf_counter()
        await _rest(perf_counter() - began, watch)
        return found

    async def _add(self, watch: FailureWatch, failure: Failure, reload: int) -> None:
        frame, source, code = where_to_look(failure.exceptions), None, ""
        if frame is not None and not frame.code:
            source = await self._read(watch, frame, reload)
            code = line_of(source)
        fingerprint = fingerprint_of(failure.language, failure.exceptions, code)
        if frame is not None and source is None and watch.groups.wants_source(fingerprint, reload):
            source = await self._read(watch, frame, reload)
            if source is not None and frame.code and not line_of(source).startswith(frame.code[:80]):
                source = None  # the file was changed since
        watch.groups.add(failure, fingerprint, reload, source)

    async def _read(self, watch: FailureWatch, frame: Frame, reload: int) -> SourceLines | None:
        """Return the source around a frame; read once for each reload. Cancellation: nothing changes."""
        key = watch.preview.id, frame.path, frame.line, reload
        folder = watch.preview.directory
        if key not in self._sources and folder is not None and frame.is_own:
            with trio.move_on_after(_READ_S):
                self._sources[key] = await trio.to_thread.run_sync(read_source, folder, frame, abandon_on_cancel=True)
        return self._sources.use(key)

    def _report(self, watch: FailureWatch) -> None:
        """Report a bound that is reached, once, in the preview's log."""
        groups = watch.groups
        if groups.unread_lines and "lines" not in watch.told:
            watch.told.add("lines")
            watch.preview.log.say(
                "The program prints errors faster than they are searched: some of its failures have no record.",
                Level.WARNING,
            )
        if groups.further and "groups" not in watch.told:
            watch.told.add("groups")
            watch.preview.log.say(
                f"The preview has {self._most_groups} different failures (PREVIEW_FAILURE_GROUPS): further ones have "
                "no record.",
                Level.WARNING,
            )

    async def _save(self) -> None:
        """Store the records that changed; forget previews that are over. Cancellation: some may not be stored."""
        if trio.current_time() < self._save_at:
            return
        self._save_at = trio.current_time() + _SAVE_S
        for watch in list(self._watches.values()):
            try:
                await self._save_one(watch.groups)
            except DatabaseUnavailable:
                self._save_at = trio.current_time() + _RETRY_S
                self._forget_oldest()
                return
            except Exception:
                # Such as a row that the database refuses: the same would happen again.
                log.exception("failure records not stored", preview_id=watch.preview.id)
            if watch.is_over and not watch.is_busy and not watch.groups.is_changed:
                del self._watches[watch.preview.id]

    async def _save_one(self, groups: FailureGroups) -> None:
        if not groups.is_changed:
            return
        changed, totals = groups.take_changes()
        try:
            await self._store.save(groups.preview_id, [groups.records[one] for one in changed], *totals)
        except (DatabaseUnavailable, trio.Cancelled):
            groups.put_back(changed)
            raise

    def _forget_oldest(self) -> None:
        """Bound the memory during a long outage of the database."""
        ended = [one for one in self._watches.values() if one.is_over]
        for one in ended[: max(0, len(ended) - _MOST_ENDED)]:
            log.warning("failure records lost", preview_id=one.preview.id, count=len(one.groups.records))
            del self._watches[one.preview.id]


async def _rest(worked_s: float, watch: FailureWatch) -> None:
    """Let other tasks go on. Cancellation: nothing changes."""
    if watch.is_hurried:
        await trio.lowlevel.checkpoint()
    else:
        await trio.sleep(min(worked_s * _REST_PER_WORK, _LONGEST_REST_S))


@asynccontextmanager
async def open_failures(database: Database, settings: Settings) -> AsyncIterator[FailureCollector]:
    """Open the collector. Cancellation: as at the end, what is not stored yet is stored within two seconds."""
    async with trio.open_nursery() as nursery:
        collector = FailureCollector(database, settings)
        await nursery.start(collector.run)
        try:
            yield collector
        finally:
            nursery.cancel_scope.cancel()
