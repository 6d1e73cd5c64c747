"""Relayed answers in the access log and among the counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypercorn.config import Config

from preview.proxy.admission import RequestHead

if TYPE_CHECKING:
    from preview.http.app import PreviewApp
    from preview.http.relay.relay import Relayed


def telling(app: PreviewApp, config: Config) -> Relayed:
    """What a relay tells of each request, written where those of the ordinary way are.

    Args:
        app: Whose counters.
        config: Hypercorn's, with its access log, where one is wanted.
    """
    log: Any = config.log

    def tell(method: str, head: Callable[[], RequestHead], status: int, size: int, elapsed_s: float) -> None:
        # As on the ordinary way, a request that was cut before its answer has a line in the log and counts as none.
        if status:
            app.count_preview_answer(method, status, elapsed_s, is_relayed=True)
        if log.access_logger is not None:
            answer = {"status": status, "headers": [(b"content-length", b"%d" % size)]} if status else None
            log.access_logger.info(log.access_log_format, log.atoms(_scope(head()), answer, elapsed_s))

    return tell


def _scope(head: RequestHead) -> dict[str, Any]:
    """The request as an ASGI scope, as far as a line of the log needs it."""
    path, _, query = head.target.partition(b"?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": head.method,
        "scheme": head.scheme,
        "path": path.decode("latin-1"),
        "query_string": query,
        "headers": head.fields,
        "client": (head.client, 0) if head.client else None,
    }
