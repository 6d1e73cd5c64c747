"""A user's events: previews, generations, people and comments, as they change."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import trio
from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.generations import Generation
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts import v1
from preview.http.contracts.generations import GenerationShape
from preview.http.contracts.people.events import (
    CommentEvent,
    EventsState,
    PreviewPeople,
    removed_comment,
    removed_generation,
)
from preview.http.contracts.people.together import CommentShape
from preview.http.core.answers import json_answer
from preview.http.identity import own_generation, require_identity
from preview.http.protocol.listening import request_resources
from preview.http.streams.event_stream import EventStreamBody
from preview.logs import StatusChange
from preview.storage.tables import PreviewRecord
from preview.supervisor import LivePreview
from preview.together import Audience, EventBook, NodeEvents, UserEvent

_EVENTS = "text/event-stream"
_STREAM_HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept", "X-Accel-Buffering": "no"}
# Of a preview; its generation's files and name are the owner's.
_FOR_GUESTS = frozenset({"preview", "viewers", "comment", "comment_removed"})
# What the data of events says of the owner alone, and what a guest gets in its place.
_OF_THE_OWNER = {"user_id": "", "project_id": "", "unread": 0}


def event_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("events", running)

    @routes.get("/events")
    async def events(backend: Backend) -> Response:
        """Return who looks at your live previews; with `Accept: text/event-stream`, all that changes, in real time.

        Events: `start` (who looks at which preview; read your lists if `resumed` is false), `preview`, `generation`,
        `generation_removed`, `viewers`, `comment`, `comment_removed`, `expired`. `Last-Event-ID` resumes.
        """
        identity = await require_identity(backend)
        return _answer(backend, identity, None)

    @routes.get("/generations/<generation_id>/events")
    async def of_generation(backend: Backend, generation_id: str) -> Response:
        """Return the same for one generation; guests see the events of their preview only, and `end`."""
        identity, _ = await own_generation(backend, generation_id)
        return _answer(backend, identity, generation_id)

    return routes


def _answer(backend: Backend, identity: Identity, generation_id: str | None) -> Response:
    def state() -> EventsState:
        return _state(backend, identity, generation_id)

    if request.accept_mimetypes.best_match(["application/json", _EVENTS]) != _EVENTS:
        return json_answer(state(), headers={"Vary": "Accept"})
    body: bytes | EventStreamBody = b""
    if request.method != "HEAD":
        user_events, guest = backend.people.events.of(identity.user.id), identity.guest
        resources = request_resources()
        resources.enter_context(backend.slots.hold(identity.key))
        resources.enter_context(user_events.reading())

        def shown(event: UserEvent) -> str | None:
            if guest is not None:
                is_theirs = event.preview_id == guest.preview_id and event.name in _FOR_GUESTS
                return _for_guest(event.data) if is_theirs else None
            return event.data if generation_id is None or event.generation_id == generation_id else None

        live = None if guest is None else backend.previews.find(guest.preview_id)
        body = EventStreamBody(
            user_events,
            "" if guest is not None else request.headers.get("Last-Event-ID", ""),
            shown=shown,
            start=lambda: state().dumped(),
            over=None if live is None else live.over,
            waits=backend.waits,
            expires_at=identity.expires_at,
            keep_alive_s=backend.settings.keep_alive_s,
        )
    response = Response(body, 200, _STREAM_HEADERS, content_type=_EVENTS)
    # Quart would end it after a minute, without a last chunk.
    response.timeout = None
    return response


def _for_guest(data: str) -> str:
    """Return an event's data without what only its owner may know."""
    fields: dict[str, Any] = json.loads(data)
    return json.dumps(fields | {name: value for name, value in _OF_THE_OWNER.items() if name in fields})


def _state(backend: Backend, identity: Identity, generation_id: str | None) -> EventsState:
    guest = identity.guest
    live = [
        one
        for one in backend.previews.all_active.values()
        if one.record.user_id == identity.user.id
        and _is_here(one)
        and generation_id in (None, one.record.generation_id)
        and (guest is None or one.id == guest.preview_id)
    ]
    people = [PreviewPeople.of(one, _audience(backend, one), is_owner=guest is None) for one in live]
    if guest is None:
        people += _people_elsewhere(backend, identity.user.id, generation_id, {one.id for one in live})
    return EventsState(items=[one for one in people if one.viewers or one.unread], next=None)


def _people_elsewhere(
    backend: Backend, user_id: str, generation_id: str | None, here: Collection[str]
) -> Iterator[PreviewPeople]:
    """Yield what other nodes have sent of the people at their previews."""
    events = backend.people.events.kept(user_id)
    if events is None:
        return
    ended = {one.preview_id for one in events.newest("preview") if json.loads(one.data)["stopped_at"] is not None}
    for one in events.newest("viewers"):
        is_wanted = generation_id in (None, one.generation_id) and one.preview_id not in {*here, *ended}
        if one.node is not None and is_wanted:
            yield PreviewPeople.model_validate(json.loads(one.data))


# The events


def tell_preview(book: EventBook, record: PreviewRecord) -> None:
    """Tell the owner, and guests, of a preview's new state."""
    events = book.find(record.user_id)
    if events is not None:
        data = json.dumps(v1.Instance.model_validate(record).dumped())
        events.tell(f"preview {record.id}", "preview", data, generation_id=record.generation_id, preview_id=record.id)


def _is_here(preview: LivePreview) -> bool:
    """Return whether this node tells of a preview: after a departure, another node goes on with it and tells of it."""
    return preview.outcome is None or preview.outcome.departure is None


def tell_people(backend: Backend, preview: LivePreview) -> None:
    """Tell who looks at a preview, and how many comments its owner has not read."""
    events = backend.people.events.find(preview.record.user_id) if _is_here(preview) else None
    if events is not None:
        state = PreviewPeople.of(preview, _audience(backend, preview), is_owner=True)
        _tell_of(backend, preview.record, f"viewers {preview.id}", "viewers", json.dumps(state.dumped()))


@contextmanager
def telling_people(backend: Backend, preview: LivePreview) -> Iterator[None]:
    """Tell who looks at a preview when this context is closed. Enter it before the viewer comes."""
    try:
        yield
    finally:
        tell_people(backend, preview)


def tell_comment(backend: Backend, record: PreviewRecord, comment: CommentShape) -> None:
    """Tell of a new or changed comment."""
    data = json.dumps(CommentEvent(generation_id=record.generation_id, comment=comment).dumped())
    _tell_of(backend, record, f"comment {comment.id}", "comment", data)


def tell_removed_comment(backend: Backend, record: PreviewRecord, comment_id: str) -> None:
    """Tell of a deleted comment."""
    data = removed_comment(record.generation_id, comment_id)
    _tell_of(backend, record, f"comment {comment_id}", "comment_removed", data)


@contextmanager
def telling_changes(backend: Backend, nursery: trio.Nursery) -> Iterator[None]:
    """Tell users of changes of previews and generations while this context is open, on all nodes of a cluster."""
    service, book = backend.service, backend.people.events
    library, observe = service.library, _generation_observer(book)
    if service.cluster is not None:
        retell, cluster = partial(_retell, backend), service.cluster
        nursery.start_soon(NodeEvents(cluster.name, book, cluster.notices, service.database, retell).run)
    if library is not None:
        library.observers.append(observe)
    try:
        with service.previews.observing(_preview_observer(backend), ended=partial(tell_preview, book)):
            yield
    finally:
        if library is not None:
            library.observers.remove(observe)


def _generation_observer(book: EventBook) -> Callable[[str, str, Generation | None], None]:
    def observe(user_id: str, generation_id: str, generation: Generation | None) -> None:
        events = book.find(user_id)
        if events is None:
            return
        subject = f"generation {generation_id}"
        if generation is None:
            events.tell(subject, "generation_removed", removed_generation(generation_id), generation_id=generation_id)
            return
        data: dict[str, Any] = GenerationShape.model_validate(generation).dumped()
        data.pop("files", None)
        events.tell(subject, "generation", json.dumps(data), generation_id=generation_id)

    return observe


def _retell(backend: Backend, user_id: str) -> None:
    """Tell the present state of a user's previews on this node."""
    for one in backend.previews.all_active.values():
        if one.record.user_id == user_id and _is_here(one):
            tell_preview(backend.people.events, one.record)
            tell_people(backend, one)


def _preview_observer(backend: Backend) -> Callable[[LivePreview], None]:
    def observe(preview: LivePreview) -> None:
        preview.log.broadcast.add(_States(backend.people.events, preview))
        if backend.service.cluster is not None:
            # Readers elsewhere may know the people of the node that had it before.
            tell_people(backend, preview)

    return observe


class _States:
    """A listener of a preview's log that tells its states."""

    watchers = 0

    def __init__(self, book: EventBook, preview: LivePreview) -> None:
        self._book = book
        self._preview = preview
        self._told: object = None
        self._tell()

    def offer(self, event: object) -> None:
        """Take an event of the log."""
        if isinstance(event, StatusChange):
            self._tell()

    def _tell(self) -> None:
        record = self._preview.record
        if not _is_here(self._preview):
            return
        # Steps of the launch are in the log's stream.
        seen = (record.state, record.health, record.reason, record.base_url, record.exit_code)
        if seen != self._told:
            self._told = seen
            tell_preview(self._book, record)


def _audience(backend: Backend, preview: LivePreview) -> Audience:
    return backend.people.presence.audience(preview.id)


def _tell_of(backend: Backend, record: PreviewRecord, subject: str, name: str, data: str) -> None:
    events = backend.people.events.find(record.user_id)
    if events is not None:
        events.tell(subject, name, data, generation_id=record.generation_id, preview_id=record.id)
