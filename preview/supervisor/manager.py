"""The manager owns every preview of the service: it decides synchronously, then acts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import structlog
import trio

from preview.clock import to_ms
from preview.detection import Overrides
from preview.errors import (
    AlreadyRunning,
    Forbidden,
    LimitReached,
    NoActivePreview,
    PreviewNotFound,
    ProjectMismatch,
    ServiceStopping,
    StartupTimeout,
)
from preview.generations import Generation
from preview.lifecycle import State, StopCause
from preview.logs import End, History, LogStore, PreviewLog, Subscription, history
from preview.runtime import bind_in_range
from preview.settings import Settings, Tier
from preview.storage import PreviewStore, UserStore
from preview.storage.records import PreviewRecord
from preview.supervisor.active import ActivePreview, new_record
from preview.supervisor.interface import Launched, LaunchRequest, User
from preview.supervisor.run import House, run_preview

__all__ = ["PreviewManager"]

log = structlog.get_logger(__name__)

# More last lines than fit on a screen help nobody; the log has them all.
_LAST_LINES = 20
_MAX_REMEMBERED = 1000


class PreviewManager:
    """Launches, finds and stops previews.

    Owned by ``open_service``, whose nursery runs every preview: a caller that goes away (a closed connection) cancels
    only its own waiting.

    Invariants: ``_active`` holds one preview a generation, from the claim until nothing of it is left; ``_by_id`` holds
    the same previews. Between a check and its claim there is no await.
    """

    def __init__(
        self, nursery: trio.Nursery, house: House, *, users: UserStore, log_store: LogStore, draining: trio.Event
    ) -> None:
        self._nursery = nursery
        self._house = house
        self._users = users
        self._log_store = log_store
        self._draining = draining
        self._active: dict[str, ActivePreview] = {}
        self._by_id: dict[str, ActivePreview] = {}
        # Bounded by ``_remember``; the oldest first.
        self._overrides: dict[str, Overrides] = {}

    @property
    def _settings(self) -> Settings:
        return self._house.settings

    @property
    def _store(self) -> PreviewStore:
        return self._house.store

    @property
    def all_active(self) -> Mapping[str, ActivePreview]:
        """Every live preview by its id; a view, not a copy."""
        return MappingProxyType(self._by_id)

    def open_log(
        self, record: PreviewRecord, *, after: int | None = None, tail: int | None = None
    ) -> Subscription | History:
        """The preview's log, live or stored, to be used with ``with``; both are read by ``receive()``."""
        preview = self._by_id.get(record.id)
        if preview is not None:
            return preview.log.subscribe(after=after, tail=tail)
        end = End(
            record.id,
            record.state,
            record.reason,
            record.exit_code,
            record.exit_signal,
            to_ms(record.stopped_at or record.created_at),
        )
        return history(
            self._log_store,
            end,
            record.id,
            after=after,
            tail=tail,
            last_seq=record.last_seq,
            settle=partial(self._house.writer.flush, record.id),
        )

    async def has_all(self, record: PreviewRecord, after: int) -> bool:
        """Whether line ``after`` is the last that this preview will ever have. Cancellation: nothing changes."""
        if record.is_active:
            return False
        if record.last_seq is not None:
            return after == record.last_seq
        _, stored = await self._log_store.bounds(record.id)
        return after == stored

    async def store_pending(self) -> int:
        """Store the ends that the database did not take at once; how many. Cancellation: the rest is kept for later."""
        stored = 0
        for record in list(self._house.pending.values()):
            try:
                await self._store.update(record)
            except PreviewNotFound:
                log.warning("end of a preview whose row is gone", preview_id=record.id)
            else:
                stored += 1
            self._house.pending.pop(record.id, None)
        return stored

    # Launch

    async def launch(self, request: LaunchRequest) -> Launched:
        """Launch a generation; answers when the preview exists and its log can be watched.

        Raises:
            GenerationNotFound, Forbidden, ProjectMismatch: It cannot be this user's launch.
            InvalidGeneration: Its files cannot be run; no preview was made.
            AlreadyRunning, LimitReached, NoPortFree, ServiceStopping: Something is taken; ``details`` says what.

        Cancellation: before the claim nothing has happened; after it the preview lives on without this caller.
        """
        generation = await self._own_generation(request)
        tier = self._settings.tier(request.user.tier or await self._users.tier(request.user.id))
        preview, token = self._claim(request, generation, tier)
        await preview.accepted.wait()
        if not preview.stored:
            raise preview.cause
        return Launched(preview.record, token)

    async def _own_generation(self, request: LaunchRequest) -> Generation:
        generation = await self._house.source.get(request.generation_id)
        if generation.user_id != request.user.id:
            raise Forbidden("This generation belongs to somebody else.")
        if request.project_id is not None and request.project_id != generation.project_id:
            raise ProjectMismatch(
                f"The generation {generation.id!r} does not belong to the project {request.project_id!r}; "
                "send the project it was made for, or leave it out."
            )
        return generation

    def _claim(self, request: LaunchRequest, generation: Generation, tier: Tier) -> tuple[ActivePreview, str]:
        """Check and take, in one step: no await in here (guarantee 7)."""
        self._check_free(request.user, generation.id, tier)
        settings = self._settings
        # A preview that listens by itself holds its port without listening: others could listen there too.
        held = {one.record.port for one in self._by_id.values() if one.record.port is not None}
        listener = bind_in_range(settings.preview_host, settings.port_min, settings.port_max, held=held)
        record, token = new_record(
            settings,
            user=request.user,
            tier=tier,
            generation_id=generation.id,
            project_id=generation.project_id,
            port=listener.getsockname()[1],
            runtime=self._house.runtime.name,
        )
        preview = ActivePreview(
            record,
            settings=settings,
            tier=tier,
            log=PreviewLog(record.id, settings=settings, writer=self._house.writer, store=self._log_store),
            listener=listener,
            startup_timeout_s=request.startup_timeout_s or settings.startup_timeout_s,
            overrides=request.overrides,
        )
        self._active[generation.id] = self._by_id[record.id] = preview
        self._remember(generation.id, request.overrides)
        self._nursery.start_soon(self._run, preview, name=record.id)
        return preview, token

    def _remember(self, generation_id: str, overrides: Overrides | None) -> None:
        """For the next restart. In memory only: variables may hold secrets."""
        self._overrides.pop(generation_id, None)
        if overrides is not None:
            self._overrides[generation_id] = overrides
            while len(self._overrides) > _MAX_REMEMBERED:
                del self._overrides[next(iter(self._overrides))]

    def _check_free(self, user: User, generation_id: str, tier: Tier) -> None:
        if self._draining.is_set():
            raise ServiceStopping("The service is shutting down and launches nothing more; try again in a moment.")
        taken = self._active.get(generation_id)
        if taken is not None:
            raise AlreadyRunning(
                f"The generation {generation_id!r} already has the preview {taken.id} ({taken.record.state}); "
                "use it, or stop it first.",
                preview_id=taken.id,
                generation_id=generation_id,
            )
        held = [preview.record for preview in self._active.values() if preview.record.user_id == user.id]
        if len(held) >= tier.max_previews:
            raise LimitReached(
                f"The {tier.name} tier allows {tier.max_previews} preview(s) at a time; stop {held[0].id} "
                f"of the generation {held[0].generation_id!r} first.",
                limit=tier.max_previews,
                tier=tier.name,
                previews=[{"preview_id": one.id, "generation_id": one.generation_id} for one in held],
            )
        if len(self._active) >= self._settings.max_previews:
            raise LimitReached(
                f"The service runs {len(self._active)} previews and may run no more (PREVIEW_MAX_PREVIEWS); "
                "try again when one has ended.",
                limit=self._settings.max_previews,
                previews=[],
            )

    async def _run(self, preview: ActivePreview) -> None:
        """The preview's task: its place is free when nothing of it is left, and only then anybody is told so."""
        try:
            await run_preview(preview, self._house)
        finally:
            del self._active[preview.record.generation_id], self._by_id[preview.id]
            preview.over.set()

    async def wait_ready(self, preview_id: str, timeout_s: float) -> PreviewRecord:
        """Wait until the preview answers.

        Raises:
            StartupTimeout: Not within ``timeout_s`` seconds; ``details["last_lines"]`` says what it printed.
            LaunchFailed: It ended instead; likewise.
            PreviewNotFound: There is no live preview with this id.

        Cancellation: the preview is not touched.
        """
        preview = self._by_id.get(preview_id)
        if preview is None:
            raise PreviewNotFound(f"There is no live preview {preview_id!r}.")
        with trio.move_on_after(timeout_s) as scope:
            await preview.settled.wait()
        if scope.cancelled_caught:
            raise StartupTimeout(
                f"The preview was not healthy within {timeout_s:g} s; it is still starting.",
                preview_id=preview_id,
                last_lines=preview.last_lines(_LAST_LINES),
            )
        if preview.record.state is State.RUNNING:
            return preview.record
        await preview.over.wait()
        cause = preview.cause
        details = {**cause.details, "preview_id": preview_id, "last_lines": preview.last_lines(_LAST_LINES)}
        raise type(cause)(cause.message, **details)

    # Stop

    async def stop(self, generation_id: str, cause: StopCause = StopCause.USER) -> PreviewRecord:
        """Stop the generation's preview; answers when processes, port and files are gone.

        Raises:
            NoActivePreview: There is none.

        Cancellation: the preview stops all the same.
        """
        preview = self._active.get(generation_id)
        if preview is None:
            raise _none(generation_id)
        preview.request_stop(cause)
        await preview.over.wait()
        return preview.record

    async def restart(self, user: User, generation_id: str) -> Launched:
        """Stop the generation's preview, if it has one, and launch it again: a new preview with a log of its own.

        What the last launch request decided about the start counts again, for as long as this service runs.

        Raises:
            As ``launch``.

        Cancellation: the stop is carried out; the launch only if it had begun.
        """
        await self._own_generation(LaunchRequest(user, generation_id))
        if generation_id in self._active:
            await self.stop(generation_id)
        return await self.launch(LaunchRequest(user, generation_id, overrides=self._overrides.get(generation_id)))

    async def stop_all(self, cause: StopCause = StopCause.SHUTDOWN) -> None:
        """Stop every preview and wait until nothing of any is left. Cancellation: they stop all the same."""
        previews = list(self._by_id.values())
        for preview in previews:
            preview.request_stop(cause)
        for preview in previews:
            await preview.over.wait()

    # Look

    def active(self, generation_id: str) -> ActivePreview | None:
        """The generation's live preview."""
        return self._active.get(generation_id)

    def find(self, preview_id: str) -> ActivePreview | None:
        """The live preview with this id."""
        return self._by_id.get(preview_id)

    def require(self, generation_id: str) -> ActivePreview:
        """As ``active``.

        Raises:
            NoActivePreview: There is none.
        """
        preview = self._active.get(generation_id)
        if preview is None:
            raise _none(generation_id)
        return preview

    async def latest(self, generation_id: str) -> PreviewRecord:
        """The generation's newest preview, in whatever state.

        Raises:
            NoActivePreview: It never had one (that is still kept).

        Cancellation: nothing changes.
        """
        preview = self._active.get(generation_id)
        if preview is not None and preview.stored:
            return preview.record
        record = await self._store.latest(generation_id)
        if record is None:
            raise _none(generation_id)
        return self._newest(record)

    async def current(self, generation_id: str) -> PreviewRecord:
        """The generation's preview as its status shows it: the live one, or the one that failed last.

        Raises:
            NoActivePreview: The newest one was stopped or has expired, or there never was one.

        Cancellation: nothing changes.
        """
        record = await self.latest(generation_id)
        if record.state is State.STOPPED:
            raise _none(generation_id)
        return record

    async def get(self, preview_id: str) -> PreviewRecord:
        """The preview with this id, live or over.

        Raises:
            PreviewNotFound: There is none (any more).

        Cancellation: nothing changes.
        """
        preview = self._by_id.get(preview_id)
        record = self._house.pending.get(preview_id)
        if preview is not None and preview.stored:
            record = preview.record
        elif record is None:
            record = await self._store.get(preview_id)
        if record is None:
            raise PreviewNotFound(f"There is no preview {preview_id!r}.")
        return record

    async def list_for_user(
        self, user_id: str, *, state: State | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[PreviewRecord], str | None]:
        """A page of the user's previews, newest first, and the next page's cursor. Cancellation: nothing changes."""
        records, following = await self._store.list_for_user(user_id, state=state, cursor=cursor, limit=limit)
        return [self._newest(one) for one in records], following

    def _newest(self, stored: PreviewRecord) -> PreviewRecord:
        """What is known of a preview beyond its row: it lives, or has ended without the database's knowing."""
        preview = self._by_id.get(stored.id)
        return preview.record if preview is not None else self._house.pending.get(stored.id, stored)

    async def extend(self, generation_id: str, seconds: float) -> PreviewRecord:
        """Move the expiry.

        Raises:
            NoActivePreview: There is none.
            InvalidRequest: The tier's longest life is reached.

        Cancellation: the expiry is moved; the row follows with the next change.
        """
        preview = self.require(generation_id)
        preview.extend(seconds)
        try:
            await self._store.update(preview.record)
        except PreviewNotFound as error:  # it ended meanwhile
            raise _none(generation_id) from error
        return preview.record


def _none(generation_id: str) -> NoActivePreview:
    return NoActivePreview("No active preview for this generation", generation_id=generation_id)
