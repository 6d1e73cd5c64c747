"""One request that was admitted: how far it is on its way up, and its answer on the way down."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preview.proxy.admission import Admitted, RequestHead
from preview.proxy.http1 import Ask, Body
from preview.proxy.pool import UpstreamConnection

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection
    from preview.http.relay.head_cache import Known, Returned

_NOTHING = memoryview(b"")


@dataclass(slots=True, eq=False)
class Answering:
    """An answer that is being sent.

    Attributes:
        returned: Its head.
        body: Its content, as it comes.
    """

    returned: Returned
    body: Body


@dataclass(slots=True, eq=False)
class ProxiedRequest:
    """What is known of it, whichever carries it on: ``FastPath``, or ``Exchange`` with its ``Delivery``.

    Attributes:
        connection: The client's.
        ask: The request's framing.
        target: The request's.
        standing: The request, as the rules of carriage take it; its target may be missing.
        admitted: Its admission.
        number: The request's.
        begun: When it had come, by ``time.monotonic``.
        hold: From its admission; None once it has been left.
        closes: Whether the client's connection ends behind the answer.
        block: By which it is known again (``known.block_of``); empty where it is not to be.
        known: What was known of it, where ``FastPath`` has started it.
        message: As it goes up; all of it where it came in one piece.
        upstream: On which it went up; None where it has not.
        unsent: What a socket has not taken yet: of the message, or of the answer where that has started.
        has_begun: Whether anything of an answer has come.
        answering: The answer; None until its head is being sent.
        status: Of the answer; 0 likewise.
        answered_at: When its head was sent, by ``time.monotonic``.
        sent_bytes: Content that was sent on.
        is_unbounded: Whether the connection's end is the only end of the content that the client sees.
        failure: What has happened to it where nobody could wait for it.
    """

    connection: Connection
    ask: Ask
    target: bytes
    standing: RequestHead
    admitted: Admitted
    number: bytes
    begun: float
    hold: AbstractContextManager[None] | None
    closes: bool
    block: bytes = b""
    known: Known | None = None
    message: bytes = b""
    upstream: UpstreamConnection | None = None
    unsent: memoryview = _NOTHING
    has_begun: bool = False
    answering: Answering | None = None
    status: int = 0
    answered_at: float = 0.0
    sent_bytes: int = 0
    is_unbounded: bool = False
    failure: Exception | None = None

    @property
    def head(self) -> RequestHead:
        """The request. Made when it is asked for: few are."""
        if self.standing.target != self.target:
            self.standing = self.standing._replace(target=self.target)
        return self.standing

    def enter(self) -> None:
        """From here on it counts as activity, until ``release``."""
        if self.hold is not None:
            self.hold.__enter__()

    def release(self) -> None:
        """It counts as activity no more, and its connection to the preview is nobody's."""
        if self.hold is not None:
            hold, self.hold = self.hold, None
            hold.__exit__(None, None, None)
        if self.upstream is not None:
            self.upstream.close()
            self.upstream = None
