"""Facts about a request while it is carried, for its record. One object per request; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from preview.core.clock import now_ms
from preview.proxy.admission import Admitted, Fields
from preview.proxy.http1 import Answer, Payload
from preview.traffic import BODY_BYTES, Draft, DraftMessage, Origin, PreviewTraffic, keeps_body
from preview.traffic.measurements.endpoint_name import endpoint_name
from preview.traffic.measurements.series import OTHERS

# Approximate size of a field.
_FIELD = 64


class Recording:
    """One request, until its end. All times are on the carrier's clock.

    Attributes:
        origin: How the request arrives.
        fields: Header fields, or header lines, that the preview receives.
        answer: Head of the response; None before it has arrived.
        error: Code of the error that ended the exchange, once known.
        connected_at: When a connection to the preview was there; 0 before.
        first_byte_at: When the response's head was there; 0 before.
        sent_bytes: Size of the request's content so far.
        received_bytes: Size of the response's content so far.
    """

    # Class attributes save work in ``__init__``: one object is made per request.
    fields: Fields | bytes = b""
    answer: Answer | None = None
    error: str | None = None
    connected_at = 0.0
    first_byte_at = 0.0
    sent_bytes = 0
    received_bytes = 0
    status = 0
    _sent: bytes | bytearray = b""
    _received: bytes | bytearray = b""
    _keeps_answer = False
    _is_over = False

    def __init__(
        self,
        traffic: PreviewTraffic,
        admitted: Admitted,
        method: str,
        target: bytes,
        number: bytes,
        arrived_at: float,
        admitted_at: float,
        origin: Origin = Origin.BROWSER,
    ) -> None:
        self._traffic = traffic
        self._admitted = admitted
        self._method = method
        self._target = target
        self._number = number
        self._arrived_at = arrived_at
        self._admitted_at = admitted_at
        self.origin = origin
        self._first_line = traffic.lines.last_seq + 1
        self._reload = traffic.reload
        self.is_full = traffic.is_full

    def send(self, piece: Payload) -> None:
        """Note content of the request."""
        self.sent_bytes += len(piece)
        if self.is_full:
            self._sent = _joined(self._sent, piece)

    def begin(self, answer: Answer, now: float) -> None:
        """Note the head of the response."""
        self.answer, self.first_byte_at = answer, now
        if self.is_full:
            self._keeps_answer = keeps_body(answer.fields)

    def receive(self, piece: Payload) -> None:
        """Note content of the response."""
        self.received_bytes += len(piece)
        if self._keeps_answer:
            self._received = _joined(self._received, piece)

    def end(self, error: str | None = None, clock: Callable[[], float] = monotonic) -> None:
        """Record the request. Only the first call counts.

        Args:
            error: Code of the error if the response is not complete; else None.
            clock: The carrier's clock.
        """
        if self._is_over:
            return
        self._is_over = True
        arrived, answer = self._arrived_at, self.answer
        request = response = None
        if self.is_full:
            head_bytes = len(self.fields) if isinstance(self.fields, bytes) else _FIELD * len(self.fields)
            request = DraftMessage(self.fields, bytes(self._sent), self.sent_bytes, head_bytes)
            if answer is not None:
                received = bytes(self._received)
                response = DraftMessage(answer.fields, received, self.received_bytes, _FIELD * len(answer.fields))
        self._traffic.record(
            Draft(
                self._number,
                self.origin,
                self._admitted.who,
                self._method,
                self._admitted.target_of(self._target),
                self.status if answer is None else answer.status,
                error,
                now_ms(),
                self._admitted_at - arrived,
                self.connected_at - arrived if self.connected_at else -1.0,
                self.first_byte_at - arrived if self.first_byte_at else -1.0,
                clock() - arrived,
                self.sent_bytes,
                self.received_bytes,
                self._reload,
                self._first_line,
                request,
                response,
            )
        )


class RequestCount(Recording):
    """A request that is counted, and not recorded."""

    def end(self, error: str | None = None, clock: Callable[[], float] = monotonic) -> None:  # noqa: ARG002
        """Count the request. Only the first call counts."""
        traffic, answer = self._traffic, self.answer
        if self._is_over or traffic.count is None:
            return
        self._is_over = True
        # What its owner does not record has no path in the charts either.
        name = OTHERS if traffic.is_off else endpoint_name(self._method, self._admitted.target_of(self._target))
        traffic.count(name, self.status if answer is None else answer.status, clock() - self._arrived_at)


def recording_of(
    admitted: Admitted, method: str, target: bytes, number: bytes, arrived_at: float, admitted_at: float
) -> Recording | None:
    """Return the recording of an admitted request; it only counts if its preview records none, or no more now."""
    traffic = admitted.traffic
    if traffic is None:
        return None
    traffic.direct.carried(number)
    kind = Recording if traffic.records_next() else RequestCount
    return kind(traffic, admitted, method, target, number, arrived_at, admitted_at)


def _joined(kept: bytes | bytearray, piece: Payload) -> bytes | bytearray:
    room = BODY_BYTES - len(kept)
    if room <= 0:
        return kept
    if not kept:
        return bytes(piece[:room])
    joined = kept if isinstance(kept, bytearray) else bytearray(kept)
    joined += piece[:room]
    return joined
