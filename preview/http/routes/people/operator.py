"""Routes of operators, relative to ``/api/v1``. Never logs, requests, files or secrets of others."""

from __future__ import annotations

import os
import platform
from collections import Counter
from importlib.metadata import version

from quart import Blueprint, Response, request
from sqlalchemy import Connection, Row, func, select

from preview.cluster import Node
from preview.core.clock import from_ms
from preview.core.quoting import quoted
from preview.errors import NoActivePreview, PreviewNotFound
from preview.http.audited import remember_detail, remember_owner
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.people.account import (
    AuditPage,
    AuditVerdict,
    Diagnostics,
    Environments,
    Nodes,
    NodeShape,
    OperatorUser,
    OperatorUsers,
    PreparedEnvironmentShape,
    Templates,
    TemplateShape,
    TierBody,
)
from preview.http.core.answers import json_answer, no_content
from preview.http.core.bodies import AuditQuery, OperatorPreviewsQuery, PageQuery
from preview.http.core.reading import checked_query, read_json
from preview.http.identity import require_operator as _require_operator
from preview.http.metrics import RECENT_LOG
from preview.http.routes.people.operator_list import operator_previews, own_name
from preview.people_errors import NodeNotFound, TemplateNotFound
from preview.runtime.warm.pool import TemplatePool
from preview.runtime.warm.runtime import WarmRuntime
from preview.storage.people_tables import owners
from preview.storage.tables import PreviewRecord, generations, users
from preview.storage.users import read_page

_BODY_BYTES = 4096


def operator_routes(running: Running) -> Blueprint:
    """Return the routes; each begins with ``_require_operator``."""
    routes = BackendRoutes("operator", running)

    @routes.get("/operator/previews")
    async def previews(backend: Backend) -> Response:
        """Return live previews of all users and nodes, oldest first, for operators."""
        await _require_operator(backend)
        query = checked_query(request, OperatorPreviewsQuery)
        return json_answer(await operator_previews(backend, query.cursor, query.limit))

    @routes.delete("/operator/previews/<preview_id>")
    async def stop(backend: Backend, preview_id: str) -> Response:
        """Stop a preview of any user, for operators."""
        await _require_operator(backend)
        record = await _live_or_queued(backend, preview_id)
        remember_owner(request.scope, record.user_id)
        try:
            await backend.previews.stop(record.generation_id, only=preview_id)
        except NoActivePreview:
            raise _no_preview(preview_id) from None
        return no_content()

    @routes.get("/operator/users")
    async def list_users(backend: Backend) -> Response:
        """Return users, newest first, and what they use, for operators."""
        await _require_operator(backend)
        query = checked_query(request, PageQuery)
        database = backend.service.database
        rows, following = await read_page(database, select(users), users, query.cursor, query.limit)
        ids = [row.id for row in rows]
        here = {(one.record.user_id, one.id) for one in backend.previews.all_active.values()}
        # In a cluster: those of all nodes, and those that wait for one.
        live_rows = select(owners.c.user_id, owners.c.preview_id).where(
            owners.c.user_id.in_(ids), owners.c.state.in_(("queued", "running"))
        )
        sums = (
            select(
                generations.c.user_id, func.count().label("number"), func.sum(generations.c.size_bytes).label("size")
            )
            .where(generations.c.user_id.in_(ids))
            .group_by(generations.c.user_id)
        )

        def read(connection: Connection) -> tuple[dict[str, Row[tuple[str, int, int]]], set[tuple[str, str]]]:
            return (
                {row.user_id: row for row in connection.execute(sums)},
                {(row.user_id, row.preview_id) for row in connection.execute(live_rows)},
            )

        stored, elsewhere = await database.read(read) if ids else ({}, set())
        live = Counter(user_id for user_id, _ in here | elsewhere)
        items = [
            OperatorUser(
                id=row.id,
                tier=row.tier,
                created_at=from_ms(row.created_at),
                previews=live[row.id],
                generations=stored[row.id].number if row.id in stored else 0,
                stored_bytes=int(stored[row.id].size) if row.id in stored else 0,
            )
            for row in rows
        ]
        return json_answer(OperatorUsers(items=items, next=following))

    @routes.put("/operator/users/<user_id>/tier")
    async def change_tier(backend: Backend, user_id: str) -> Response:
        """Give a user another tier, for operators: it applies from the next launch. A tier in a token goes first."""
        await _require_operator(backend)
        body = await read_json(request, TierBody, limit_bytes=_BODY_BYTES)
        before = await backend.service.users.change_tier(user_id, body.tier)
        remember_owner(request.scope, user_id)
        remember_detail(request.scope, f"{before} to {body.tier}")
        return no_content()

    @routes.get("/operator/audit")
    async def audit(backend: Backend) -> Response:
        """Return the changes of all users, or of one, newest first, for operators."""
        await _require_operator(backend)
        query = checked_query(request, AuditQuery)
        found, following = await backend.people.audit.list(
            user_id=None, actor_id=query.user_id, action=query.action, cursor=query.cursor, limit=query.limit
        )
        return json_answer(AuditPage.of(found, following))

    @routes.get("/operator/audit/verify")
    async def verify_audit(backend: Backend) -> Response:
        """Check the chain of the audit trail, and name the first entry that is wrong; for operators."""
        await _require_operator(backend)
        return json_answer(AuditVerdict.of(await backend.people.audit.verify()))

    @routes.get("/operator/diagnostics")
    async def diagnostics(backend: Backend) -> Response:
        """Return the service's last log lines, slow operations, isolation and metrics, for operators."""
        await _require_operator(backend)
        levels = {rung.name: "available" if rung.holds else rung.found for rung in backend.service.rungs}
        metrics = backend.metrics
        shown = Diagnostics(
            version=version("preview"),
            isolation=backend.service.runtime.name,
            levels=levels,
            database="SQLite" if backend.service.database.is_sqlite else "PostgreSQL",
            live_previews=len(backend.previews.all_active),
            slow=metrics.slow.list(),
            log=RECENT_LOG.lines(),
            metrics=metrics.render().decode(),
        )
        return json_answer(shown)

    @routes.get("/operator/environments")
    async def environments(backend: Backend) -> Response:
        """Return the stored environments, the last used first, for operators."""
        await _require_operator(backend)
        items = [PreparedEnvironmentShape.of(one) for one in await backend.service.shelf.all()]
        return json_answer(Environments(items=items, limit_bytes=backend.settings.environment_max_bytes, next=None))

    @routes.delete("/operator/environments/<environment_id>")
    async def remove_environment(backend: Backend, environment_id: str) -> Response:
        """Remove a stored environment that nobody uses, for operators; a launch that needs it builds it again."""
        await _require_operator(backend)
        await backend.service.shelf.remove(environment_id)
        return no_content()

    @routes.get("/operator/templates")
    async def templates(backend: Backend) -> Response:
        """Return the processes that new Python previews are forked from, the last used first, for operators."""
        await _require_operator(backend)
        pool = _templates(backend)
        items = [TemplateShape.model_validate(one) for one in ([] if pool is None else pool.facts())]
        return json_answer(Templates(items=items, limit=backend.settings.warm_templates, next=None))

    @routes.delete("/operator/templates/<template_key>")
    async def drop_template(backend: Backend, template_key: str) -> Response:
        """End a template, for operators; previews forked from it go on, and the next launch has another one made."""
        await _require_operator(backend)
        pool = _templates(backend)
        if pool is None or not pool.drop(template_key):
            raise _no_template()
        return no_content()

    @routes.post("/operator/templates/<template_key>/rebuild")
    async def rebuild_template(backend: Backend, template_key: str) -> Response:
        """Have a template made again, for operators; launches use the old one until then."""
        await _require_operator(backend)
        pool = _templates(backend)
        if pool is None or not pool.rebuild(template_key):
            raise _no_template()
        return no_content()

    @routes.get("/operator/nodes")
    async def nodes(backend: Backend) -> Response:
        """Return the machines of this service, for operators: one, or the nodes of a cluster."""
        await _require_operator(backend)
        if (cluster := backend.service.cluster) is not None:
            found = [_node_of(backend, one) for one in await cluster.nodes()]
            return json_answer(Nodes(items=found, next=None))
        described = dict(backend.service.runtime.describe())
        node = NodeShape(
            name=own_name(backend),
            system=f"{platform.system()} {platform.release()}",
            processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            live_previews=len(backend.previews.all_active),
            max_previews=backend.settings.max_previews,
            isolation=backend.service.runtime.name,
            limits=described,
            is_live=True,
            is_draining=False,
            address=None,
            version=None,
            labels={},
            started_at=None,
        )
        return json_answer(Nodes(items=[node], next=None))

    @routes.post("/operator/nodes/<node_name>/drain")
    async def drain_node(backend: Backend, node_name: str) -> Response:
        """Drain a node of the cluster, for operators: it takes no new previews, and its own move to other nodes."""
        return await _set_draining(backend, node_name, draining=True)

    @routes.delete("/operator/nodes/<node_name>/drain")
    async def resume_node(backend: Backend, node_name: str) -> Response:
        """End the drain of a node of the cluster, for operators: it takes previews again."""
        return await _set_draining(backend, node_name, draining=False)

    return routes


async def _live_or_queued(backend: Backend, preview_id: str) -> PreviewRecord:
    """Return the record of a live preview, or of one that may wait for a node: queued, moved, or of a lost node.

    Raises:
        PreviewNotFound: It has ended, or never was; requests for those of other nodes are passed on.

    Cancellation: nothing changes.
    """
    if (preview := backend.previews.find(preview_id)) is not None:
        return preview.record
    record = await backend.previews.get(preview_id)
    if not record.is_active:
        raise _no_preview(preview_id)
    return record


def _no_preview(preview_id: str) -> PreviewNotFound:
    return PreviewNotFound(f"There is no live preview {quoted(preview_id)}.")


async def _set_draining(backend: Backend, node_name: str, *, draining: bool) -> Response:
    """Change the node's drain. Cancellation: it is changed or not."""
    await _require_operator(backend)
    cluster = backend.service.cluster
    if cluster is None or not await cluster.drain(node_name, draining=draining):
        raise NodeNotFound("There is no such node; list the nodes of the cluster.")
    return no_content()


def _node_of(backend: Backend, node: Node) -> NodeShape:
    runtime, cluster = backend.service.runtime, backend.service.cluster
    is_own = cluster is not None and node.facts.name == cluster.name
    return NodeShape(
        name=node.facts.name,
        system=node.facts.system,
        processors=node.facts.processors,
        live_previews=node.load,
        max_previews=node.facts.capacity,
        isolation=node.facts.isolation,
        limits=dict(runtime.describe()) if is_own else {},
        is_live=node.is_live,
        is_draining=node.draining,
        address=node.facts.address,
        version=node.facts.version,
        labels=dict(node.facts.labels),
        started_at=from_ms(node.started_at),
    )


def _templates(backend: Backend) -> TemplatePool | None:
    """Return the templates; None for a service that makes none."""
    runtime = backend.service.runtime
    return runtime.templates if isinstance(runtime, WarmRuntime) else None


def _no_template() -> TemplateNotFound:
    return TemplateNotFound("There is no template of this environment; list them.")
