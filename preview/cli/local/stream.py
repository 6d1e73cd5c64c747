"""Client of a preview's log stream: reconnects and resumes, and yields each line once."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import httpx2
from httpx2 import EventSource, ServerSentEvent

from preview.cli.client import Api, find_target, generation_path, unreachable
from preview.cli.local.lines import ShownLine

# About a minute in total: enough for a restart of the service, and short enough for a waiting person.
_PAUSES_S = (0.2, 0.5, 1, 2, 4, 8, 15, 30)


class LogReader:
    """Reads ``GET …/preview/logs/stream`` until the preview ends.

    A broken connection is resumed by ``Last-Event-ID``. A stream that ends with ``expired`` is opened again with a new
    token. After too many consecutive failures without an event, it gives up.
    """

    def __init__(
        self,
        api: Api,
        generation_id: str,
        *,
        tail: int | None = None,
        follow: bool = True,
        chosen: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._api = api
        self._path = generation_path(generation_id, "/preview/logs/stream")
        self._tail = tail
        # Parameters of the stream: level, source, q, request_id, preview_id.
        self._chosen = dict(chosen)
        self._follow = follow
        self._last_id = ""
        self._failures = 0
        self._token = api.target.token

    def __iter__(self) -> Iterator[ServerSentEvent]:
        """Yield the events, in order, until ``end``.

        Raises:
            ApiRefused: The service refused the stream.
            NoService: The service became unreachable and did not come back.
        """
        while True:
            try:
                over = yield from self._one_connection()
            except httpx2.TransportError as error:
                if self._failures >= len(_PAUSES_S):
                    raise unreachable(self._api.target, error) from error
                time.sleep(_PAUSES_S[self._failures])
                self._failures += 1
            else:
                if over:
                    return

    def _one_connection(self) -> Generator[ServerSentEvent, None, bool]:
        """Yield the events of one connection; return true if no more will follow."""
        with self._api.stream(self._path, self._params(), self._headers()) as response:
            if response.status_code == 204:
                return True
            for event in EventSource(response):
                if not event.data:
                    continue  # the preamble: an event without data is not dispatched (WHATWG HTML, section 9.2.6)
                self._failures = 0
                self._last_id = event.id or self._last_id
                if event.event == "expired":
                    self._token = find_target(self._api.target.url).token
                    return False
                yield event
                if event.event == "end":
                    return True
        if not self._follow:
            return True
        raise httpx2.RemoteProtocolError("the stream ended before the preview did")

    def _params(self) -> dict[str, str | int]:
        # Request all colours; the printer removes them if necessary.
        params: dict[str, str | int] = {**self._chosen, "ansi": "keep"}
        if not self._follow:
            params["follow"] = "false"
        if self._tail is not None and not self._last_id:
            params["tail"] = self._tail
        return params

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self._token}"}
        return headers | ({"Last-Event-ID": self._last_id} if self._last_id else {})


def shown_line(event: ServerSentEvent) -> ShownLine:
    """Return the line of a log event (contract ``v1``)."""
    data: Any = event.json()
    return ShownLine(
        seq=int(event.id or 0),
        time=datetime.fromisoformat(data["timestamp"]),
        level=data["level"],
        system=data["source"] == "system",
        message=data["message"],
    )
