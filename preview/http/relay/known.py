"""Requests that were read, admitted and written again a moment ago: the next one often differs in its target alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from preview.proxy.admission import Admitted, Reauthorize, RequestHead
from preview.proxy.relay import Ask, Memo

if TYPE_CHECKING:
    from preview.http.relay.heads import Returned
    from preview.http.relay.proxied_request import ProxiedRequest

# Together 1 MiB of blocks, as much again of what was made of them, and of each the heads of some answers (8 MiB at
# most, where previews write the longest that are kept). None outlives 8 s without use (``open_relay``).
MAX_KNOWN = 256
MAX_BLOCK = 4096
_MAX_ANSWERS = 4
_MAX_ANSWER_HEAD = 2048


@dataclass(slots=True, eq=False)
class Known:
    """What is the same for all requests with the same method, fields and peer. The target changes none of it.

    Attributes:
        ask: Their framing.
        head: Of each of them, without its target.
        admitted: Of the last of them.
        again: Asks whether the next one may pass.
        standing: From ``heads.request_lines``.
        answers: Heads of answers, by how they came.
    """

    ask: Ask
    head: RequestHead
    admitted: Admitted
    again: Reauthorize
    standing: bytes
    answers: Memo[bytes, Returned] = field(default_factory=lambda: Memo(_MAX_ANSWERS))

    def admit(self, target: bytes) -> Admitted | None:
        """The admission of the request for this target; None where the doorman has to be asked."""
        admitted, known = self.again(target), self.admitted
        # As a rule nothing has changed, and it is the very same one.
        if admitted is None or admitted is known:
            return admitted
        if admitted.address != known.address or admitted.prefix != known.prefix:
            return None
        self.admitted = admitted
        return admitted

    def keep(self, raw: bytes, found: Returned) -> None:
        """Keep the head of an answer, unless it is large, or sets what may be somebody's secret."""
        if len(raw) <= _MAX_ANSWER_HEAD and all(name != b"set-cookie" for name, _ in found.answer.fields):
            self.answers.put(raw, found)


def known_of(errand: ProxiedRequest, again: Reauthorize, standing: bytes) -> Known:
    """What is kept of this one. Its target is not: it may be long, and hold what is nobody else's business."""
    return Known(errand.ask, errand.head._replace(target=b""), errand.admitted, again, standing)


def block_of(peer: str | None, method: bytes, head: bytes) -> bytes:
    """By which a request is known again: all that its head says but the target.

    Args:
        peer: The address at the other end of its connection.
        method: Of the request.
        head: Its head; may begin anywhere before the version.
    """
    # Neither the address nor the method holds a space, and the first one before a version is behind the target.
    return b"%b %b %b" % (peer.encode() if peer else b"", method, head.partition(b" HTTP/1.")[2])


def is_worth_keeping(ask: Ask, admitted: Admitted, block: bytes) -> bool:
    """Whether such requests can be carried without waiting for anybody, and are not too long to be remembered."""
    return (
        admitted.again is not None
        and len(block) <= MAX_BLOCK
        and ask.length >= 0
        and not (ask.closes or ask.expects or ask.upgrade)
    )
