"""A log's event stream from another node that goes on when the preview's owner changes.

Only whole events reach the client. So when the owner is lost, the stream can be asked for again, from whichever node
has the preview by then, after the last event that the client has. The client notices a pause.
"""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING

import trio

from preview.core.lifecycle import may_go_on
from preview.errors import NoActivePreview, PreviewError
from preview.http.relay.head_cache import passed_head, request_lines
from preview.http.relay.slow_path import SlowPath
from preview.proxy.carriage import standing_fields
from preview.proxy.exchange import UpstreamExchange
from preview.proxy.http1 import LAST_CHUNK, chunk
from preview.proxy.network_stream import UpstreamGone

if TYPE_CHECKING:
    from preview.http.relay.head_cache import Returned
    from preview.proxy.admission import Admitted, RequestHead

_LAST_ID_FIELD = b"last-event-id"
_ID = b"\nid: "
_EVENT_END = b"\n\n"
# A lease, and the start of the preview on another node.
_PATIENCE_S = 30.0
_PAUSE_S = 0.2
# An event is a batch of lines; a larger one is forwarded in pieces, and the stream cannot go on after a loss.
_MAX_EVENT_BYTES = 4 * 1024 * 1024
_OK = 200
# The new owner does not have the preview yet, or has as many streams as it allows for a moment.
_LATER = frozenset({404, 409, 421, 429, 502, 503, 504})
_END = b"event: end\n"
_DATA = b"\ndata: "


class LogFollow(SlowPath):
    """Carries a log's stream from another node."""

    _last_id = b""
    _rest = b""

    async def _content(self, found: Returned, content: list[memoryview]) -> None:
        """Forward whole events until the stream has ended, wherever it comes from. Raises, cancels: as ``_answer``."""
        answer, ends = found.answer, self._exchange.body.is_over
        kind = next((value for name, value in answer.fields if name == b"content-type"), b"")
        if answer.status != _OK or ends or not found.in_chunks or not kind.startswith(b"text/event-stream"):
            await super()._content(found, content)
            return
        self._delivery.begin(found, [])
        farewell = await self._until_lost(b"".join(content))
        while farewell is None or _may_go_on(farewell):
            if not await self._resume():
                break
            farewell = await self._until_lost(b"".join(self._exchange.take_rest()))
        if farewell is None:
            raise UpstreamGone
        await self._send(farewell, is_last=True)

    async def _until_lost(self, came: bytes) -> bytes | None:
        """Forward events until the stream ends. Return its last event; None if it was cut off."""
        held = b""
        try:
            while True:
                whole = self._whole_events(came)
                if whole:
                    # An end is held back: it may not hold for the client.
                    at = _end_in(whole)
                    await self._send(held + whole[:at])
                    held = whole[at:]
                if self._exchange.body.is_over:
                    return held
                self._connection.deadline = monotonic() + self._relay.idle_s
                room = self._relay.buffer
                size = await self._exchange.receive_into(room)
                came = b"".join(self._exchange.take(room[:size]))
        except UpstreamGone:
            return None

    def _whole_events(self, came: bytes) -> bytes:
        """Return the whole events up to here, and keep the rest."""
        data = self._rest + came
        end = data.rfind(_EVENT_END)
        if end < 0 and len(data) <= _MAX_EVENT_BYTES:
            self._rest = data
            return b""
        end = len(data) if end < 0 else end + len(_EVENT_END)
        self._rest, whole = data[end:], data[:end]
        at = whole.rfind(_ID)
        if at >= 0:
            self._last_id = whole[at + len(_ID) :].partition(b"\n")[0]
        elif whole.startswith(_ID[1:]):
            self._last_id = whole[len(_ID) - 1 :].partition(b"\n")[0]
        return whole

    async def _send(self, events: bytes, *, is_last: bool = False) -> None:
        delivery = self._delivery
        framed = [*chunk([events]), LAST_CHUNK] if is_last else chunk([events])
        await self._send_unsent()
        if framed:
            delivery.sent_bytes += len(events)
            self._relay.carried.to_browsers += len(events)
            delivery.unsent = self._client.send_now(framed)
            await self._send_unsent()

    async def _resume(self) -> bool:
        """Ask for the stream again; return whether it goes on."""
        router, head = self._relay.router, self._delivery.request.head
        if router is None or self._relay.is_draining:
            return False
        self._rest = b""
        self._exchange.release()
        self._connection.deadline = monotonic() + _PATIENCE_S + self._relay.answer_s
        with trio.move_on_after(_PATIENCE_S):
            while True:
                # Each time: an owner that has ended its previews may still have its lease.
                await trio.sleep(_PAUSE_S)
                router.forget(head)
                try:
                    admitted = await router.owner(head)
                except NoActivePreview:
                    return False
                status = 0 if admitted is None else await self._reopen(head, admitted)
                if status == _OK:
                    return True
                if status and status not in _LATER:
                    return False
        return False

    async def _reopen(self, head: RequestHead, admitted: Admitted) -> int:
        """Ask this node for the stream after the last event; return the status, 0 if there was none."""
        delivery, ask = self._delivery, self._ask
        if self._last_id:
            fields = [field for field in head.fields if field[0] != _LAST_ID_FIELD]
            head = head._replace(fields=[*fields, (_LAST_ID_FIELD, self._last_id)])
        standing = request_lines(ask, standing_fields(head, admitted)[0])
        key = admitted.preview_id, admitted.process
        exchange = self._exchange = delivery.exchange = UpstreamExchange(
            self._relay.pool, key, admitted.address, ask.method
        )
        try:
            with trio.fail_after(self._relay.answer_s):
                await exchange.start(passed_head(ask.method, head.target, standing, b""))
                await exchange.drain()
                status = (await exchange.read_head()).status
        except (PreviewError, trio.TooSlowError):
            status = 0
        if status != _OK:
            exchange.release()
        return status


def _may_go_on(farewell: bytes) -> bool:
    """Return whether the last event of a stream is the end of a preview that may go on."""
    _, _, form = farewell.partition(_DATA)
    try:
        end = json.loads(form.partition(b"\n")[0])
        return may_go_on(end.get("cause"), end.get("reason"))
    except (ValueError, AttributeError, TypeError):
        return False


def _end_in(whole: bytes) -> int:
    """Return where the event ``end`` begins; the length if there is none."""
    if whole.startswith(_END):
        return 0
    at = whole.rfind(_EVENT_END + _END)
    return len(whole) if at < 0 else at + len(_EVENT_END)
