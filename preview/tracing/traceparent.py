"""The header field ``traceparent`` (W3C Trace Context, version 00)."""

from __future__ import annotations

import re
from typing import Final

PARENT_FIELD: Final = b"traceparent"
"""Name of the field."""

# Version ff is invalid. Later versions may add to the end (section 3.2.4); only the parts known here are read.
_FIELD = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-[!-~]*)?")
_MOST_BYTES = 512
_SPAN_DIGITS = 16
_OWN_ID = re.compile(r"[0-9a-f]{24}")


def read_parent(value: bytes) -> tuple[str, str] | None:
    """Return the ids of the trace and of the parent span; None for an invalid field."""
    found = _FIELD.fullmatch(value) if len(value) <= _MOST_BYTES else None
    # Version 00 has no further part.
    if found is None or (found[3] is not None and value.startswith(b"00")):
        return None
    return found[1].decode(), found[2].decode()


def parent_field(number: bytes) -> bytes:
    """Return the value for a request of the service's own making, from the same bits as its id.

    Args:
        number: The request's id: 24 hexadecimal digits, the last 16 of them random.
    """
    return b"00-%b-%b-01" % (number.rjust(32, b"0"), number[-_SPAN_DIGITS:])


def trace_of_request(request_id: str) -> str | None:
    """Return the id of the trace that ``parent_field`` names; None for an id that the service has not made."""
    return request_id.rjust(32, "0") if _OWN_ID.fullmatch(request_id) else None
