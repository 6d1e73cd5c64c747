"""Routes of operators for flags, relative to ``/api/v1``."""

from __future__ import annotations

import trio
from quart import Blueprint, Response, request

from preview.core.quoting import quoted
from preview.http.audited import remember_detail
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.people.flags import (
    ArmList,
    ArmsQuery,
    FlagBody,
    FlagContent,
    FlagList,
    FlagQuery,
    FlagShape,
    ReachShape,
)
from preview.http.core.answers import json_answer
from preview.http.core.reading import checked_query, read_json
from preview.http.identity import require_operator
from preview.people_errors import FlagNotFound
from preview.rollout import Flag, FlagName, changed_words, read_flag
from preview.rollout.comparison import compare, read_arms

# A few hundred users by name; larger groups are tiers, projects or percentages.
_BODY_BYTES = 256 * 1024


def flag_routes(running: Running) -> Blueprint:
    """Return the routes; each begins with ``require_operator``."""
    routes = BackendRoutes("flags", running)

    @routes.get("/operator/flags")
    async def list_flags(backend: Backend) -> Response:
        """Return all flags with their rules, for operators."""
        await require_operator(backend)
        rollout = backend.service.rollout
        return json_answer(FlagList(items=[_shape(backend, rollout.flag(name)) for name in FlagName], next=None))

    @routes.put("/operator/flags/<name>")
    async def replace(backend: Backend, name: str) -> Response:
        """Replace a flag's value and rules, for operators: they apply from the next launch or request."""
        identity = await require_operator(backend)
        flag_name = _name(name)
        body = await read_json(request, FlagBody, limit_bytes=_BODY_BYTES)
        before, after = await backend.service.rollout.change(
            flag_name, body.content(), expected=body.version, user_id=identity.user.id
        )
        remember_detail(request.scope, changed_words(before, after))
        return json_answer(_shape(backend, after))

    @routes.delete("/operator/flags/<name>")
    async def reset(backend: Backend, name: str) -> Response:
        """Set a flag back to its default, for operators."""
        identity = await require_operator(backend)
        flag_name = _name(name)
        expected = checked_query(request, FlagQuery).version
        before, after = await backend.service.rollout.change(flag_name, {}, expected=expected, user_id=identity.user.id)
        remember_detail(request.scope, changed_words(before, after))
        return json_answer(_shape(backend, after))

    @routes.post("/operator/flags/<name>/dry-run")
    async def dry_run(backend: Backend, name: str) -> Response:
        """Return how many users would get each value; nothing changes. For operators."""
        await require_operator(backend)
        flag_name, rollout = _name(name), backend.service.rollout
        body = await read_json(request, FlagContent, limit_bytes=_BODY_BYTES)
        flag = read_flag(flag_name, body.content(), rollout.offers[flag_name])
        return json_answer(ReachShape.of(await rollout.reach(flag)))

    @routes.get("/operator/flags/<name>/arms")
    async def arms(backend: Backend, name: str) -> Response:
        """Return launches by the value of a flag: failures and launch times, and whether they differ; for operators."""
        await require_operator(backend)
        flag_name, hours = _name(name), checked_query(request, ArmsQuery).hours
        found = await read_arms(backend.service.database, flag_name, hours)
        sentences = await trio.to_thread.run_sync(lambda: [compare(found[0], one) for one in found[1:]])
        return json_answer(ArmList.of(found, sentences, hours))

    return routes


def _name(text: str) -> FlagName:
    """Return the flag of this name.

    Raises:
        FlagNotFound: There is none.
    """
    if text not in list(FlagName):
        raise FlagNotFound(f"There is no flag {quoted(text[:100])}; the flags are {', '.join(FlagName)}.")
    return FlagName(text)


def _shape(backend: Backend, flag: Flag) -> FlagShape:
    rollout = backend.service.rollout
    return FlagShape.of(flag, rollout.offers[flag.name], rollout.problems.get(flag.name))
