"""Checks of all generations: their files, their last runs, and runs after each reload."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
import trio

from preview.core.bounded_dict import BoundedDict
from preview.core.lifecycle import State
from preview.errors import GenerationReadOnly, InvalidRequest, PreviewError
from preview.generations import Edit, Generation, GenerationLimits
from preview.logs import Batch, End, Gap, Level, StatusChange
from preview.replay.checks.file import CHECKS_FILE, CheckFile, read_checks, write_checks
from preview.replay.checks.running import ChecksRun, check_preview
from preview.replay.sending.sequence import Send
from preview.service import Service
from preview.supervisor import LivePreview

log = structlog.get_logger(__name__)

# Runs that are remembered; of older ones, a reader sees none.
_MOST_RUNS = 1000
# Reloads that wait for their checks. Of more, the checks are left out, as the line of the log says.
_MOST_WAITING = 100
# Previews whose checks run at the same time, each of another user.
_WORKERS = 4
_LONGEST_S = 60.0


class CheckBook:
    """Reads and stores the checks of generations, and remembers their last runs, in memory.

    Args:
        service: The running service.
        send: Sends a request of a check to a preview.
    """

    def __init__(self, service: Service, send: Send) -> None:
        self._service = service
        self._send_request = send
        self._runs: BoundedDict[str, ChecksRun] = BoundedDict(_MOST_RUNS)
        # Previews that wait for their checks, in order; a second reload of one adds nothing.
        self._waiting: dict[str, LivePreview] = {}
        self._busy: set[str] = set()
        self._changed = trio.lowlevel.ParkingLot()
        self._is_over = False

    async def read(self, generation_id: str) -> tuple[CheckFile, str]:
        """Return a generation's checks, and the text of its file; both are empty if it has none.

        Raises:
            InvalidRequest: The file cannot be read.

        Cancellation: nothing changes.
        """
        library = self._service.library
        found = {} if library is None else await library.read_files(generation_id, [CHECKS_FILE])
        content = found.get(CHECKS_FILE)
        if content is None:
            return CheckFile(), ""
        file = await trio.to_thread.run_sync(read_checks, content)
        return file, content.decode()

    async def write(self, generation: Generation, file: CheckFile) -> str:
        """Store a generation's checks in its file; return the text. The preview is not reloaded.

        Raises:
            GenerationReadOnly: The host of this service keeps the generation.
            InvalidRequest: The file would be too large to be read.

        Cancellation: it is stored completely or not at all.
        """
        library = self._service.library
        if library is None:
            raise GenerationReadOnly(
                f"This service does not keep the generation's files; write {CHECKS_FILE} where they are kept."
            )
        text = write_checks(file)
        content = text.encode()
        await trio.to_thread.run_sync(read_checks, content)
        limits = GenerationLimits.of(self._service.settings)
        await library.edit(generation.id, Edit.of({CHECKS_FILE: content}, (), limits))
        return text

    def last(self, generation_id: str) -> ChecksRun | None:
        """Return the last run of a generation's checks; None if there is none."""
        return self._runs.get(generation_id)

    def note(self, generation_id: str, run: ChecksRun) -> ChecksRun:
        """Remember a run, and return it with the reloads since which its checks break."""
        noted = run.after(self.last(generation_id))
        self._runs[generation_id] = noted
        return noted

    # After reloads

    def watch(self, preview: LivePreview) -> None:
        """Run the checks after each reload of a preview. An observer of new previews."""
        preview.log.broadcast.add(_Reloads(partial(self._put, preview)))

    def _put(self, preview: LivePreview) -> None:
        if self._is_over:
            return  # the application has ended, and the service goes on without it
        if preview.id not in self._waiting and len(self._waiting) >= _MOST_WAITING:
            preview.log.say("checks: not run, too many previews reload at once", Level.WARNING)
            return
        self._waiting[preview.id] = preview
        self._changed.unpark_all()

    async def run(self) -> None:
        """Run checks after reloads until cancelled; of each user, one preview at a time.

        Cancellation: the runs end.
        """
        try:
            async with trio.open_nursery() as nursery:
                for _ in range(_WORKERS):
                    nursery.start_soon(self._work)
        finally:
            self._is_over = True
            self._waiting.clear()

    async def _work(self) -> None:
        while True:
            preview = self._take()
            if preview is None:
                await self._changed.park()
                continue
            user_id = preview.record.user_id
            self._busy.add(user_id)
            try:
                if preview.record.state is State.RUNNING:
                    await self._check_soundly(preview)
            finally:
                self._busy.discard(user_id)
                self._changed.unpark_all()

    def _take(self) -> LivePreview | None:
        """Return the first preview that waits and whose user has no run; None if there is none."""
        for preview in self._waiting.values():
            if preview.record.user_id not in self._busy:
                return self._waiting.pop(preview.id)
        return None

    async def _check_soundly(self, preview: LivePreview) -> None:
        """Run the checks of a preview; errors are logged. Cancellation: the run ends."""
        try:
            with trio.move_on_after(_LONGEST_S) as scope:
                await self._check(preview)
            if scope.cancelled_caught:
                preview.log.say(f"checks: not finished within {_LONGEST_S:g} s", Level.WARNING)
        except InvalidRequest as error:
            preview.log.say(f"checks: {error.message}", Level.WARNING)
        except PreviewError as error:
            log.info("checks not run", preview_id=preview.id, error=error.message)
        except Exception:
            # An error that leaves this task would cancel the nursery of the application.
            log.exception("checks not run", preview_id=preview.id)

    async def _check(self, preview: LivePreview) -> None:
        generation_id = preview.record.generation_id
        file, _ = await self.read(generation_id)
        if not file.checks:
            return
        limit = self._service.settings.proxy_body_bytes
        run = self.note(generation_id, await check_preview(preview, file.checks, self._send_request, limit))
        _, broke, _ = run.counts
        preview.log.say(f"checks: {run.sentence()}", Level.WARNING if broke else Level.INFO)
        for one in run.results:
            if one.problems:
                preview.log.say(f"check {one.name!r} broke: {one.problems[0]}", Level.WARNING)


class _Reloads:
    """A listener of a preview's log that notices reloads. It only compares numbers, and never waits."""

    watchers = 0

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._restarts = 0

    def offer(self, event: Batch | StatusChange | Gap | End) -> None:
        """Take an event of the log."""
        if isinstance(event, StatusChange) and event.restarts > self._restarts:
            self._restarts = event.restarts
            self._changed()
