"""Interface of the contracts, and the module of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from preview.core.clock import rfc3339_ms
from preview.core.escapes import without_escapes
from preview.core.lifecycle import State
from preview.endpoints import Endpoint
from preview.http.contracts import plan, v1
from preview.http.contracts.facts import Call, Facts, Json
from preview.http.core.errors import Problem
from preview.logs import Contract, LogSlice
from preview.settings import Settings, Tier
from preview.storage.tables import PreviewRecord
from preview.supervisor.preview.control import Launched


class View(Protocol):
    """One document's way to write things down; the modules ``plan`` and ``v1`` are two of them."""

    LAUNCH_STATUS: int

    def state_word(self, state: State) -> str:
        """Return the word for a state."""

    def launched(self, launch: Launched) -> Json:
        """Answer to a launch."""

    def status(self, facts: Facts) -> Json:
        """Answer to a question for the status."""

    def stopped(self, record: PreviewRecord) -> Json | None:
        """Answer to a stop; None is 204."""

    def endpoints(self, found: Sequence[Endpoint]) -> Json:
        """Return the list of endpoints."""

    def proxied(self, call: Call) -> Json:
        """Return a preview's answer."""

    def config(self, settings: Settings, tier: Tier, record: PreviewRecord | None) -> Json:
        """Return the limits of this user."""

    def ticket(self, value: str, expires_in_s: float) -> Json:
        """Return a stream ticket."""

    def problem(self, error: Problem, *, instance: str, route: str) -> Json:
        """Return an error."""


VIEWS: Mapping[Contract, View] = MappingProxyType({Contract.PLAN: plan, Contract.V1: v1})


def log_page(page: LogSlice, contract: Contract, *, colours: bool, following: str | None, previous: str | None) -> Json:
    """Lines in the words of the stream, what is missing among them, and where to go on.

    Args:
        page: What was found.
        contract: In whose words.
        colours: Whether messages keep their escape sequences.
        following: Address of the lines behind these; None where there will never be any.
        previous: Address of the lines before these; None where there are none.
    """
    request_id = "requestId" if contract is Contract.PLAN else "request_id"
    return {
        "lines": [
            {
                "seq": line.seq,
                "timestamp": rfc3339_ms(line.timestamp_ms),
                "level": line.level.word(contract),
                "source": line.source.word(contract),
                "message": line.message if colours else without_escapes(line.message),
            }
            | ({} if line.request_id is None else {request_id: line.request_id})
            for line in page.lines
        ],
        "gaps": [{"first": gap.first_seq, "last": gap.last_seq, "reason": gap.reason} for gap in page.gaps],
        "firstKept" if contract is Contract.PLAN else "first_kept": page.first_kept,
        "next": following,
        "prev": previous,
    }
