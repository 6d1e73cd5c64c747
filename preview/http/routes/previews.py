"""Routes of a generation's preview in both contracts, and of previews in ``v1`` (list, by id, extend, restart)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.cluster import Place
from preview.core.quoting import quoted
from preview.detection import Overrides, overrides_from_request
from preview.errors import Forbidden, InvalidRequest, PreviewNotFound, ProjectMismatch
from preview.generations import Generation
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts import ANSWERS, Facts, v1
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.bodies import ExtendBody, ListQuery, PlanLaunchBody, V1LaunchBody
from preview.http.core.reading import checked_query, preferred_wait_s, read_json
from preview.http.identity import own_generation, own_preview, owned_by, require_identity
from preview.http.routes.people.events import tell_preview
from preview.logs import Contract
from preview.storage.tables import PreviewRecord
from preview.supervisor import Launched, LaunchRequest

PREFIXES: Mapping[Contract, str] = MappingProxyType(
    {Contract.PLAN: "/api/generations/<generation_id>", Contract.V1: "/api/v1/generations/<generation_id>"}
)

# Contract ``plan`` uses `pythonPath` for a file's `python_path`.
_CAPITAL = re.compile(r"(?<=[a-z])[A-Z]")
# Bodies of these routes have only a few fields.
_BODY_BYTES = 64 * 1024
# Most seconds that ``Prefer: wait`` delays a response: a cold environment and a start-up.
_MAX_WAIT_S = 600


def preview_routes(contract: Contract, running: Running) -> Blueprint:
    """Return the routes of one contract."""
    answers = ANSWERS[contract]
    routes = BackendRoutes(contract.value, running)

    @routes.post("/preview/launch")
    async def launch(backend: Backend, generation_id: str) -> Response:
        """Launch the generation.

        Responds as soon as the preview exists; `Prefer: wait=SECONDS` waits until it is healthy.
        """
        identity, generation = await own_generation(backend, generation_id, in_contract=True)
        asked = await _read_launch(contract, identity, generation)
        return await _answer_launch(backend, await backend.previews.launch(asked), contract)

    @routes.get("/preview/status")
    async def status(backend: Backend, generation_id: str) -> Response:
        """Return the preview's status.

        A preview that failed stays visible until the next launch; one that was stopped or has expired is 404.
        """
        _, generation = await own_generation(backend, generation_id, in_contract=True)
        return json_answer(
            answers.status.of(await _facts(backend, generation, with_endpoints=contract is Contract.PLAN))
        )

    @routes.delete("/preview")
    async def stop(backend: Backend, generation_id: str) -> Response:
        """Stop the preview.

        Responds when its processes have ended, its port is free and its working copy of the files is removed.
        """
        await _own_to_stop(backend, generation_id)
        # The stop runs in the preview's own task, so a client's disconnect does not cancel it.
        record = await backend.previews.stop(generation_id)
        return no_content() if answers.stopped is None else json_answer(answers.stopped.of(record))

    @routes.get("/endpoints")
    async def endpoints(backend: Backend, generation_id: str) -> Response:
        """Return the generation's endpoints.

        Before a launch, they are read from its source. Once its preview runs, its OpenAPI document and its own route
        table are read too.
        """
        _, generation = await own_generation(backend, generation_id, in_contract=True)
        found = await backend.endpoints.find(generation, backend.previews.active(generation_id))
        return json_answer(answers.endpoints.of(found))

    routes.add_url_rule("/preview/endpoints", "preview_endpoints", endpoints)

    @routes.get("/preview/config")
    async def config(backend: Backend, generation_id: str) -> Response:
        """Return the limits of this user's previews."""
        identity, _ = await own_generation(backend, generation_id, in_contract=True)
        service = backend.service
        tier = service.settings.tier(identity.user.tier or await service.users.tier(identity.user.id), identity.user.id)
        active = service.previews.active(generation_id)
        return json_answer(answers.config.of(service.settings, tier, None if active is None else active.record))

    return routes


async def _own_to_stop(backend: Backend, generation_id: str) -> None:
    """Check ownership like ``own_generation``, but without the database while a preview is live.

    A live preview's user owns its generation, since nobody else may launch it.
    """
    identity = await require_identity(backend)
    active = backend.previews.active(generation_id)
    if active is None:
        await owned_by(backend, identity.user.id, generation_id, in_contract=True)
    elif active.record.user_id != identity.user.id:
        raise Forbidden("This generation belongs to another user.")


async def _answer_launch(backend: Backend, launched: Launched, contract: Contract) -> Response:
    """Return the response to a launch, at once or when the preview is healthy (RFC 7240, ``Prefer: wait``).

    Raises:
        StartupTimeout, LaunchFailed: The request waits, and the preview did not become healthy.

    Cancellation: the preview keeps running.
    """
    headers: dict[str, str] = {}
    wait_s = preferred_wait_s(",".join(request.headers.getlist("Prefer")))
    if wait_s:
        wait_s = min(wait_s, _MAX_WAIT_S)
        record = await backend.previews.wait_ready(launched.record.id, wait_s)
        launched = replace(launched, record=record)
        headers["Preference-Applied"] = f"wait={wait_s}"
    answers = ANSWERS[contract]
    if contract is Contract.V1:
        headers["Location"] = link(f"/api/v1/previews/{launched.record.id}")
    return json_answer(answers.launched.of(launched), answers.launch_status, headers)


async def _read_launch(contract: Contract, identity: Identity, generation: Generation) -> LaunchRequest:
    if contract is Contract.V1:
        body = await read_json(request, V1LaunchBody, limit_bytes=_BODY_BYTES)
        overrides = _overrides(body.start, body.env)
        labels = body.labels or {}
        return LaunchRequest(
            identity.user, generation.id, body.project_id, body.timeout, overrides=overrides, labels=labels
        )
    asked = await read_json(request, PlanLaunchBody, limit_bytes=_BODY_BYTES)
    if asked.generationId is not None and asked.generationId != generation.id:
        raise InvalidRequest(
            f"The body names the generation {quoted(asked.generationId)}, the path {generation.id!r}: "
            "send the same one.",
            field="generation_id",
        )
    if asked.projectId is not None and asked.projectId != generation.project_id:
        raise ProjectMismatch(
            f"The generation {generation.id!r} does not belong to the project {quoted(asked.projectId)}."
        )
    start = {
        _CAPITAL.sub(lambda found: f"_{found[0].lower()}", key): value for key, value in (asked.start or {}).items()
    }
    overrides = _overrides(start if asked.start is not None else None, asked.env)
    labels = asked.labels or {}
    return LaunchRequest(identity.user, generation.id, asked.projectId, overrides=overrides, labels=labels)


def _overrides(start: Mapping[str, Any] | None, env: Mapping[str, Any] | None) -> Overrides | None:
    """Return the body's overrides of the start; None without any."""
    overrides = overrides_from_request({"start": start, "env": env})
    return None if overrides.is_empty else overrides


async def _facts(backend: Backend, generation: Generation, *, with_endpoints: bool) -> Facts:
    previews = backend.previews
    record = await previews.current(generation.id)
    found: Any = ()
    if with_endpoints:
        found = (await backend.endpoints.find(generation, previews.active(generation.id))).endpoints
    active, confinement = previews.find(record.id), previews.confinement(record.id)
    run = backend.checks.last(generation.id)
    checks = None if run is None else run.sentence()
    if active is None:
        place = await previews.place(record)
        return Facts(_told(record, place), endpoints=found, confinement=confinement, checks=checks, queue=place)
    return Facts(active.record, active.usage, active.uptime_s, found, confinement, checks, crash=active.crash)


def _told(record: PreviewRecord, place: Place | None) -> PreviewRecord:
    """Return the record with its place in the queue as the first step's detail, which all clients show."""
    if place is None or not record.steps:
        return record
    first = replace(record.steps[0], detail=f"waits for a node: place {place.place} of {place.waiting}")
    return replace(record, steps=(first, *record.steps[1:]))


def previews_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("previews", running)

    @routes.get("/previews")
    async def list_previews(backend: Backend) -> Response:
        """Return your previews, newest first, by pages."""
        identity = await require_identity(backend)
        query = checked_query(request, ListQuery)
        records, following = await backend.previews.list_for_user(
            identity.user.id,
            state=query.status,
            generation_id=query.generation_id,
            cursor=query.cursor,
            limit=query.limit,
        )
        return json_answer(v1.InstancePage.model_validate({"previews": records, "next_cursor": following}))

    @routes.get("/previews/<preview_id>")
    async def get_preview(backend: Backend, preview_id: str) -> Response:
        """Return one of your previews, live or ended."""
        identity = await require_identity(backend)
        record = await backend.previews.get(preview_id)
        if record.user_id != identity.user.id:
            # The same error as for an unknown id, so that nobody learns of another user's preview.
            raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
        active = backend.previews.find(record.id)
        watchers = 0 if active is None else active.log.subscriber_count
        return json_answer(v1.WatchedInstance.of(record, backend.previews.confinement(record.id), watchers))

    @routes.post("/generations/<generation_id>/preview/token")
    async def new_token(backend: Backend, generation_id: str) -> Response:
        """Return a further preview token: the launch shows its token once, and the launcher may be elsewhere."""
        preview = await own_preview(backend, generation_id)
        token, expires_at = preview.further_token(), preview.record.token_expires_at
        return json_answer(v1.PreviewToken(session_token=token, expires_at=expires_at), 201)

    @routes.get("/generations/<generation_id>/preview/services")
    async def services(backend: Backend, generation_id: str) -> Response:
        """Return the servers that the preview's project needs, and that the preview has of its own."""
        preview = await own_preview(backend, generation_id)
        used = [await server.describe() for server in preview.needed_servers]
        return json_answer(v1.Services.of(used))

    @routes.post("/generations/<generation_id>/preview/extend")
    async def extend(backend: Backend, generation_id: str) -> Response:
        """Extend the preview's life, up to the maximum of your tier."""
        await own_generation(backend, generation_id)
        body = await read_json(request, ExtendBody, limit_bytes=_BODY_BYTES)
        record = await backend.previews.extend(generation_id, body.seconds)
        tell_preview(backend.people.events, record)
        return json_answer(v1.Instance.model_validate(record))

    @routes.post("/generations/<generation_id>/preview/restart")
    async def restart(backend: Backend, generation_id: str) -> Response:
        """Start the generation's preview again: a running one keeps its id, port, tokens and log.

        The previous process serves until the new one does; then the response comes. If the new one does not start,
        the previous one still serves; the error says why. If none runs, this launches a new preview with its own log.
        """
        identity, _ = await own_generation(backend, generation_id)
        return await _answer_launch(backend, await backend.previews.restart(identity.user, generation_id), Contract.V1)

    return routes
