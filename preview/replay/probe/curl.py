"""A request as a command line for a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_BASE = "$PREVIEW"
# Fields that curl or the server sets, or that name one request only.
_LEFT_OUT = frozenset({"host", "content-length", "accept-encoding", "x-request-id", "connection"})


def curl_command(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes | None) -> str:
    """Return a ``curl`` command; ``$PREVIEW`` in it is the preview's address.

    Args:
        method: HTTP method.
        target: Path with query, as ASCII.
        headers: Fields of the request.
        body: Content; None for none. Bytes that are no UTF-8, and null bytes, cannot be shown and are replaced.
    """
    words = ["curl", "-i", "-X", method, f'"{_BASE}"{shlex.quote(target)}']
    for name, value in headers:
        if name.lower() not in _LEFT_OUT:
            words += ["-H", shlex.quote(f"{name}: {value}")]
    if body:
        words += ["--data-raw", shlex.quote(body.decode("utf-8", "replace").replace("\0", "�"))]
    return " ".join(words)
