"""The questions to the check of access before a request reaches a preview, and its answers.

The two ways on which a browser's request travels (the relay on the socket itself, and the ordinary one through the
ASGI application) ask the same doorman and carry by the same rules (``carriage``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from preview.errors import PreviewError

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields in their order: names in lower case, values without white space around them."""


class RequestHead(NamedTuple):
    """A request as it came, already found to be strictly written. A tuple: one is made for each request.

    Attributes:
        method: As sent.
        target: In origin form (RFC 9112 section 3.2.1), byte for byte.
        fields: All of its header fields.
        host: The host it is for, with its port, in lower case.
        scheme: ``http`` or ``https``, as the client sees it (a trusted proxy in front may have said so).
        client: The client's address, a trusted proxy's word included; None on a unix socket.
        peer: The address at the other end of the connection; None on a unix socket.
        via: The addresses that the request came by, the client's first, the peer's last, as far as they are believed;
            empty where no trusted proxy stands in front.
    """

    method: str
    target: bytes
    fields: Fields
    host: str
    scheme: str
    client: str | None
    peer: str | None
    via: tuple[str, ...] = ()


class Admitted(NamedTuple):
    """The request may pass.

    Attributes:
        preview_id: To which preview.
        address: Host and port of its socket; nothing else is ever connected to.
        process: Number of the process that serves there now: connections to the one before are not used again.
        cut: Bytes ahead in the request's target that the preview is not asked for: the prefix's.
        prefix: Path before the preview's own (``/p/preview_…``), or empty: it goes into ``X-Forwarded-Prefix``, and
            in front of ``Location`` and cookie paths on the way back.
        hold: Counts the exchange as activity for as long as what it gives is open.
        answer_fields: Added to each answer (security headers of the path form).
        hides_authorization: The request's ``Authorization`` was for the service (the owner's bearer token), and is not
            for the preview to see.
        again: See ``Reauthorize``; None where each such request is authorized again.
    """

    preview_id: str
    address: tuple[str, int]
    process: int
    cut: int
    prefix: str
    hold: Callable[[], AbstractContextManager[None]]
    answer_fields: Fields = ()
    hides_authorization: bool = False
    again: Reauthorize | None = None

    def target_of(self, target: bytes) -> bytes:
        """What the preview is asked for where this is the request's target."""
        return target[self.cut :] or b"/"


Reauthorize = Callable[[bytes], Admitted | None]
"""Admits, at once, a request that differs from an admitted one in nothing but its target, which is given: by what
holds now, as ``AccessGate.admit`` would; ``process`` of the admission may be another. None: ask the doorman."""


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """The service answers itself: to set a cookie, to say why not, to let somebody wait.

    Attributes:
        status: HTTP status.
        fields: All fields but those of framing and ``Date``.
        body: All of it.
    """

    status: int
    fields: Fields
    body: bytes


class AccessGate(Protocol):
    """Knows which requests are for previews, and who may make them."""

    def is_for_preview(self, host: str, target: bytes) -> bool:
        """Whether the request is for a preview (also for one that is not there), by host or by path. Cheap and pure."""

    async def admit(self, head: RequestHead) -> Admitted | OwnAnswer:
        """Let the request pass, or answer in the preview's place. Never raises an error of the request's.

        Cancellation: nothing changes.
        """

    async def explain(self, head: RequestHead, admitted: Admitted, error: PreviewError) -> OwnAnswer:
        """As ``refuse``, after a look at whether the preview has ended: then the answer says why it did.

        Cancellation: nothing changes.
        """

    def refuse(self, head: RequestHead, error: PreviewError) -> OwnAnswer:
        """The answer where an admitted request could not be carried: a page or a problem document."""
