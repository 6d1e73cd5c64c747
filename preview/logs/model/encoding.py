"""In which form a subscriber gets its events: whose words, which bytes, which lines, with or without colours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from preview.logs.model.events import Contract
from preview.logs.model.filtering import EVERYTHING, LineFilter


class Format(Enum):
    """Encoding of events. A WebSocket's messages are made of ``NDJSON`` (see ``encode.messages``)."""

    SSE = "sse"
    """Server-Sent Events (WHATWG HTML, section 9.2)."""
    NDJSON = "ndjson"
    """One JSON object a line."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """All that decides about the bytes of an event: two subscribers with the same one get the same bytes.

    Attributes:
        contract: Whose words.
        format: Which bytes.
        filter: Which lines. What is no line (``status``, ``gap``, ``end``) always passes.
        colours: Whether messages keep their escape sequences; plain text else.
    """

    contract: Contract
    format: Format = Format.SSE
    filter: LineFilter = EVERYTHING
    colours: bool = False
    # Asked for by each subscriber for each batch.
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
