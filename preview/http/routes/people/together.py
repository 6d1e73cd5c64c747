"""Guests, presence and comments of a preview, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

import json
from collections.abc import Sequence

import trio
from quart import Blueprint, Response, request

from preview.auth import GUEST_ROLES, Identity
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import FailureNotFound, Forbidden, InvalidRequest, Unauthenticated
from preview.http.audited import remember_caller
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.people.together import (
    CommentBody,
    CommentChange,
    CommentPage,
    CommentShape,
    CommentsQuery,
    JoinBody,
    MeBody,
    MeShape,
    OneCommentQuery,
    ViewerList,
    ViewerShape,
    role_of,
)
from preview.http.core.answers import is_encrypted, json_answer, link, no_content
from preview.http.core.cookies import fields_of, is_same_origin
from preview.http.core.reading import checked_query, read_json
from preview.http.guests import GUEST_COOKIE, cut_off, guest_path, known_guest
from preview.http.identity import own_generation
from preview.http.protocol.listening import request_resources
from preview.http.routes.people.events import tell_comment, tell_people, tell_removed_comment, telling_people
from preview.http.routes.requests import preview_of
from preview.http.streams.presence_stream import PresenceBody
from preview.people_errors import ViewerNotFound
from preview.storage.tables import PreviewRecord
from preview.supervisor import LivePreview
from preview.together import OWNER_ID, Comment, Target, TargetKind, Viewer

_BODY_BYTES = 32 * 1024
_EVENTS = "text/event-stream"
_STREAM_HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept", "X-Accel-Buffering": "no"}
# Longest wait until a request that has just ended is stored.
_STORED_S = 1.0


def together_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("together", running)
    _add_people(routes)
    _add_comments(routes)
    return routes


def _add_people(routes: BackendRoutes) -> None:
    @routes.post("/preview/join")
    async def join(backend: Backend, generation_id: str) -> Response:
        """Become a guest by a share link with the role `watch` or `use`; sets a cookie for this preview only.

        Only the service's own page, or a program, may do this: no other site can make a browser a guest.
        """
        headers = fields_of(request.scope)
        is_browser = b"sec-fetch-site" in headers or b"origin" in headers
        if is_browser and not is_same_origin(request.scope):
            raise Forbidden("Open the link itself; other sites cannot use it for you.", reason="cross_origin")
        body = await read_json(request, JoinBody, limit_bytes=_BODY_BYTES)
        people = backend.people
        preview = backend.previews.active(generation_id) if is_valid_id(generation_id) else None
        # An unknown generation, an ended preview and a wrong token look the same.
        share = people.access.redeem_share(body.token, "" if preview is None else preview.id, GUEST_ROLES)
        assert preview is not None, "no link belongs to no preview"  # noqa: S101
        known = known_guest(backend, request.scope, generation_id)
        if known is not None and known.share_id == share.id:
            guest = people.guests.rename(known, body.name)
            return json_answer(await _me(backend, preview, Identity.of_guest(guest, preview.record.user_id)))
        guest, secret = people.guests.admit(share, preview.id, body.name)
        identity = Identity.of_guest(guest, preview.record.user_id)
        remember_caller(people.audit, request, identity, backend.live_preview_id)
        response = json_answer(await _me(backend, preview, identity))
        response.set_cookie(
            GUEST_COOKIE,
            secret,
            max_age=max(1, int(share.expires_at - people.access.now())),
            path=link(guest_path(generation_id)),
            httponly=True,
            secure=is_encrypted(backend.settings.public_url),
            samesite="Strict",
        )
        return response

    @routes.get("/preview/viewers")
    async def viewers(backend: Backend, generation_id: str) -> Response:
        """Return who has the preview's page open; with `Accept: text/event-stream`, in real time.

        Events: `viewers` (all of them), `comment`, `comment_removed`, `reload` (read the comments again), `removed`
        (the owner has removed you), `expired`, `end`.
        """
        identity, _ = await own_generation(backend, generation_id)
        preview = backend.previews.require(generation_id)
        audience = backend.people.presence.audience(preview.id)
        if request.accept_mimetypes.best_match(["application/json", _EVENTS]) != _EVENTS:
            return json_answer(_viewers(audience.viewers), headers={"Vary": "Accept"})
        body: bytes | PresenceBody = b""
        if request.method != "HEAD":
            resources = request_resources()
            resources.enter_context(backend.slots.hold(identity.key))
            viewer = _viewer(identity)
            resources.enter_context(telling_people(backend, preview))
            resources.enter_context(audience.attending(viewer))
            tell_people(backend, preview)
            body = PresenceBody(
                audience,
                viewer.id,
                preview.over,
                shown=lambda found: json.dumps(_viewers(found).dumped()),
                waits=backend.waits,
                expires_at=identity.expires_at,
                keep_alive_s=backend.settings.keep_alive_s,
            )
        response = Response(body, 200, _STREAM_HEADERS, content_type=_EVENTS)
        # Quart would end it after a minute, without a last chunk.
        response.timeout = None
        return response

    @routes.get("/preview/viewers/me")
    async def me(backend: Backend, generation_id: str) -> Response:
        """Return who you are at this preview, and your role."""
        identity, _ = await own_generation(backend, generation_id)
        return json_answer(await _me(backend, backend.previews.require(generation_id), identity))

    @routes.put("/preview/viewers/me")
    async def change_me(backend: Backend, generation_id: str) -> Response:
        """Show others the line or request that you look at; a guest may also change their name.

        The line needs an open stream of viewers; without one, nothing happens. The owner may mark all comments as read.
        """
        identity, _ = await own_generation(backend, generation_id)
        body = await read_json(request, MeBody, limit_bytes=_BODY_BYTES)
        preview = backend.previews.require(generation_id)
        audience = backend.people.presence.audience(preview.id)
        audience.spend_move(_viewer_id(identity))
        if body.name is not None and identity.guest is not None:
            audience.rename(identity.guest.id, backend.people.guests.rename(identity.guest, body.name).name)
            tell_people(backend, preview)
        if body.comments_read and identity.guest is None and audience.unread:
            audience.unread = 0
            tell_people(backend, preview)
        if "target" in body.model_fields_set:
            audience.move(_viewer_id(identity), None if body.target is None else body.target.target())
        return no_content()

    @routes.delete("/preview/viewers/me")
    async def leave(backend: Backend, generation_id: str) -> Response:
        """Leave as a guest: the cookie is deleted."""
        await own_generation(backend, generation_id)
        response = no_content()
        response.delete_cookie(GUEST_COOKIE, path=link(guest_path(generation_id)), httponly=True, samesite="Strict")
        return response

    @routes.delete("/preview/viewers/<viewer_id>")
    async def remove(backend: Backend, generation_id: str, viewer_id: str) -> Response:
        """Remove a guest at once: open streams end, and the share link that admitted the guest admits nobody further.

        Other guests of that link stay.
        """
        await own_generation(backend, generation_id)
        preview = backend.previews.require(generation_id)
        removed = backend.people.guests.remove(preview.id, viewer_id)
        if removed is None:
            raise ViewerNotFound(f"The preview has no guest {quoted(viewer_id)}; list the viewers to see who is there.")
        cut_off(backend, [removed])
        return no_content()


def _add_comments(routes: BackendRoutes) -> None:
    @routes.get("/preview/comments")
    async def list_comments(backend: Backend, generation_id: str) -> Response:
        """Return the comments on a preview, live or ended, newest first, by pages."""
        await own_generation(backend, generation_id)
        query = checked_query(request, CommentsQuery)
        record = await preview_of(backend, generation_id, query.preview_id)
        found, following = await backend.people.comments.list(record.id, cursor=query.cursor, limit=query.limit)
        items = [CommentShape.of(one) for one in found]
        return json_answer(CommentPage(preview_id=record.id, items=items, next=following))

    @routes.post("/preview/comments")
    async def add_comment(backend: Backend, generation_id: str) -> Response:
        """Comment on a line, a request or a failure."""
        identity, _ = await own_generation(backend, generation_id)
        body = await read_json(request, CommentBody, limit_bytes=_BODY_BYTES)
        record = await preview_of(backend, generation_id, body.preview_id)
        _check_guest(identity, record)
        target = body.target.target()
        await _check_target(backend, record, target)
        audience = backend.people.presence.audience(record.id)
        audience.comments.spend(identity.key)
        made = await backend.people.comments.add(
            record.id,
            target,
            body.text,
            author_id=identity.user.id if identity.guest is None else identity.guest.id,
            author="Owner" if identity.guest is None else identity.guest.name,
            role=role_of(identity),
        )
        shown = CommentShape.of(made)
        audience.tell("comment", json.dumps(shown.dumped()))
        tell_comment(backend, record, shown)
        preview = backend.previews.find(record.id)
        if identity.guest is not None and preview is not None:
            audience.unread += 1
            tell_people(backend, preview)
        place = link(f"/api/v1/generations/{generation_id}/preview/comments/{made.id}")
        return json_answer(shown, 201, {"Location": place})

    @routes.put("/preview/comments/<comment_id>")
    async def change_comment(backend: Backend, generation_id: str, comment_id: str) -> Response:
        """Mark a comment as resolved, or open it again."""
        identity, _ = await own_generation(backend, generation_id)
        body = await read_json(request, CommentChange, limit_bytes=_BODY_BYTES)
        record, comment = await _comment(backend, identity, generation_id, comment_id)
        backend.people.presence.audience(comment.preview_id).edits.spend(identity.key)
        changed = await backend.people.comments.resolve(comment, body.resolved)
        shown = CommentShape.of(changed)
        backend.people.presence.audience(comment.preview_id).tell("comment", json.dumps(shown.dumped()))
        tell_comment(backend, record, shown)
        return json_answer(shown)

    @routes.delete("/preview/comments/<comment_id>")
    async def delete_comment(backend: Backend, generation_id: str, comment_id: str) -> Response:
        """Delete a comment: its owner any, a guest their own."""
        identity, _ = await own_generation(backend, generation_id)
        record, comment = await _comment(backend, identity, generation_id, comment_id)
        if identity.guest is not None and comment.author_id != identity.guest.id:
            raise Forbidden("Guests may delete their own comments only; ask the preview's owner.", reason="role")
        backend.people.presence.audience(comment.preview_id).edits.spend(identity.key)
        await backend.people.comments.delete(comment)
        backend.people.presence.audience(comment.preview_id).tell("comment_removed", json.dumps({"id": comment.id}))
        tell_removed_comment(backend, record, comment.id)
        return no_content()


async def _me(backend: Backend, preview: LivePreview, identity: Identity) -> MeShape:
    generation = await backend.service.generations.get(preview.record.generation_id)
    name = generation.name or generation.id
    return MeShape.of(identity, generation_id=generation.id, project=name, preview_id=preview.id)


def _viewer_id(identity: Identity) -> str:
    return OWNER_ID if identity.guest is None else identity.guest.id


def _viewer(identity: Identity) -> Viewer:
    guest = identity.guest
    if guest is None:
        return Viewer(OWNER_ID, "Owner", "owner", 0)
    return Viewer(guest.id, guest.name, guest.role.value, guest.colour)


def _viewers(found: Sequence[Viewer]) -> ViewerList:
    return ViewerList(items=[ViewerShape.of(one) for one in found], next=None)


def _check_guest(identity: Identity, record: PreviewRecord) -> None:
    """Check that a guest acts on the preview of their invitation, not on one that was launched meanwhile.

    Raises:
        Unauthenticated: The guest's preview has ended.
    """
    if identity.guest is not None and identity.guest.preview_id != record.id:
        raise Unauthenticated("The preview of your invitation has ended; ask its owner for a new one.", reason="share")


async def _comment(
    backend: Backend, identity: Identity, generation_id: str, comment_id: str
) -> tuple[PreviewRecord, Comment]:
    query = checked_query(request, OneCommentQuery)
    record = await preview_of(backend, generation_id, query.preview_id)
    _check_guest(identity, record)
    return record, await backend.people.comments.get(record.id, comment_id)


async def _check_target(backend: Backend, record: PreviewRecord, target: Target) -> None:
    """Check that the preview has this line, request or failure.

    Raises:
        InvalidRequest: It has no such line.
        RequestNotFound, FailureNotFound: It has no such request or failure.

    Cancellation: no state changes.
    """
    if target.kind is TargetKind.FAILURE:
        records, _, _ = await backend.service.failures.records(record.id)
        if all(one.id != target.id for one in records):
            raise FailureNotFound(f"The preview has no failure {quoted(target.id)}; list the failures.")
        return
    if not target.id.isdigit():
        raise InvalidRequest(f"{quoted(target.id)} is not the number of a {target.kind.value}.", field="target.id")
    if target.kind is TargetKind.REQUEST:
        with trio.move_on_after(_STORED_S):
            await backend.service.traffic_writer.flush(record.id)
        await backend.service.traffic.get(record.id, int(target.id))
        return
    preview = backend.previews.find(record.id)
    last = record.last_seq if preview is None else preview.log.last_seq
    if last is not None and int(target.id) > last:
        raise InvalidRequest(f"The preview has {last} lines, not {target.id}.", field="target.id")
