"""Read-only queries for previews and their logs, live or over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from preview.cluster import Place
from preview.core.clock import to_ms
from preview.core.lifecycle import State
from preview.core.quoting import quoted
from preview.detection import StartPlan
from preview.errors import (
    DatabaseUnavailable,
    DiskFull,
    LaunchFailed,
    PreviewNotFound,
    PreviewUnavailable,
    ServiceStopping,
    StartupTimeout,
)
from preview.logs import End, History, LogPager, LogStore, Subscription
from preview.logs.filter import Filter, KnownRequests, Resolved
from preview.storage.tables import PreviewRecord
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.manager.queued import QueuedLaunches
from preview.supervisor.manager.registry import PreviewRegistry, no_active_preview, with_last_lines
from preview.supervisor.preview.confinement import Confinement
from preview.supervisor.preview.live_preview import LivePreview

_LAST_LINES = 20


class PreviewQueries:
    """Finds previews in three places: the live registry, records that are not stored yet, and the database.

    A live preview takes precedence over its row, and a pending final record over a stored one.
    """

    def __init__(self, context: SupervisorContext, registry: PreviewRegistry, log_store: LogStore) -> None:
        self._context = context
        self._registry = registry
        self._log_store = log_store
        self.queued = None if context.cluster is None else QueuedLaunches(context, context.cluster, registry)

    # Live previews

    @property
    def all_active(self) -> Mapping[str, LivePreview]:
        """All live previews by id; a view, not a copy."""
        return self._registry.by_id

    def active(self, generation_id: str) -> LivePreview | None:
        """Return the generation's live preview, or None."""
        return self._registry.of(generation_id)

    def find(self, preview_id: str) -> LivePreview | None:
        """Return the live preview with this id, or None."""
        return self._registry.by_id.get(preview_id)

    async def _until_ended(self, generation_id: str) -> None:
        """Wait for a preview that is ending: clients may have its last event while its files still exist."""
        preview = self.active(generation_id)
        if preview is not None and preview.outcome is not None:
            with trio.move_on_after(self._context.settings.stop_budget_s):
                await preview.over.wait()

    def require(self, generation_id: str) -> LivePreview:
        """Return the generation's live preview.

        Raises:
            NoActivePreview: The generation has no live preview.
        """
        return self._registry.require(generation_id)

    async def wait_ready(self, preview_id: str, timeout_s: float) -> PreviewRecord:
        """Wait until the preview serves, also one in the queue of a cluster, and one that another node starts again.

        Raises:
            StartupTimeout: The preview does not serve within ``timeout_s`` seconds; ``details["last_lines"]`` has its
                last output.
            LaunchFailed: The preview ended instead; same details.
            PreviewNotFound: There is no live preview with this id.

        Cancellation: the preview is not affected.
        """
        deadline = trio.current_time() + timeout_s
        while True:
            left_s = max(0.0, deadline - trio.current_time())
            if (
                self.queued is not None
                and (record := await self.queued.wait(preview_id, left_s, timeout_s)) is not None
            ):
                return record
            preview = self.find(preview_id)
            if preview is None:
                raise PreviewNotFound(f"There is no live preview {quoted(preview_id)}.")
            try:
                return await self._wait_here(preview, timeout_s, deadline)
            except (DatabaseUnavailable, DiskFull, LaunchFailed, ServiceStopping):
                if self.queued is None or preview.outcome is None or preview.outcome.departure is None:
                    raise

    async def _wait_here(self, preview: LivePreview, timeout_s: float, deadline: float) -> PreviewRecord:
        """Wait for a preview of this node; see ``wait_ready``."""
        with trio.move_on_at(deadline) as scope:
            await preview.settled.wait()
        if scope.cancelled_caught:
            raise StartupTimeout(
                f"The preview was not healthy within {timeout_s:g} s; it is still starting.",
                preview_id=preview.id,
                last_lines=preview.last_lines(_LAST_LINES),
            )
        if preview.record.state is State.RUNNING:
            return preview.record
        await preview.over.wait()
        raise with_last_lines(preview.cause, preview)

    async def detect(self, directory: Path) -> StartPlan:
        """Return what detection decides for a project's files, without any settings.

        Raises:
            PreviewError: The files cannot be read, or nothing in them can be started.

        Cancellation: the process that reads the files is killed.
        """
        async with self._context.read_queue.open_slot():
            return (await self._context.analyses.analyse(directory, None)).plan

    @contextmanager
    def observing(
        self, observer: Callable[[LivePreview], None], *, ended: Callable[[PreviewRecord], None] | None = None
    ) -> Iterator[None]:
        """Call the observers while the context is open.

        Args:
            observer: Called with each new preview; see ``SupervisorContext.observers``.
            ended: Called with previews that ended without being live; see ``SupervisorContext.end_observers``.
        """
        self._context.observers.append(observer)
        ends = [] if ended is None else [ended]
        self._context.end_observers.extend(ends)
        try:
            yield
        finally:
            self._context.observers.remove(observer)
            for one in ends:
                self._context.end_observers.remove(one)

    @property
    def waiting_starts(self) -> int:
        """Number of starts that wait for a processor."""
        return self._context.start_queue.waiting

    async def place(self, record: PreviewRecord) -> Place | None:
        """Return the preview's place in the queue of a cluster; None if it does not wait. Cancellation: no change."""
        return None if self.queued is None else await self.queued.place(record)

    async def _cancel(self, generation_id: str, only: str | None = None) -> PreviewRecord | None:
        """Take the generation's preview, or ``only`` this one, out of the queue of a cluster; None if none waits."""
        return None if self.queued is None else await self.queued.cancel(generation_id, only)

    async def _stopped(self, preview: LivePreview) -> PreviewRecord:
        """Wait for the end of a preview that was told to stop; one that was leaving this node is stopped in the queue.

        Raises:
            PreviewUnavailable: It has left this node, and is not in the queue.
        """
        await preview.over.wait()
        if preview.outcome is None or preview.outcome.departure is None:
            return preview.record
        queued = await self._cancel(preview.record.generation_id, preview.id)
        if queued is None:
            raise PreviewUnavailable("The preview moves to another node; try again.")
        return queued

    # Previews in any state

    def confinement(self, preview_id: str) -> Confinement | None:
        """Return the preview's isolation and reached limits; None if it ended too long ago."""
        return self._registry.confinement(preview_id)

    async def latest(self, generation_id: str) -> PreviewRecord:
        """Return the generation's newest preview, in any state.

        Raises:
            NoActivePreview: The generation has no preview on record.

        Cancellation: nothing changes.
        """
        preview = self._registry.of(generation_id)
        if preview is not None and self._counts(preview):
            return preview.record
        record = await self._context.store.latest(generation_id)
        if record is None:
            raise no_active_preview(generation_id)
        return self._newest(record)

    async def current(self, generation_id: str) -> PreviewRecord:
        """Return the generation's current preview for its status: the newest one, live or failed.

        Raises:
            NoActivePreview: The newest preview was stopped or has expired, or there is none.

        Cancellation: nothing changes.
        """
        record = await self.latest(generation_id)
        if record.state is State.STOPPED:
            raise no_active_preview(generation_id)
        return record

    async def get(self, preview_id: str) -> PreviewRecord:
        """Return the preview with this id, live or over.

        Raises:
            PreviewNotFound: There is no such preview, or it was deleted.

        Cancellation: nothing changes.
        """
        preview = self.find(preview_id)
        record = self._context.pending.get(preview_id)
        if preview is not None and self._counts(preview):
            record = preview.record
        elif record is None:
            record = await self._context.store.get(preview_id)
        if record is None:
            raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
        return record

    async def list_for_user(
        self,
        user_id: str,
        *,
        state: State | None = None,
        generation_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[PreviewRecord], str | None]:
        """Return a page of the user's previews, newest first, and the next cursor. Cancellation: nothing changes."""
        records, following = await self._context.store.list_for_user(
            user_id, state=state, generation_id=generation_id, cursor=cursor, limit=limit
        )
        newest = [self._newest(one) for one in records]
        # A row may be outdated, so check the state again.
        return [one for one in newest if state is None or one.state is state], following

    def _newest(self, stored: PreviewRecord) -> PreviewRecord:
        """Return the newest record for a row: of the live preview, or one that is not stored yet."""
        preview = self.find(stored.id)
        if preview is not None:
            return preview.record if self._counts(preview) else stored
        return self._context.pending.get(stored.id, stored)

    def _counts(self, preview: LivePreview) -> bool:
        """Return whether a live preview's record is the newest: an end of one that was lost is the end here only."""
        return preview.stored and (preview.record.is_active or self._context.holds(preview.id))

    def knows_last_line(self, record: PreviewRecord) -> bool:
        """Return whether the last number in the log that this node has is certain: no other node has gone on since."""
        if self._context.cluster is None:
            return True
        if record.id in self._registry.by_id:
            return self._context.holds(record.id)
        return not record.is_active and record.id not in self._context.pending

    # Logs

    def open_log(
        self, record: PreviewRecord, *, after: int | None = None, tail: int | None = None
    ) -> Subscription | History:
        """Open the preview's log, live or stored, for use with ``with`` and ``receive()``."""
        preview = self.find(record.id)
        if preview is not None:
            return preview.log.subscribe(after=after, tail=tail)
        end = End(
            record.id,
            record.state,
            record.reason,
            record.exit_code,
            record.exit_signal,
            to_ms(record.stopped_at or record.created_at),
            record.cause,
            record.steps,
        )
        return History(
            self._log_store,
            end,
            record.id,
            after=after,
            tail=tail,
            last_seq=record.last_seq,
            settle=partial(self._context.writer.flush, record.id),
        )

    def look_back(self, record: PreviewRecord) -> LogPager:
        """Return a pager for the preview's log, live or over."""
        preview = self.find(record.id)

        async def settle(seq: int | None) -> None:
            await self._context.writer.flush(record.id, up_to=seq)

        live = None if preview is None else preview.log
        return LogPager(self._log_store, record.id, live=live, last_seq=record.last_seq, settle=settle)

    def resolve(
        self, record: PreviewRecord, terms: Filter, requests: Mapping[int, str], known: KnownRequests
    ) -> Filter:
        """Return the terms for this preview's lines.

        Args:
            record: The preview, live or over.
            terms: Terms as parsed.
            requests: Request ids by number, of the recorded requests that the terms name.
            known: Facts of recorded requests.

        Raises:
            InvalidFilter: A term does not apply to lines.
        """
        terms.check_lines()
        preview = self.find(record.id)
        reloads = (record if preview is None else preview.record).reloads
        return terms.resolved(Resolved(reloads.first_lines, requests, known))

    async def has_all(self, record: PreviewRecord, after: int) -> bool:
        """Return True if line ``after`` is the last line of a preview that is over. Cancellation: nothing changes."""
        if record.is_active:
            return False
        if record.last_seq is not None:
            return after == record.last_seq
        _, stored = await self._log_store.bounds(record.id)
        return after == stored
