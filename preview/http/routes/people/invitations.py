"""Invitations: operators make, list and revoke them; a person who has the link joins with it."""

from __future__ import annotations

from datetime import timedelta

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from preview.auth import Identity, TokenRole
from preview.auth.members import MEMBER_SESSION_S
from preview.core.clock import utc_now
from preview.errors import Forbidden
from preview.http.audited import address_of, remember_caller, remember_detail, remember_owner
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts import v1
from preview.http.contracts.people.invitations import (
    InvitationBody,
    InvitationList,
    InvitationShape,
    JoinServiceBody,
    NewInvitation,
    RevokeQuery,
)
from preview.http.core.answers import json_answer, link, no_content, own_address
from preview.http.core.cookies import fields_of, is_same_origin
from preview.http.core.reading import checked_query, read_json
from preview.http.identity import require_operator
from preview.http.routes.people.sessions import keep_session
from preview.together.presence import Paces
from preview.user import User

_BODY_BYTES = 4096
# A class behind one address joins at once; codes cannot be guessed anyway.
_JOINS_PER_S = 0.5
_JOINS_AT_ONCE = 60.0


def invitation_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("invitations", running)
    _add_operator(routes)
    _add_join(routes)
    return routes


def _add_operator(routes: BackendRoutes) -> None:
    @routes.get("/operator/invitations")
    async def list_invitations(backend: Backend) -> Response:
        """Return the invitations, newest first, with the people whom they have admitted; for operators."""
        await require_operator(backend)
        found = await backend.people.invitations.list()
        return json_answer(InvitationList(items=[InvitationShape.of(one) for one in found], next=None))

    @routes.post("/operator/invitations")
    async def create(backend: Backend) -> Response:
        """Make an invitation, for operators. Its link is in this response only."""
        identity = await require_operator(backend)
        _require_sessions(backend)
        body = await read_json(request, InvitationBody, limit_bytes=_BODY_BYTES)
        made, code = await backend.people.invitations.create(
            identity.user.id,
            note=body.note.strip(),
            most_uses=body.uses,
            ttl_s=body.expires_in,
            tier=body.tier,
            role=TokenRole(body.role),
        )
        remember_detail(request.scope, f"{made.id}, uses {body.uses}, tier {body.tier}, role {body.role}")
        # After the number sign: it is in no log of a proxy, and a preview of links does not use it up.
        shown = NewInvitation.made(made, f"{own_address(backend.settings.public_url)}/#/invite/{code}")
        return json_answer(shown, 201, {"Location": link(f"/api/v1/operator/invitations/{made.id}")})

    @routes.delete("/operator/invitations/<invitation_id>")
    async def revoke(backend: Backend, invitation_id: str) -> Response:
        """Revoke an invitation, for operators: it admits nobody further. With `people`, those it admitted are removed.

        A removed person's open requests end, and sessions and API tokens are refused. Projects stay.
        """
        await require_operator(backend)
        query = checked_query(request, RevokeQuery)
        removed = await backend.people.invitations.revoke(invitation_id, with_people=query.people)
        remember_detail(request.scope, f"{removed} people removed" if query.people else "people stay")
        return no_content()

    @routes.delete("/operator/members/<user_id>")
    async def remove_member(backend: Backend, user_id: str) -> Response:
        """Remove a person whom an invitation has admitted, for operators. Projects stay."""
        await require_operator(backend)
        await backend.people.members.remove(user_id)
        remember_owner(request.scope, user_id)
        return no_content()


def _add_join(routes: BackendRoutes) -> None:
    paces = Paces("Attempts to join", _JOINS_PER_S, _JOINS_AT_ONCE)

    @routes.post("/join")
    async def join(backend: Backend) -> Response:
        """Join the service by an invitation: makes a user, and sets a session cookie that no script can read.

        Only the service's own page, or a program, may do this: no other site can sign a browser in.
        """
        _require_sessions(backend)
        headers = fields_of(request.scope)
        is_browser = b"sec-fetch-site" in headers or b"origin" in headers
        if is_browser and not is_same_origin(request.scope):
            raise Forbidden("Open the link itself; other sites cannot use it for you.", reason="cross_origin")
        paces.spend(address_of(request.scope))
        body = await read_json(request, JoinServiceBody, limit_bytes=_BODY_BYTES)
        member = await backend.people.invitations.redeem(body.code, body.name)
        # The tier is that of the users table, so that an operator can change it.
        user = User(member.user_id)
        identity = Identity(user, utc_now() + timedelta(seconds=MEMBER_SESSION_S), role=member.role, is_member=True)
        remember_caller(backend.people.audit, request, identity, backend.live_preview_id)
        remember_detail(request.scope, f"by {member.invitation_id}")
        session = backend.new_session(user, MEMBER_SESSION_S)
        assert session is not None, "there are sessions: see above"  # noqa: S101
        response = json_answer(v1.Session.of(identity), 201)
        keep_session(backend, response, session, MEMBER_SESSION_S)
        return response


def _require_sessions(backend: Backend) -> None:
    """Check that this service signs sessions: a host, or an identity provider's keys, decide otherwise."""
    if backend.secret is None:
        raise NotFound
