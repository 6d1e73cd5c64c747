"""The log of a generation's preview over a WebSocket."""

from __future__ import annotations

from contextlib import ExitStack

from quart import Blueprint, Response, websocket

from preview.errors import UpgradeRequired
from preview.http.backend import backend
from preview.http.core.bodies import StreamQuery
from preview.http.core.reading import checked_query
from preview.http.identity import own_generation
from preview.http.protocol.peer import peer_in
from preview.http.streams.log_socket import LogSocket
from preview.http.streams.log_streams import LogStreamBody
from preview.http.streams.subscriptions import first_lines, one_stream, watcher_of, watching
from preview.logs import Contract, Encoding, Format


def log_socket_routes(contract: Contract) -> Blueprint:
    """The routes in one document's words."""
    routes = Blueprint(f"{contract.value}_log_sockets", __name__)

    @routes.get("/preview/logs/ws")
    async def socket(generation_id: str) -> Response:
        """The preview's log over a WebSocket (RFC 6455): each message is a JSON array of events.

        A client may change its filter on the way; docs/api.md has the messages of both sides.
        """
        await own_generation(generation_id)
        raise UpgradeRequired("This address speaks WebSocket; open it with a WebSocket client, or read …/logs/stream.")

    @routes.websocket("/preview/logs/ws")
    async def watch(generation_id: str) -> None:
        """The preview's log; each message is a JSON array of events. A refusal is an ordinary answer."""
        asked = websocket._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  tasks of ours use it
        query = checked_query(asked, StreamQuery)
        watcher = await watcher_of(generation_id, query.ticket, asked)
        given = query.after if query.last_event_id is None else query.last_event_id
        settings = backend().settings
        with ExitStack() as held:
            held.enter_context(one_stream(watcher))
            after, tail = await first_lines(watcher.record, query, given)
            watched = held.enter_context(watching(watcher, after=after, tail=tail))
            body = LogStreamBody(
                watched.receiver,
                encoding=Encoding(contract, Format.NDJSON, query.filter, query.colours),
                waits=backend().waits,
                preview_id=watcher.record.id,
                expires_at=watcher.expires_at,
                keep_alive_s=settings.keep_alive_s,
                until_seq=None if query.follow else watched.newest_seq,
                start_seq=after or 0,
            )
            await asked.accept()
            await LogSocket(asked, body, peer=peer_in(asked.scope), ping_s=settings.keep_alive_s).run()

    return routes
