"""Routes of replay and comparison, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import trio
from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.core.clock import now_ms
from preview.core.quoting import quoted
from preview.detection import Overrides, overrides_from_request
from preview.errors import Forbidden, InvalidRequest, NoActivePreview, RequestNotFound
from preview.generations import Generation, GenerationSource
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.replay import CompareShape, ImportedShape, ReplayShape
from preview.http.core.answers import json_answer
from preview.http.core.reading import body_pieces, checked_query, read_json
from preview.http.core.replay_bodies import (
    CompareBody,
    GivenRequest,
    ImportQuery,
    OneReplayBody,
    ReplayBody,
    SideBody,
)
from preview.http.identity import own_generation, owned_by
from preview.http.routes.calls import carry_call
from preview.http.routes.generations.versions import versions_of
from preview.http.routes.requests import matches_of
from preview.launch_settings import ACTIVE
from preview.proxy import ProxyRequest, ProxyResponse
from preview.replay.compare import CompareOptions, Side, compare
from preview.replay.comparing import IgnoreRules
from preview.replay.replaying import ReplayOptions, replay, step_of
from preview.replay.sending import MOST_REQUESTS, Send, Step
from preview.supervisor import LivePreview
from preview.traffic import Draft, DraftMessage, Origin, RecordedRequest, TrafficStore, Who
from preview.traffic.curl import MOST_CHARACTERS, parse_curl
from preview.traffic.har import MOST_BYTES, ImportedRequest, read_har
from preview.traffic.ready import ReadyRequest

_BODY_BYTES = 4 * 1024 * 1024
_DEFAULT_REQUESTS = 50
_SETTLE_S = 1.0
_REPLAYED = frozenset({Origin.BROWSER, Origin.CALL, Origin.IMPORT})


def sender(backend: Backend, origin: Origin) -> Send:
    """Return what sends a request to a preview and records it there; a trial records nothing."""

    async def send(preview: LivePreview, asked: ProxyRequest) -> ProxyResponse:
        return await carry_call(backend.client, preview, asked, who=Who.OWNER, origin=origin)

    return send


def replay_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("replay", running)

    @routes.post("/preview/replay")
    async def several(backend: Backend, generation_id: str) -> Response:
        """Send recorded requests again, in order, and compare their answers with the recorded ones.

        Later requests get the tokens, cookies and ids of the new answers. Requests that may change data go to a trial:
        a second, hidden preview with a copy of the data.
        """
        identity, generation = await own_generation(backend, generation_id)
        body = await read_json(request, ReplayBody, limit_bytes=_BODY_BYTES)
        steps = await find_steps(backend, generation, body.numbers, body.filter, body.requests)
        return json_answer(await _replay(backend, identity, generation, steps, body))

    @routes.post("/preview/requests/<record:number>/replay")
    async def one(backend: Backend, generation_id: str, number: str) -> Response:
        """Send one recorded request again, and compare its answer with the recorded one."""
        identity, generation = await own_generation(backend, generation_id)
        body = await read_json(request, OneReplayBody, limit_bytes=_BODY_BYTES)
        is_guest = identity.guest is not None
        if is_guest and body.on != "trial":
            raise Forbidden('Your invitation allows replays on a trial only; send "on": "trial".', reason="role")
        if identity.guest is not None:
            backend.people.presence.audience(identity.guest.preview_id).trials.spend(identity.key)
        # A guest does not act with the secrets of the owner's own requests.
        steps = await find_steps(backend, generation, [record_number(number)], None, [], with_secrets=not is_guest)
        return json_answer(await _replay(backend, identity, generation, steps, body))

    @routes.post("/preview/compare")
    async def compare_(backend: Backend, generation_id: str) -> Response:
        """Send the same requests to two versions and compare their answers.

        Each version runs as a trial with the same data. The baseline answers twice: what differs is noise.
        """
        identity, generation = await own_generation(backend, generation_id)
        body = await read_json(request, CompareBody, limit_bytes=_BODY_BYTES)
        sides = await _side(backend, generation, body.a), await _side(backend, generation, body.b)
        steps = await find_steps(backend, sides[0].generation, body.numbers, body.filter, body.requests)
        options = CompareOptions(body.secrets, await _rules(backend, generation, body.ignore))
        sent = sender(backend, Origin.REPLAY)
        async with backend.turns.take(identity.user.id):
            found = await compare(backend.service, identity.user, sides, steps, sent, options)
        return json_answer(CompareShape.of(found))

    @routes.post("/preview/requests/import")
    async def import_(backend: Backend, generation_id: str) -> Response:
        """Import requests: a HAR file as JSON, or a pasted `curl` command as `text/plain`.

        The requests of a file become records of the running preview, which are replayed like all others. A command is
        only read, and returned as a request that is ready to be sent.
        """
        await own_generation(backend, generation_id)
        query = checked_query(request, ImportQuery)
        is_command = request.mimetype == "text/plain"
        content = bytearray()
        async for piece in body_pieces(request, MOST_CHARACTERS * 4 if is_command else MOST_BYTES):
            content += piece
        if is_command:
            return json_answer(ImportedShape.of_command(parse_curl(content.decode("utf-8", "replace"))))
        preview = backend.previews.active(generation_id)
        if preview is None:
            raise NoActivePreview("Imported requests become records of the running preview; launch it first.")
        found = await trio.to_thread.run_sync(partial(read_har, bytes(content), query.host))
        # With capture off nothing is stored; the answer has the requests all the same.
        kept = [] if preview.traffic.is_off else found.requests
        numbers = [preview.traffic.record(_draft(preview, one)) for one in kept]
        return json_answer(ImportedShape.of(found, numbers))

    return routes


async def _replay(
    backend: Backend,
    identity: Identity,
    generation: Generation,
    steps: Sequence[Step],
    body: ReplayBody | OneReplayBody,
) -> ReplayShape:
    rules = await _rules(backend, generation, body.ignore)
    version = body.version if isinstance(body, ReplayBody) else None
    source = await _source_of(backend, generation, version)
    options = ReplayOptions(body.on, body.allow_changes, body.secrets, rules, source)
    async with backend.turns.take(identity.key):
        found = await replay(backend.service, identity.user, generation, steps, sender(backend, Origin.REPLAY), options)
    return ReplayShape.of(found)


def record_number(text: str) -> int:
    """Return the number of a record from an address.

    Raises:
        RequestNotFound: It is not a number that a record can have.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 15 or text.startswith("0"):
        raise RequestNotFound("There is no such recorded request.")
    return int(text)


async def find_steps(
    backend: Backend,
    generation: Generation,
    numbers: Sequence[int] | None,
    text: str | None,
    given: Sequence[GivenRequest],
    *,
    with_secrets: bool = True,
) -> list[Step]:
    """Return the requests that a caller names: given ones, numbers, those that match a filter, or the last ones.

    Args:
        backend: The backend.
        generation: The generation.
        numbers: Numbers of records.
        text: A filter.
        given: Requests that are not recorded.
        with_secrets: Put in the secrets of the owner's own requests, if they are still in memory.

    Raises:
        InvalidRequest: There is none.
        InvalidFilter: The filter has a mistake, or a term that does not apply to requests.
        RequestNotFound: A number has no record.
        NoActivePreview: The generation has no preview with records.

    Cancellation: nothing changes.
    """
    if given:
        return [
            Step(ReadyRequest(one.method, one.path, tuple(one.headers.items()), _encoded(one.body))) for one in given
        ]
    try:
        newest = await backend.previews.latest(generation.id)
    except NoActivePreview:
        raise NoActivePreview(
            f"{quoted(generation.name)} has no recorded requests, as it was never launched. Launch it and send some.",
            generation_id=generation.id,
        ) from None
    store, live = backend.service.traffic, backend.previews.active(generation.id)
    # Requests that have just ended are stored within a moment.
    with trio.move_on_after(_SETTLE_S):
        await backend.service.traffic_writer.flush(newest.id)
    if numbers is not None:
        records = [await store.get(newest.id, number) for number in numbers]
    else:
        matches = _is_replayed if text is None else await matches_of(backend, newest, text)
        records = await _last(store, newest.id, matches, _DEFAULT_REQUESTS if text is None else MOST_REQUESTS)
    if not records:
        raise InvalidRequest(
            "No recorded request can be sent again. Send some from the page or with `preview request`; those that only "
            "the application has reported lack headers and body.",
            field="filter",
        )
    originals = None if live is None or live.id != newest.id or not with_secrets else live.traffic.originals
    return [step_of(one, None if originals is None else originals.find(one.number)) for one in records]


async def _last(
    store: TrafficStore, preview_id: str, matches: Callable[[RecordedRequest], bool] | None, limit: int
) -> list[RecordedRequest]:
    """Return the last records that match, in order."""
    found: list[RecordedRequest] = []
    before: int | None = None
    while len(found) < limit:
        page = await store.list(preview_id, matches, before=before, limit=limit - len(found), with_content=True)
        found += page.items
        before = page.next
        if before is None:
            break
    return found[::-1]


def _is_replayed(record: RecordedRequest) -> bool:
    return record.origin in _REPLAYED


def _encoded(body: str | None) -> bytes | None:
    return None if body is None else body.encode("utf-8", "replace")


async def _rules(backend: Backend, generation: Generation, ignore: Sequence[str]) -> IgnoreRules:
    """Return the rules of the request and those that are saved beside the code."""
    file, _ = await backend.checks.read(generation.id)
    return IgnoreRules([*file.ignore, *ignore])


async def _side(backend: Backend, generation: Generation, body: SideBody) -> Side:
    chosen = generation
    if body.generation is not None and body.generation != generation.id:
        chosen = await owned_by(backend, generation.user_id, body.generation)
    overrides: Overrides | None = None
    if body.start or body.env:
        overrides = overrides_from_request({"start": body.start or {}, "env": body.env or {}})
    return Side(
        chosen,
        overrides,
        body.snapshot,
        ACTIVE if body.preset is None else body.preset or None,
        source=await _source_of(backend, chosen, body.version),
    )


async def _source_of(backend: Backend, generation: Generation, version: int | None) -> GenerationSource | None:
    """Return the files of a version; None for the current ones.

    Raises:
        GenerationReadOnly, VersionNotFound: There is no such version.
    """
    if version is None:
        return None
    versions = versions_of(backend)
    await versions.get(generation.id, version)
    return versions.source(generation, version)


def _draft(preview: LivePreview, one: ImportedRequest) -> Draft:
    """Return an imported request as a record: it was never sent."""
    sent, body = one.request, one.request.body or b""
    return Draft(
        b"import",
        Origin.IMPORT,
        Who.UNKNOWN,
        sent.method,
        sent.target.encode("utf-8", "replace"),
        one.status,
        None,
        now_ms(),
        -1.0,
        -1.0,
        -1.0,
        0.0,
        len(body),
        len(one.body),
        preview.restarts,
        preview.log.last_seq + 1,
        DraftMessage(_fields(sent.headers), body, len(body)),
        DraftMessage(_fields(one.headers), one.body, len(one.body)) if one.status else None,
    )


def _fields(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers]
