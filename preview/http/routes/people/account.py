"""A user's API tokens and usage, relative to ``/api/v1``."""

from __future__ import annotations

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from preview.auth import TokenRole
from preview.errors import Forbidden
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.people.account import AuditPage, NewToken, TokenBody, TokenList, TokenShape, Usage
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.bodies import PageQuery
from preview.http.core.reading import checked_query, read_json
from preview.http.identity import require_account, require_identity
from preview.http.people import is_operator
from preview.http.routes.people.usage import usage_items

_BODY_BYTES = 4096


def account_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("account", running)

    @routes.get("/tokens")
    async def list_tokens(backend: Backend) -> Response:
        """Return your API tokens, newest first, without their texts."""
        identity = await require_account(backend)
        found = await backend.people.api_tokens.list(identity.user.id)
        return json_answer(TokenList(items=[TokenShape.of(one) for one in found], next=None))

    @routes.post("/tokens")
    async def create_token(backend: Backend) -> Response:
        """Make an API token. Its text is in this response only."""
        identity = await require_account(backend)
        body = await read_json(request, TokenBody, limit_bytes=_BODY_BYTES)
        if backend.secret is None and backend.settings.jwt_algorithm == "HS256":
            # A host authenticates, and does not know tokens that are made here.
            raise NotFound
        role = TokenRole(body.role)
        if not identity.role.contains(role):
            raise Forbidden(
                f"Your invitation has the role `{identity.role.value}`; make a token with no more.", reason="role"
            )
        made, text = await backend.people.api_tokens.create(identity.user, body.name.strip(), role, body.expires_in)
        shown = NewToken.taken_from(made, role=made.role.value, token=text)
        return json_answer(shown, 201, {"Location": link(f"/api/v1/tokens/{made.id}")})

    @routes.delete("/tokens/<token_id>")
    async def revoke_token(backend: Backend, token_id: str) -> Response:
        """Revoke an API token: its open streams end, and it is refused from now on."""
        identity = await require_account(backend)
        await backend.people.api_tokens.revoke(identity.user.id, token_id)
        return no_content()

    @routes.get("/audit")
    async def audit(backend: Backend) -> Response:
        """Return what you, and others at your previews, have done, newest first."""
        identity = await require_account(backend)
        query = checked_query(request, PageQuery)
        found, following = await backend.people.audit.list(
            user_id=identity.user.id, cursor=query.cursor, limit=query.limit
        )
        return json_answer(AuditPage.of(found, following, identity.user.id))

    @routes.get("/usage")
    async def usage(backend: Backend) -> Response:
        """Return your limits, and how much of them you use."""
        identity = await require_identity(backend)
        service = backend.service
        tier = service.settings.tier(identity.user.tier or await service.users.tier(identity.user.id), identity.user.id)
        items = await usage_items(backend, identity.user.id, tier)
        return json_answer(
            Usage(
                user_id=identity.user.id,
                tier=tier.name,
                is_operator=is_operator(backend.settings, identity, backend.secret),
                isolation_minimum=backend.settings.least_isolation(tier.name),
                items=items,
                next=None,
            )
        )

    return routes
