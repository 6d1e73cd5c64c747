"""Parameters and responses of each route: the table behind the document. A test compares both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import BaseModel

from preview import errors
from preview.errors import PreviewError
from preview.http.core import bodies
from preview.http.openapi import shapes_logs as logs
from preview.http.openapi import shapes_plan as plan
from preview.http.openapi import shapes_v1 as v1
from preview.logs import Contract

ErrorKinds = tuple[type[PreviewError], ...]

_AUTH: ErrorKinds = (errors.Unauthenticated, errors.Forbidden, errors.DatabaseUnavailable, errors.ServiceStopping)
_OWN: ErrorKinds = (*_AUTH, errors.GenerationNotFound)
_LAUNCH: ErrorKinds = (
    *_OWN,
    errors.InvalidRequest,
    errors.ProjectMismatch,
    errors.InvalidGeneration,
    errors.AlreadyRunning,
    errors.LimitReached,
    errors.NoPortFree,
    errors.TooManyLaunches,
    errors.DiskFull,
    errors.LaunchFailed,
    errors.EnvironmentFailed,
    errors.StartupTimeout,
)
_PROXY: ErrorKinds = (
    *_OWN,
    errors.InvalidRequest,
    errors.InvalidPath,
    errors.PreviewTokenRejected,
    errors.BodyTooLarge,
    errors.UpstreamFailed,
    errors.PreviewUnavailable,
    errors.UpstreamTimeout,
)
_UPLOAD: ErrorKinds = (
    *_AUTH,
    errors.InvalidRequest,
    errors.InvalidGeneration,
    errors.GenerationLimitReached,
    errors.TooLarge,
)


_EDIT: ErrorKinds = (
    *_OWN,
    errors.InvalidRequest,
    errors.InvalidGeneration,
    errors.GenerationReadOnly,
    errors.PreconditionFailed,
    errors.TooLarge,
)


@dataclass(frozen=True, slots=True)
class Link:
    """Request that a response's data enables (OpenAPI 3.1, Link Object).

    Attributes:
        route: The route that is asked.
        parameter: Its path parameter.
        value: Where the parameter's value stands in the answer, as a runtime expression.
    """

    route: str
    parameter: str
    value: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer.

    Attributes:
        about: One sentence.
        model: Its schema; None where it has no body, or none that a schema could describe.
        kind: Its media type; None where it has no body.
        further_kinds: Other media types that can be asked for.
        headers: Name and meaning of its own header fields.
        links: What can be asked with it, by name.
    """

    about: str
    model: type[BaseModel] | None = None
    kind: str | None = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)
    further_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One route.

    Attributes:
        tag: Heading in the document.
        replies: Successful answers by status.
        errors: What may go wrong.
        body: Schema of the request's body.
        query: Schema of the query.
        headers: Request header fields and their meaning.
        is_open: Whether it asks for no token.
        is_missing: Whether there may be nothing at its address.
    """

    tag: str
    replies: Mapping[int, Reply]
    errors: ErrorKinds = ()
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False
    is_missing: bool = False


def _links(parameter: str, value: str, *routes: str) -> dict[str, Link]:
    return {route.rpartition(".")[2].rstrip("_"): Link(route, parameter, value) for route in routes}


_PREFER = {"Prefer": "`wait=SECONDS`: answer when the preview is healthy (RFC 7240)."}
_APPLIED = {"Preference-Applied": "The wait that was granted."}
_LOCATION = {"Location": "Where the preview is found."}
_GONE = Reply("Done; no body.", kind=None)
# What a client does with a generation that it has just sent.
_WITH_GENERATION = (
    "generations.get_generation",
    "generations.delete_generation",
    "plans.plan",
    "v1.endpoints",
    "v1.launch",
)


_IF_MATCH = {"If-Match": "Change it only if this is still its `ETag` (RFC 9110)."}
_IF_NONE_MATCH = {"If-None-Match": "304 if this is still its `ETag` (RFC 9110)."}
_ETAG = {"ETag": "Stands for the content."}
_SAME = Reply("As you have it; no body.", kind=None, headers=_ETAG)


def _in_both(contract: Contract) -> dict[str, Operation]:
    """Return the seven endpoints, and the ticket, in one contract's form."""
    is_plan = contract is Contract.PLAN
    name, tag = contract.value, f"preview ({contract.value})"
    own_id = "$response.body#/generationId" if is_plan else "$response.body#/generation_id"
    routes = (f"{name}.status", f"{name}.stop", f"{name}_logs.stream", f"{name}_logs.ticket")
    launched = Reply(
        "Launched.",
        plan.PlanLaunched if is_plan else v1.Launched,
        headers=_APPLIED if is_plan else _APPLIED | _LOCATION,
        links=_links("generation_id", own_id, *routes),
    )
    endpoints = Operation(tag, {200: Reply("The endpoints.", plan.PlanEndpoints if is_plan else v1.Endpoints)}, _OWN)
    stopped = {200: Reply("Stopped.", plan.PlanStopped)} if is_plan else {204: _GONE}
    return {
        f"{name}.launch": Operation(
            tag,
            {200 if is_plan else 201: launched},
            _LAUNCH,
            body=bodies.PlanLaunchBody if is_plan else bodies.V1LaunchBody,
            headers=_PREFER,
        ),
        f"{name}.status": Operation(
            tag,
            {200: Reply("The status.", plan.PlanStatus if is_plan else v1.Status)},
            (*_OWN, errors.NoActivePreview),
        ),
        f"{name}.stop": Operation(tag, stopped, (*_OWN, errors.NoActivePreview)),
        f"{name}.endpoints": endpoints,
        f"{name}.preview_endpoints": endpoints,
        f"{name}.config": Operation(tag, {200: Reply("The limits.", plan.PlanConfig if is_plan else v1.Config)}, _OWN),
        f"{name}_proxy.request_": Operation(
            tag,
            {200: Reply("The preview's answer.", plan.PlanProxied if is_plan else v1.Proxied)},
            _PROXY,
            body=bodies.EnvelopeBody,
            headers={"X-Preview-Token": "The preview token of the launch."},
        ),
        f"{name}_logs.stream": Operation(
            tag,
            {
                200: Reply(
                    "Events: lines, `status`, `gap`, `end`, `expired`; of NDJSON one object a line.",
                    kind="text/event-stream",
                    further_kinds=("application/x-ndjson",),
                ),
                204: Reply("The preview is over and nothing is left to say.", kind=None),
            },
            (*_OWN, errors.InvalidRequest, errors.NoActivePreview, errors.PreviewNotFound, errors.TooManyStreams),
            query=bodies.StreamQuery,
            headers={"Last-Event-ID": "Go on right behind this line.", "Accept": "Which of the two; else the first."},
        ),
        f"{name}_log_sockets.socket": Operation(
            tag,
            {101: Reply("A WebSocket; its messages are in docs/api.md.", kind=None)},
            (
                *_OWN,
                errors.InvalidRequest,
                errors.NoActivePreview,
                errors.PreviewNotFound,
                errors.TooManyStreams,
                errors.UpgradeRequired,
            ),
            query=bodies.StreamQuery,
        ),
        f"{name}_history.history": Operation(
            tag,
            {
                200: Reply(
                    "A page, or the lines as a file.",
                    logs.PlanLogPage if is_plan else logs.LogPage,
                    further_kinds=("application/x-ndjson", "text/plain", "text/csv"),
                )
            },
            (*_OWN, errors.InvalidRequest, errors.NoActivePreview, errors.PreviewNotFound, errors.TooManyStreams),
            query=bodies.HistoryQuery,
            headers={"Accept": "Which of these; `format` wins."},
        ),
        f"{name}_logs.ticket": Operation(
            tag, {200: Reply("The ticket.", v1.Ticket)}, (*_OWN, errors.NoActivePreview, errors.TooManyStreams)
        ),
    }


def _only_v1() -> dict[str, Operation]:
    restarted = Reply(
        "The preview: the same one where it ran, else a new one.",
        v1.Launched,
        headers=_APPLIED | _LOCATION,
        links=_links("preview_id", "$response.body#/id", "previews.get_preview"),
    )
    kept = Reply(
        "Kept.",
        v1.GenerationShape,
        headers={"Location": "Where the generation is found."},
        links=_links("generation_id", "$response.body#/id", *_WITH_GENERATION),
    )
    return {
        "previews.list_previews": Operation(
            "previews",
            {200: Reply("A page.", v1.InstancePage)},
            (*_AUTH, errors.InvalidRequest),
            query=bodies.ListQuery,
        ),
        "previews.get_preview": Operation(
            "previews", {200: Reply("The preview.", v1.WatchedInstance)}, (*_AUTH, errors.PreviewNotFound)
        ),
        "previews.new_token": Operation(
            "previews", {201: Reply("The token.", v1.PreviewToken)}, (*_OWN, errors.NoActivePreview)
        ),
        "previews.extend": Operation(
            "previews",
            {200: Reply("Extended.", v1.Instance)},
            (*_OWN, errors.InvalidRequest, errors.NoActivePreview),
            body=bodies.ExtendBody,
        ),
        "previews.restart": Operation("previews", {201: restarted}, _LAUNCH, headers=_PREFER),
        "generations.create_generation": Operation(
            "generations",
            {201: kept},
            _UPLOAD,
            body=bodies.GenerationBody,
            is_missing=True,
        ),
        "generations.list_generations": Operation(
            "generations",
            {200: Reply("A page.", v1.GenerationPage)},
            (*_AUTH, errors.InvalidRequest),
            query=bodies.PageQuery,
            is_missing=True,
        ),
        "generations.get_generation": Operation(
            "generations", {200: Reply("The generation.", v1.GenerationShape)}, _OWN
        ),
        "plans.plan": Operation("generations", {200: Reply("The plan.", v1.Plan)}, (*_OWN, errors.InvalidGeneration)),
        "generations.delete_generation": Operation("generations", {204: _GONE}, (*_OWN, errors.AlreadyRunning)),
    }


def _browser() -> dict[str, Operation]:
    """Describe the routes of access in a browser."""
    shown = {200: Reply("Who may look at it.", v1.AccessShape)}
    of_preview = (*_OWN, errors.NoActivePreview)
    return {
        "browser.open_": Operation(
            "browser",
            {200: Reply("The link.", v1.OpenLinkShape)},
            (*of_preview, errors.InvalidRequest),
            body=bodies.OpenBody,
        ),
        "browser.share": Operation(
            "browser",
            {201: Reply("The link.", v1.ShareShape)},
            (*of_preview, errors.InvalidRequest, errors.ShareLimitReached),
            body=bodies.ShareBody,
        ),
        "browser.access": Operation("browser", shown, of_preview),
        "browser.set_access": Operation("browser", shown, (*of_preview, errors.InvalidRequest), body=bodies.AccessBody),
        "browser.revoke_access": Operation("browser", {204: _GONE}, of_preview),
        "browser.revoke_share": Operation("browser", {204: _GONE}, (*of_preview, errors.ShareNotFound)),
    }


def _files() -> dict[str, Operation]:
    """Return the files of a generation that the service stores itself."""
    return {
        "files.list_files": Operation(
            "generations",
            {200: Reply("The files.", v1.FileList, headers=_ETAG), 304: _SAME},
            _OWN,
            headers=_IF_NONE_MATCH,
            is_missing=True,
        ),
        "files.get_file": Operation(
            "generations",
            {200: Reply("The file.", kind="application/octet-stream", headers=_ETAG), 304: _SAME},
            (*_OWN, errors.FileNotKept),
            headers=_IF_NONE_MATCH,
            is_missing=True,
        ),
        "files.replace_files": Operation(
            "generations",
            {200: Reply("Kept.", v1.FilesChanged)},
            _EDIT,
            body=bodies.GenerationBody,
            headers=_IF_MATCH,
        ),
        "files.change_files": Operation(
            "generations",
            {200: Reply("Kept.", v1.FilesChanged, headers=_ETAG)},
            _EDIT,
            body=bodies.FilesPatch,
            headers=_IF_MATCH,
        ),
    }


def _rest() -> dict[str, Operation]:
    html = Reply("HTML.", kind="text/html")
    to_page = Reply("To the page, with a session cookie.", kind=None, headers={"Location": "The page."})
    alive = Reply("How it is.", v1.Alive)
    return {
        "session.login": Operation("page", {303: to_page}, (errors.Unauthenticated,), is_open=True, is_missing=True),
        "session.who": Operation("page", {200: Reply("The session.", v1.Session)}, _AUTH),
        "session.exchange": Operation(
            "page", {200: Reply("The session, and its cookie.", v1.Session)}, _AUTH, is_missing=True
        ),
        "session.logout": Operation("page", {204: _GONE}, _AUTH),
        "system.healthz": Operation("operation", {200: alive}, is_open=True),
        "system.readyz": Operation("operation", {200: alive, 503: alive}, is_open=True),
        "system.metrics": Operation(
            "operation", {200: Reply("Prometheus' text format.", kind="text/plain")}, is_open=True
        ),
        "page.index": Operation("page", {200: html}, is_open=True),
        "page.asset": Operation("page", {200: Reply("A file.", kind="*/*")}, is_open=True, is_missing=True),
        "page.favicon": Operation("page", {200: Reply("An icon.", kind="image/svg+xml")}, is_open=True),
        "docs": Operation("page", {200: html}, is_open=True),
        "docs_style": Operation("page", {200: Reply("A style sheet.", kind="text/css")}, is_open=True),
        "openapi": Operation("operation", {200: Reply("This document.")}, is_open=True),
    }


OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    _in_both(Contract.V1) | _in_both(Contract.PLAN) | _only_v1() | _browser() | _files() | _rest()
)
