"""Routes of alerts: rules and firings of a user, and firings of a preview."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.alerts import Alerts, Rule, RuleDraft
from preview.core.quoting import quoted
from preview.errors import InvalidRequest, PreviewNotFound
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.alerts import (
    AlertBody,
    FiringPage,
    FiringShape,
    FiringsQuery,
    PreviewFiringsQuery,
    RuleList,
    RuleShape,
    TrialBody,
    TrialShape,
)
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.reading import checked_query, read_json
from preview.http.identity import own_generation, owned_by, require_identity
from preview.storage.tables import PreviewRecord

_BODY_BYTES = 64 * 1024


def alert_routes(running: Running) -> Blueprint:
    """Return the routes of rules, relative to ``/api/v1``."""
    routes = BackendRoutes("alerts", running)

    @routes.get("/alerts")
    async def list_alerts(backend: Backend) -> Response:
        """Return your alert rules, oldest first."""
        identity, alerts = await require_identity(backend), backend.service.alerts
        rules = await alerts.rules(identity.user.id)
        return json_answer(RuleList(items=[_shape(alerts, rule) for rule in rules], next=None))

    @routes.post("/alerts")
    async def create_alert(backend: Backend) -> Response:
        """Make an alert rule; it applies at once to live previews."""
        identity, alerts = await require_identity(backend), backend.service.alerts
        draft = await _read_draft(backend, identity.user.id)
        rule = await alerts.add(identity.user.id, draft)
        return json_answer(_shape(alerts, rule), 201, {"Location": link(f"/api/v1/alerts/{rule.id}")})

    @routes.get("/alerts/<alert_id>")
    async def get_alert(backend: Backend, alert_id: str) -> Response:
        """Return one of your alert rules."""
        identity, alerts = await require_identity(backend), backend.service.alerts
        return json_answer(_shape(alerts, await alerts.rule(identity.user.id, alert_id)))

    @routes.put("/alerts/<alert_id>")
    async def replace_alert(backend: Backend, alert_id: str) -> Response:
        """Change an alert rule; a webhook without the field `secret` keeps its secret."""
        identity, alerts = await require_identity(backend), backend.service.alerts
        draft = await _read_draft(backend, identity.user.id)
        return json_answer(_shape(alerts, await alerts.replace(identity.user.id, alert_id, draft)))

    @routes.delete("/alerts/<alert_id>")
    async def delete_alert(backend: Backend, alert_id: str) -> Response:
        """Delete an alert rule with its firings."""
        identity = await require_identity(backend)
        await backend.service.alerts.delete(identity.user.id, alert_id)
        return no_content()

    @routes.post("/alerts/<alert_id>/test")
    async def test_alert(backend: Backend, alert_id: str) -> Response:
        """Fire a rule as a test: its webhook is sent once, and the response has the result."""
        identity, alerts = await require_identity(backend), backend.service.alerts
        rule = await alerts.rule(identity.user.id, alert_id)
        firing = await alerts.test(identity.user.id, alert_id)
        return json_answer(FiringShape.of(firing, {rule.id: rule.title}))

    @routes.get("/alerts/<alert_id>/firings")
    async def list_firings(backend: Backend, alert_id: str) -> Response:
        """Return a rule's firings, newest first, by pages."""
        identity, query = await require_identity(backend), checked_query(request, FiringsQuery)
        alerts = backend.service.alerts
        rule = await alerts.rule(identity.user.id, alert_id)
        found, has_more = await alerts.firings(identity.user.id, alert_id, limit=query.limit, before=query.cursor)
        return json_answer(FiringPage.of(found, [rule], has_more=has_more))

    return routes


def firing_routes(running: Running) -> Blueprint:
    """Return the routes of a preview's firings, relative to ``/api/v1/generations/<generation_id>``."""
    routes = BackendRoutes("firings", running)

    @routes.get("/preview/firings")
    async def preview_firings(backend: Backend, generation_id: str) -> Response:
        """Return the firings of a preview, newest first, by pages."""
        identity, _ = await own_generation(backend, generation_id)
        query, alerts = checked_query(request, PreviewFiringsQuery), backend.service.alerts
        record = await _preview_of(backend, generation_id, query.preview_id)
        user_id = identity.user.id
        found, has_more = await alerts.firings_of_preview(user_id, record.id, limit=query.limit, before=query.cursor)
        return json_answer(FiringPage.of(found, await alerts.rules(user_id), has_more=has_more))

    @routes.post("/preview/firings/trial")
    async def try_alert(backend: Backend, generation_id: str) -> Response:
        """Return what a rule would have done with the newest stored lines of a preview. Nothing is stored or sent."""
        identity, _ = await own_generation(backend, generation_id)
        body = await read_json(request, TrialBody, limit_bytes=_BODY_BYTES)
        record = await _preview_of(backend, generation_id, body.preview_id)
        alerts, user_id = backend.service.alerts, identity.user.id
        tried = await alerts.try_out(body.condition, body.cooldown_s, record.id, user_id=user_id)
        return json_answer(TrialShape.of(tried, record.id))

    return routes


def _shape(alerts: Alerts, rule: Rule) -> RuleShape:
    return RuleShape.of(rule, is_paused=alerts.is_paused(rule), fault=alerts.fault(rule))


async def _read_draft(backend: Backend, user_id: str) -> RuleDraft:
    """Read a rule and check that its scope is the user's own.

    Raises:
        InvalidRequest: The body has a mistake.
        GenerationNotFound, Forbidden: The generation of the scope is not the user's.

    Cancellation: nothing changes.
    """
    draft = (await read_json(request, AlertBody, limit_bytes=_BODY_BYTES)).draft()
    scope = draft.scope
    if scope.generation_id is not None and scope.project_id is not None:
        raise InvalidRequest('The scope has "generation_id" and "project_id"; give one of them.')
    if scope.generation_id is not None:
        await owned_by(backend, user_id, scope.generation_id)
    if scope.project_id is not None and backend.service.library is not None:
        await backend.service.alerts.check_project(user_id, scope.project_id)
    return draft


async def _preview_of(backend: Backend, generation_id: str, preview_id: str | None) -> PreviewRecord:
    if preview_id is None:
        return await backend.previews.latest(generation_id)
    record = await backend.previews.get(preview_id)
    if record.generation_id != generation_id:
        raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
    return record
