"""The requests of one live preview: gives numbers, and queues drafts for the writer. Nothing here waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

import structlog
import trio

from preview.logs.ingest.masking import encoded_forms
from preview.traffic.direct import DirectReports, LineNumbers
from preview.traffic.draft import Draft
from preview.traffic.originals import Originals
from preview.traffic.record import Capture

log = structlog.get_logger(__name__)

# Seconds of work with bodies that one preview may cause in a second. Later bodies of this second are dropped.
WORK_S = 0.1


_HIDDEN_CHARACTERS = 8
# Values of requests: each record is searched for each of them.
_MOST_SENT = 64
# Values of the launch's settings, which have fewer: only many changes of a running preview's settings reach this.
_MOST_OWN = 2000
# Queued records at which the writer starts at once.
HURRY = 4000


@dataclass(slots=True)
class _LastLine:
    last_seq: int

    async def read_on(self) -> None:
        """Return at once: the log has ended."""
        await trio.lowlevel.checkpoint()


class Bounds:
    """Drafts of all previews that wait for the database, with limits of their number and their bytes.

    When half of it is used, each preview may use an equal share, so that a flood costs only the records of the preview
    that causes it. A preview that has used more before others came keeps it: in the worst case there are twice as many.

    Args:
        most: Number of drafts.
        most_bytes: Their memory.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most = most
        self.most_bytes = most_bytes
        self.count = 0
        self.size_bytes = 0
        self.waiting: dict[str, PreviewTraffic] = {}

    def takes(self, count: int, size_bytes: int, more_bytes: int) -> bool:
        """Return whether a preview with this many drafts and bytes may add one."""
        if 2 * self.count < self.most and 2 * (self.size_bytes + more_bytes) < self.most_bytes:
            return True
        sharers = len(self.waiting) or 1
        return (
            count < self.most // sharers
            and self.count < 2 * self.most
            and size_bytes + more_bytes <= self.most_bytes // sharers
            and self.size_bytes + more_bytes <= 2 * self.most_bytes
        )


class PreviewTraffic:
    """Requests of one preview. Made by ``TrafficWriter.open``, closed with the preview.

    Args:
        preview_id: The preview; its row exists before the first record.
        capture: See the attribute.
        lines: The preview's log.
        bounds: Limits of all previews.
        most_per_s: Requests to record in one second.
        wake: Called when there is work for the writer.

    Attributes:
        capture: Amount of data to keep. ``set_capture`` changes it.
        reload: Number of times that a new process has taken over.
        last_number: Number of the newest request; 0 before the first.
        stored_number: Number up to which each request is stored or lost.
        lost_records: Number of requests that could not be kept.
        lost_bodies: Number of requests without the headers and bodies that were to be kept.
        listeners: Called with the number and the draft of each request. They must not wait, raise, or keep bodies.
        waiting: Numbered drafts for the writer.
        is_closed: No request follows.
        originals: The owner's newest requests, with their secrets.
        direct: Requests at the preview's own port, as its processes report them.
        secrets: By each form of the values that are removed wherever they occur, the value; see ``hide``.
        count: Called for each request that is not recorded: endpoint, status, seconds.
    """

    def __init__(
        self,
        preview_id: str,
        *,
        capture: Capture,
        lines: LineNumbers,
        bounds: Bounds,
        wake: Callable[[], None],
        most_per_s: int = 1000,
    ) -> None:
        self.preview_id = preview_id
        self.capture = capture
        self.lines = lines
        self.reload = 0
        self.last_number = 0
        self.stored_number = 0
        self.lost_records = 0
        self.lost_bodies = 0
        self.listeners: list[Callable[[int, Draft], None]] = []
        self.originals = Originals()
        self.direct = DirectReports(self)
        self.secrets: Mapping[str, str] = {}
        # Newest last.
        self._own_secrets: dict[str, None] = {}
        self._sent_secrets: dict[str, None] = {}
        self.waiting: deque[tuple[int, Draft]] = deque()
        self.waiting_bytes = 0
        self.in_flight = 0
        self.stored_bytes = 0
        self.is_closed = False
        self._bounds = bounds
        self._wake = wake
        self._arrived = trio.Event()
        self._is_logged = False
        self._work_s = 0.0
        self._work_until = 0.0
        self._most_per_s = most_per_s
        self._left = 0
        self._second_ends = 0.0
        self.count: Callable[[str, int, float], None] | None = None

    def set_capture(self, capture: Capture) -> None:
        """Keep this amount of data from the next request on."""
        self.capture = capture
        self.direct.ask()

    def hide(self, secrets: Iterable[str], *, sent: bool = False) -> None:
        """Remove values from later records wherever they occur: exact, as text in JSON, and as part of a URL.

        Args:
            secrets: The values. Short ones stay, because they occur by chance.
            sent: Requests have them. Of these only the newest are kept; the launch's are kept beside them.
        """
        kept, most = (self._sent_secrets, _MOST_SENT) if sent else (self._own_secrets, _MOST_OWN)
        for secret in secrets:
            if len(secret) >= _HIDDEN_CHARACTERS:
                kept.pop(secret, None)
                kept[secret] = None
        for secret in list(kept)[:-most]:
            del kept[secret]
        values = {**self._sent_secrets, **self._own_secrets}
        self.secrets = {form: value for value in values for form in _forms(value)}

    @property
    def is_off(self) -> bool:
        """True if requests are not recorded."""
        return self.capture is Capture.OFF

    @property
    def is_full(self) -> bool:
        """True if headers and bodies are recorded."""
        return self.capture is Capture.FULL

    def records_next(self) -> bool:
        """Return whether a request that arrives now is recorded. One that is not, because of the rate, is counted."""
        if self.capture is Capture.OFF:
            return False
        now = monotonic()
        if now >= self._second_ends:
            self._second_ends, self._left = now + 1, self._most_per_s
        if self._left:
            self._left -= 1
            return True
        self.lose_records(1)
        return False

    def record(self, draft: Draft) -> int:
        """Queue a request for the database; return its number. Never waits.

        If the queue is full, headers and bodies are dropped, then the whole record; both are counted and logged.
        """
        number = self.last_number = self.last_number + 1
        for listener in self.listeners:
            listener(number, draft)
        if draft.request is not None and not self.is_closed:
            self.originals.note(number, draft)
        bounds, size = self._bounds, draft.size_bytes
        if not bounds.takes(len(self.waiting), self.waiting_bytes, size):
            bare = draft.bare()
            size = bare.size_bytes
            if draft.request is not None or draft.response is not None:
                self.lose_bodies()
            if draft.request is None or not bounds.takes(len(self.waiting), self.waiting_bytes, size):
                self.lose_records(1)
                if not self.waiting and not self.in_flight:
                    self.settle(number)
                return number
            draft = bare
        self.waiting.append((number, draft))
        self.waiting_bytes += size
        bounds.count += 1
        bounds.size_bytes += size
        if len(self.waiting) == 1:
            bounds.waiting[self.preview_id] = self
            self._wake()
        elif bounds.count >= HURRY:
            self._wake()
        return number

    def take(self, most: int) -> list[tuple[int, Draft]]:
        """Take waiting drafts, oldest first."""
        taken = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        self.in_flight += len(taken)
        if not self.waiting:
            self._bounds.waiting.pop(self.preview_id, None)
        return taken

    def done(self, taken: list[tuple[int, Draft]]) -> None:
        """Settle drafts, which are stored or lost."""
        self.in_flight -= len(taken)
        size = sum(draft.size_bytes for _, draft in taken)
        self.waiting_bytes -= size
        self._bounds.count -= len(taken)
        self._bounds.size_bytes -= size
        self.settle(taken[-1][0] if self.waiting else self.last_number)

    def settle(self, number: int) -> None:
        """Wake those who wait for a record up to this number."""
        if number > self.stored_number:
            self.stored_number = number
            self.wake_readers()

    def wake_readers(self) -> None:
        """Wake all tasks in ``wait_beyond``."""
        arrived, self._arrived = self._arrived, trio.Event()
        arrived.set()

    async def wait_beyond(self, number: int) -> None:
        """Wait until a later request is stored, or the preview is closed. Cancellation: nothing changes."""
        await trio.lowlevel.checkpoint()
        while self.stored_number <= number and not self.is_closed:
            await self._arrived.wait()

    def close(self) -> None:
        """End the recording: no request follows. Queued ones are still stored."""
        if not self.is_closed:
            self.is_closed = True
            self.wake_readers()
            self._wake()

    def forget(self) -> None:
        """Drop what only a live preview needs: its log, its listeners and the secrets. The counts stay."""
        self.lines = _LastLine(self.lines.last_seq)
        self.listeners = []
        self.count = None
        self.originals = Originals()

    def lose_records(self, count: int) -> None:
        """Count lost records."""
        self.lost_records += count
        self._log_loss()

    def lose_bodies(self) -> None:
        """Count a record that lost its headers and bodies."""
        self.lost_bodies += 1
        self._log_loss()

    def _log_loss(self) -> None:
        # One line for each preview: a flood of requests must not become a flood of lines.
        if not self._is_logged:
            self._is_logged = True
            log.warning("recorded requests dropped", preview_id=self.preview_id, queued_bytes=self._bounds.size_bytes)

    # The writer's work with bodies

    def may_work(self, now: float) -> bool:
        """Return whether the writer may redact another body of this preview now."""
        if now >= self._work_until:
            self._work_until, self._work_s = now + 1, 0.0
        return self._work_s < WORK_S

    def worked(self, seconds: float) -> None:
        """Count the writer's work with a body."""
        self._work_s += seconds


def unrecorded(preview_id: str, lines: LineNumbers) -> PreviewTraffic:
    """Return a recorder that keeps nothing."""
    return PreviewTraffic(preview_id, capture=Capture.OFF, lines=lines, bounds=Bounds(0, 0), wake=lambda: None)


def _forms(value: str) -> Iterator[str]:
    """Yield each form that a value has in a record."""
    yield value
    yield from encoded_forms(value)
    # A header field, and a body that was cut, are read as Latin-1.
    yield value.encode("utf-8", "surrogatepass").decode("latin-1")
