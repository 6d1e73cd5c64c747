"""Encoding of a subscriber's events: contract, format, filter, colours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from preview.logs.model.events import Contract
from preview.logs.model.filtering import EVERYTHING, LineFilter


class Format(Enum):
    """Format of events. WebSocket messages are made from ``NDJSON`` (see ``encode.messages``)."""

    SSE = "sse"
    """Server-Sent Events (WHATWG HTML, section 9.2)."""
    NDJSON = "ndjson"
    """One JSON object per line."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Everything that determines the bytes of an event; subscribers with equal encodings get the same bytes.

    Attributes:
        contract: Contract whose names are used.
        format: Format of the events.
        filter: Selects lines. Other events (``status``, ``gap``, ``end``) always pass.
        colours: Keep the messages' escape sequences; otherwise send plain text.
    """

    contract: Contract
    format: Format = Format.SSE
    filter: LineFilter = EVERYTHING
    colours: bool = False
    # Cached, as each subscriber needs the hash for each batch.
    _hash: int = field(init=False, repr=False, compare=False, default=0)
    _plain: Encoding | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.contract, self.format, self.filter, self.colours)))
        if self.colours:
            object.__setattr__(self, "_plain", replace(self, colours=False))

    def __hash__(self) -> int:
        return self._hash

    @property
    def plain(self) -> Encoding:
        """The same encoding without colours."""
        return self._plain or self
