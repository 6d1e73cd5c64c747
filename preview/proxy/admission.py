"""The interface between the HTTP side and the access check that every request passes before it reaches a preview.

A browser's request travels either through the relay (socket to socket) or through the ASGI application. Both paths use
the same ``AccessGate`` and the same header rules (``carriage``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from preview.errors import PreviewError
from preview.traffic import PreviewTraffic, Who

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields in their order: names in lower case, values without surrounding white space."""


class RequestHead(NamedTuple):
    """A received request head that has passed the strict syntax checks. A tuple, because one is made per request.

    Attributes:
        method: As sent.
        target: In origin form (RFC 9112 section 3.2.1), byte for byte.
        fields: All header fields.
        host: The requested host with its port, in lower case.
        scheme: ``http`` or ``https``, as the client sees it; a trusted front proxy may have reported it.
        client: The client's address, as reported by a trusted proxy if there is one; None on a unix socket.
        peer: The address at the other end of the connection; None on a unix socket.
        via: Trusted addresses on the request's way, from the client to the peer; empty without a trusted proxy.
        is_from_node: Whether another node of the cluster has checked the host, and passed the request on.
    """

    method: str
    target: bytes
    fields: Fields
    host: str
    scheme: str
    client: str | None
    peer: str | None
    via: tuple[str, ...] = ()
    is_from_node: bool = False


class Admitted(NamedTuple):
    """The access check's decision to forward a request.

    Attributes:
        preview_id: The preview that receives the request.
        address: Host and port of the preview's socket; the service connects to no other address.
        process: Number of the preview's current process; connections to an earlier process are not reused.
        cut: Number of leading bytes (the prefix) to remove from the request's target.
        prefix: Path before the preview's own (``/p/preview_…``), or empty. Sent as ``X-Forwarded-Prefix``; on the way
            back added to ``Location`` and cookie paths.
        hold: Returns a context manager that counts the exchange as activity while it is open.
        answer_fields: Added to each response (security headers of the path form).
        hides_authorization: True if ``Authorization`` held the owner's bearer token for the service, which the preview
            must not see.
        again: See ``Reauthorize``; None if each such request needs a full check.
        traffic: Recorder of the preview's requests; None if they are not recorded.
        who: The sender, for the record.
        refresh: Appended to HTML documents; see ``page_refresh``. Empty: nothing is.
        watch: Registers a function that cuts the exchange off when the visitor's access is revoked, and returns the
            function to call when the exchange has ended. None if the access cannot be revoked before it expires.
        is_traced: The preview's spans are recorded, so a request without ``traceparent`` gets one.
        is_node: The address is another node's, which owns the preview. Fields pass unchanged: that node has the rules.
        until_lost: As ``watch``, for a function that is called when that node is lost and another one has the preview.
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
    traffic: PreviewTraffic | None = None
    who: Who = Who.UNKNOWN
    refresh: bytes = b""
    watch: Callable[[Callable[[], object]], Callable[[], None]] | None = None
    is_traced: bool = False
    is_node: bool = False
    until_lost: Callable[[Callable[[], object]], Callable[[], None]] | None = None

    def target_of(self, target: bytes) -> bytes:
        """Return the preview's target for the request's target."""
        return target[self.cut :] or b"/"


Reauthorize = Callable[[bytes], Admitted | None]
"""Synchronously admits a request that differs from an admitted one only in its target (the argument), as
``AccessGate.authorize`` would now; ``process`` may differ. None: call ``AccessGate.authorize``."""


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """A response that the service itself gives: it sets a cookie, explains a refusal or shows a waiting page.

    Attributes:
        status: HTTP status.
        fields: All fields except ``Date`` and those for framing.
        body: The whole content.
    """

    status: int
    fields: Fields
    body: bytes


class AccessGate(Protocol):
    """Decides which requests are for previews, and who may make them."""

    def is_for_preview(self, host: str, target: bytes) -> bool:
        """Return whether host or path belong to a preview, even a missing one. Cheap, without side effects."""

    async def authorize(self, head: RequestHead) -> Admitted | OwnAnswer:
        """Admit the request, or return the service's own response. Request errors become responses, never exceptions.

        Cancellation: no state changes.
        """

    async def explain(self, head: RequestHead, admitted: Admitted, error: PreviewError) -> OwnAnswer:
        """Return the response of ``refuse``, with the reason if the preview has ended.

        Cancellation: no state changes.
        """

    def refuse(self, head: RequestHead, error: PreviewError) -> OwnAnswer:
        """Return the response for an admitted request that could not be forwarded: a page or a problem document."""


class NodeRouter(Protocol):
    """Passes requests on to the nodes that own their previews."""

    async def route(self, head: RequestHead) -> Admitted | OwnAnswer | None:
        """Return the way to the owning node, or an error; None if this node handles the request itself.

        A request that another node has passed on is never passed on again: an error says that the preview is elsewhere.

        Cancellation: no state changes.
        """

    async def owner(self, head: RequestHead) -> Admitted | None:
        """Return the way to the node that has the preview now, which may be this one; None if none has it yet.

        Raises:
            NoActivePreview: No node will have it: it has ended.

        Cancellation: no state changes.
        """

    def forget(self, head: RequestHead) -> None:
        """Drop what is cached for such a request: the node has refused it, or does not respond."""
