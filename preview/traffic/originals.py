"""Requests as they were sent, with their secrets: in memory only, so that their sender can replay them."""

from __future__ import annotations

from collections import OrderedDict

from preview.traffic.draft import Draft
from preview.traffic.ready import ReadyRequest, sendable
from preview.traffic.record import Origin, Who

# Bounds of one preview.
MOST_ORIGINALS = 200
MOST_BYTES = 1024 * 1024
_OWN = frozenset({Who.OWNER, Who.AGENT})
_KEPT = frozenset({Origin.CALL, Origin.BROWSER})


class Originals:
    """The newest requests that a preview's owner has sent. They are never stored, and end with the preview.

    Invariant: at most ``MOST_ORIGINALS`` requests and ``MOST_BYTES`` bytes; older ones are dropped first.
    """

    def __init__(self) -> None:
        self._drafts: OrderedDict[int, Draft] = OrderedDict()
        self._size = 0

    def note(self, number: int, draft: Draft) -> None:
        """Keep a request that was recorded in full, if its sender is the owner. Never waits."""
        message = draft.request
        if message is None or draft.who not in _OWN or draft.origin not in _KEPT or isinstance(message.fields, bytes):
            return
        if message.size_bytes > len(message.body) or draft.size_bytes > MOST_BYTES:
            return
        kept = draft._replace(response=None)
        self._drafts[number] = kept
        self._size += kept.size_bytes
        while len(self._drafts) > MOST_ORIGINALS or self._size > MOST_BYTES:
            _, dropped = self._drafts.popitem(last=False)
            self._size -= dropped.size_bytes

    def find(self, number: int) -> ReadyRequest | None:
        """Return a request with its secrets; None if it is not kept (any more)."""
        draft = self._drafts.get(number)
        if draft is None or draft.request is None or isinstance(draft.request.fields, bytes):
            return None
        fields = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in draft.request.fields)
        target = draft.target.decode("latin-1")
        return ReadyRequest(draft.method, target, sendable(fields), draft.request.body or None)
