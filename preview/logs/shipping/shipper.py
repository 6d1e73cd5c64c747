"""The queue of lines to ship, and the task that ships them."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice

import structlog
import trio

from preview.logs.model.batch import Batch
from preview.logs.shipping.otlp import otlp_target
from preview.logs.shipping.target import Encode, LinesRefused, Opener, Sink, TargetFailed
from preview.logs.shipping.targets import target_at
from preview.settings import Settings

log = structlog.get_logger(__name__)

# Lines that wait for the target; further ones are lost, and counted.
_QUEUE_BYTES = 16 * 1024 * 1024
# Lines that are sent at once.
_SENT_BYTES = 256 * 1024
_SENT_BATCHES = 100
_RETRY_FIRST_S = 0.5
_RETRY_MOST_S = 30.0
# A target that takes no lines for so long is opened again.
_STALL_S = 30.0
_LAST_S = 1.0


class Shipper:
    """Ships the lines of all previews. ``run`` runs its task.

    Attributes:
        shipped_lines: Lines that the target has taken since the start.
        lost_lines: Lines that were dropped since the start.
    """

    def __init__(self, opener: Opener, encode: Encode) -> None:
        self._opener = opener
        self._encode = encode
        self._waiting: deque[Batch] = deque()
        self._bytes = 0
        self._wake = trio.Event()
        self._is_full = self._is_sending = self._is_refused = False
        self.shipped_lines = self.lost_lines = 0

    @property
    def queued_bytes(self) -> int:
        """Size of the lines that wait."""
        return self._bytes

    def offer(self, batch: Batch) -> None:
        """Queue lines; never waits. When the queue is full, they are lost."""
        if self._bytes + batch.size_bytes > _QUEUE_BYTES:
            self.lost_lines += len(batch)
            if not self._is_full:
                self._is_full = True
                log.warning("log lines not shipped", reason="the target is too slow, or does not answer")
            return
        self._waiting.append(batch)
        self._bytes += batch.size_bytes
        self._wake.set()

    async def run(self) -> None:
        """Ship lines until cancelled. Cancellation: waiting lines are shipped, within ``_LAST_S`` seconds."""
        delay_s = _RETRY_FIRST_S
        while True:
            shipped = self.shipped_lines
            try:
                async with self._opener() as sink:
                    self._is_sending = False
                    await self._ship(sink)
            except* (
                OSError,
                ValueError,
                trio.BrokenResourceError,
                trio.ClosedResourceError,
                trio.TooSlowError,
            ) as group:
                log.warning("log target failed", reason=_reason(group), waiting=self._bytes)
            if self.shipped_lines > shipped:
                delay_s = _RETRY_FIRST_S
            await trio.sleep(delay_s)
            delay_s = min(2 * delay_s, _RETRY_MOST_S)

    async def _ship(self, sink: Sink) -> None:
        try:
            while True:
                await self._drain(sink)
                self._is_full = False
                self._wake = trio.Event()
                await self._wake.wait()
        except trio.Cancelled:
            with trio.move_on_after(_LAST_S, shield=True):
                if self._is_sending:
                    # A part of the batch may be on its way: what follows it would be read as the rest of it.
                    async with self._opener() as fresh:
                        await self._drain(fresh)
                else:
                    await self._drain(sink)
            raise

    async def _drain(self, sink: Sink) -> None:
        while self._waiting:
            some, data = await self._encoded()
            lines, refused = sum(map(len, some)), 0
            with trio.fail_after(_STALL_S):
                self._is_sending = True
                try:
                    await sink.send(data)
                except LinesRefused as error:
                    # They would be refused again, and hold up all others.
                    refused = lines if error.lines is None else min(error.lines, lines)
                    if not self._is_refused:
                        log.warning("log lines not shipped", reason=f"the target refuses them: {error}", lines=refused)
                self._is_sending, self._is_refused = False, refused > 0
            # A target that fails in between gets these lines twice, rather than never.
            for batch in some:
                self._waiting.popleft()
                self._bytes -= batch.size_bytes
            self.shipped_lines += lines - refused
            self.lost_lines += refused

    async def _encoded(self) -> tuple[list[Batch], bytes]:
        """Return the next batches, and their lines encoded. Cancellation: nothing changes."""
        some, parts, size = [], [], 0
        for batch in list(islice(self._waiting, _SENT_BATCHES)):
            some.append(batch)
            parts.append(self._encode(batch))
            size += len(parts[-1])
            # Encoding takes milliseconds, in which nothing else runs.
            await trio.lowlevel.checkpoint()
            if size >= _SENT_BYTES:
                break
        return some, b"".join(parts)


@asynccontextmanager
async def open_shipping(settings: Settings) -> AsyncIterator[Shipper | None]:
    """Ship lines meanwhile, if the settings name a target.

    Raises:
        ConfigurationError: The target's address is wrong.

    Cancellation: see ``Shipper.run``.
    """
    if settings.log_shipping is None:
        await trio.lowlevel.checkpoint()
        yield None
        return
    address = settings.log_shipping.get_secret_value()
    shipper = Shipper(*(otlp_target(settings) if address == "otlp:" else target_at(address, ca=settings.ca)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shipper.run)
        try:
            yield shipper
        finally:
            nursery.cancel_scope.cancel()


def _reason(group: BaseExceptionGroup[BaseException]) -> str:
    """Return a few words on the first error; never a foreign text, which may have an address or a key."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TargetFailed):
        return str(error)
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate: {cause.verify_message}"
    return str(cause.reason or type(cause).__name__) if isinstance(cause, ssl.SSLError) else type(error).__name__
