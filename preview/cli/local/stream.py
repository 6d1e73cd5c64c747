"""Client of a preview's log stream: reconnects and resumes, and yields each line once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from httpx2 import ServerSentEvent

from preview.cli.client import Api, generation_path
from preview.cli.local.lines import ShownLine
from preview.client.blocking import Log
from preview.client.errors import ClientError
from preview.client.log_follower import RESUME_PAUSES_S, LogFollower

_PAUSES_S = RESUME_PAUSES_S


class LogReader:
    """Reads ``GET …/preview/logs/stream`` until the preview ends.

    A broken connection is resumed after the last line. A stream that ends with ``expired`` is opened again with a new
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
        # Request all colours; the printer removes them if necessary.
        params: dict[str, str | int] = {**chosen, "ansi": "keep"}
        if tail is not None:
            params["tail"] = tail
        path = generation_path(generation_id, "/preview/logs/stream")
        self._follower = LogFollower(path, _as_it_is, params, follow=follow, pauses_s=_PAUSES_S)

    def __iter__(self) -> Iterator[ServerSentEvent]:
        """Yield the events, in order, until ``end``.

        Raises:
            ApiRefused: The service refused the stream.
            NoService: The service became unreachable and did not come back.
        """
        try:
            with Log(self._api.client, self._follower) as log:
                yield from log
        except ClientError as error:
            raise self._api.as_failure(error, self._follower.call()) from error


def _as_it_is(event: ServerSentEvent, _data: dict[str, Any]) -> ServerSentEvent:
    return event


def shown_line(event: ServerSentEvent) -> ShownLine:
    """Return the line of a log event (contract ``v1``)."""
    data: Any = event.json()
    return ShownLine(
        seq=int(event.id or 0),
        time=datetime.fromisoformat(data["timestamp"]),
        level=data["level"],
        system=data["source"] == "system",
        message=data["message"],
        is_stderr=data.get("stream") == "stderr",
    )
