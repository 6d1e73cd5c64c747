"""A page of a log, in either document's words."""

from __future__ import annotations

from preview.core.clock import rfc3339_ms
from preview.core.escapes import without_escapes
from preview.http.contracts.facts import Json
from preview.logs import Contract, LogSlice


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
