"""Parameters and responses of each route: the table that the OpenAPI document is made from. A test compares both."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from preview import errors, people_errors
from preview.http.contracts import ANSWERS, call_events, data, generations, log_events, v1
from preview.http.contracts.shared import Ticket
from preview.http.core import bodies
from preview.http.core.version_bodies import ChangeQuery, NoteQuery
from preview.http.openapi.model import GONE, ErrorKinds, Operation, Reply, links_to
from preview.http.openapi.people_operations import (
    account_operations,
    event_operations,
    flag_operations,
    invitation_operations,
    operator_operations,
    together_operations,
)
from preview.http.openapi.record_operations import (
    alert_operations,
    failure_operations,
    filter_operations,
    profile_operations,
    request_operations,
    trace_operations,
)
from preview.http.openapi.replay_operations import probe_operations, replay_operations
from preview.http.openapi.settings_operations import settings_operations
from preview.http.openapi.version_operations import (
    import_operations,
    metrics_operations,
    naming_operations,
    removal_operations,
    version_operations,
)
from preview.logs import Contract

# In addition to the errors of every API route; see ``provider``.
_LAUNCH: ErrorKinds = (
    errors.InvalidRequest,
    errors.ProjectMismatch,
    errors.InvalidGeneration,
    errors.AlreadyRunning,
    errors.LimitReached,
    errors.NoPortFree,
    errors.TooManyLaunches,
    people_errors.IsolationBelowMinimum,
    people_errors.LaunchesStopped,
    errors.DiskFull,
    errors.LaunchFailed,
    errors.EnvironmentFailed,
    errors.StartupTimeout,
    errors.SealedTextUnreadable,
)
_PROXY: ErrorKinds = (
    errors.InvalidRequest,
    errors.InvalidPath,
    errors.PreviewTokenRejected,
    errors.BodyTooLarge,
    errors.UpstreamFailed,
    errors.PreviewUnavailable,
    errors.UpstreamTimeout,
)
_V1_PROXY: ErrorKinds = (
    *_PROXY,
    errors.TooManyStreams,
    errors.SealedTextUnreadable,
    people_errors.TooFast,
    people_errors.UnresolvedVariables,
)

_UPLOAD: ErrorKinds = (errors.InvalidRequest, errors.InvalidGeneration, errors.GenerationLimitReached, errors.TooLarge)
_EDIT: ErrorKinds = (
    errors.InvalidRequest,
    errors.InvalidGeneration,
    errors.GenerationReadOnly,
    errors.PreconditionFailed,
    errors.TooLarge,
)
_NO_PREVIEW: ErrorKinds = (errors.NoActivePreview,)
_STREAM: ErrorKinds = (
    errors.InvalidFilter,
    errors.NoActivePreview,
    errors.PreviewNotFound,
    errors.TooManyStreams,
)
# In a cluster, the log of a preview that waits for a node is not open yet.
_LIVE_STREAM: ErrorKinds = (*_STREAM, errors.PreviewUnavailable)


_PREFER = {"Prefer": "`wait=SECONDS`: respond when the preview is healthy (RFC 7240)."}
_APPLIED = {"Preference-Applied": "The waiting time that was granted."}
_LOCATION = {"Location": "Address of the preview."}
_IF_MATCH = {"If-Match": "Change the files only if their `ETag` is still this one (RFC 9110)."}
_IF_NONE_MATCH = {"If-None-Match": "Respond 304 if the `ETag` is still this one (RFC 9110)."}
_ETAG = {"ETag": "Entity tag of the content."}
_SAME = {304: Reply("Not modified since the given `ETag`; the response has no body.", kind=None, headers=_ETAG)}


def _in_both(contract: Contract) -> dict[str, Operation]:
    """Return the seven endpoints and the ticket route, in one contract's form."""
    is_plan, name, answers = contract is Contract.PLAN, contract.value, ANSWERS[contract]
    own_id = "$response.body#/generationId" if is_plan else "$response.body#/generation_id"
    links = links_to(
        "generation_id", own_id, f"{name}.status", f"{name}.stop", f"{name}_logs.stream", f"{name}_logs.ticket"
    )
    launched = Reply("Launched.", answers.launched, headers=_APPLIED if is_plan else _APPLIED | _LOCATION, links=links)
    stopped = GONE if answers.stopped is None else Reply("The preview was stopped.", answers.stopped)
    endpoints = Operation(Reply("The endpoints of the generation.", answers.endpoints))
    events = Reply(
        "Events: lines, `status`, `gap`, `end`, `expired`; in NDJSON, one object per line.",
        kind="text/event-stream",
        further_kinds=("application/x-ndjson",),
        event=log_events.PlanLogEvent if is_plan else log_events.LogEvent,
    )
    page = Reply(
        "A page of lines, or the lines as a file.",
        answers.log_page,
        further_kinds=("application/x-ndjson", "text/plain", "text/csv"),
        event=log_events.PlanLogEvent if is_plan else log_events.LogEvent,
    )
    return {
        f"{name}.launch": Operation(
            launched,
            _LAUNCH,
            answers.launch_status,
            body=bodies.PlanLaunchBody if is_plan else bodies.V1LaunchBody,
            headers=_PREFER,
        ),
        f"{name}.status": Operation(Reply("The status of the preview.", answers.status), _NO_PREVIEW),
        f"{name}.stop": Operation(stopped, _NO_PREVIEW, 204 if answers.stopped is None else 200),
        f"{name}.endpoints": endpoints,
        f"{name}.preview_endpoints": endpoints,
        f"{name}.config": Operation(Reply("The limits that apply.", answers.config)),
        f"{name}_proxy.request_": Operation(
            Reply(
                "The preview's response; with `stream`, its events.",
                answers.proxied,
                further_kinds=() if is_plan else ("text/event-stream",),
                event=None if is_plan else call_events.CallEvent,
            ),
            _PROXY if is_plan else _V1_PROXY,
            body=bodies.EnvelopeBody if is_plan else bodies.V1EnvelopeBody,
            headers={"X-Preview-Token": "The preview token of the launch."},
        ),
        f"{name}_logs.stream": Operation(
            events,
            _LIVE_STREAM,
            others={204: Reply("The preview has ended, and the client already has every line.", kind=None)},
            query=bodies.StreamQuery,
            headers={
                "Last-Event-ID": "Continue right after this line.",
                "Accept": "Format; default: `text/event-stream`.",
            },
        ),
        f"{name}_log_sockets.socket": Operation(
            Reply("A WebSocket; its messages are in docs/api.md.", kind=None),
            (*_LIVE_STREAM, errors.UpgradeRequired),
            101,
            query=bodies.StreamQuery,
        ),
        f"{name}_history.history": Operation(
            page, _STREAM, query=bodies.HistoryQuery, headers={"Accept": "Format; `format` overrides it."}
        ),
        f"{name}_logs.ticket": Operation(Reply("The ticket.", Ticket), (errors.NoActivePreview, errors.TooManyStreams)),
    }


def _previews() -> dict[str, Operation]:
    """Describe the routes of previews that only ``v1`` has."""
    restarted = Reply(
        "The preview: the same one if it was running, otherwise a new one.",
        v1.Launched,
        headers=_APPLIED | _LOCATION,
        links=links_to("preview_id", "$response.body#/id", "previews.get_preview"),
    )
    return {
        "previews.list_previews": Operation(Reply("A page of previews.", v1.InstancePage), query=bodies.ListQuery),
        "previews.get_preview": Operation(Reply("The preview.", v1.WatchedInstance), (errors.PreviewNotFound,)),
        "previews.new_token": Operation(Reply("The new preview token.", v1.PreviewToken), _NO_PREVIEW, 201),
        "previews.services": Operation(Reply("The servers.", v1.Services), _NO_PREVIEW),
        "previews.extend": Operation(Reply("The extended preview.", v1.Instance), _NO_PREVIEW, body=bodies.ExtendBody),
        "previews.restart": Operation(restarted, _LAUNCH, 201, headers=_PREFER),
    }


def _data() -> dict[str, Operation]:
    """Describe the routes of previews' data."""
    gone = (errors.NoActivePreview, errors.DataUnavailable)
    kept = (*gone, errors.SnapshotLimitReached)
    replaced: ErrorKinds = (*kept, errors.SnapshotNotFound, errors.TooManyLaunches, errors.LaunchFailed)
    forked = Reply(
        "The new generation.", generations.GenerationShape, headers={"Location": "Address of the generation."}
    )
    return {
        "data.databases": Operation(Reply("The databases.", data.Databases), gone),
        "data.rows": Operation(Reply("A page of the table.", data.TablePage), gone, query=bodies.RowsQuery),
        "data.statement": Operation(
            Reply("The rows.", data.Rows), (*gone, errors.QueryRefused), body=bodies.StatementBody
        ),
        "data.reset": Operation(Reply("The data was replaced.", data.ReplacedShape), replaced),
        "snapshots.save": Operation(
            Reply("The data snapshot.", data.SnapshotShape), kept, 201, body=bodies.SnapshotBody
        ),
        "snapshots.list_snapshots": Operation(Reply("The data snapshots.", data.SnapshotList)),
        "snapshots.restore": Operation(Reply("The data was replaced.", data.ReplacedShape), replaced),
        "snapshots.delete": Operation(GONE, (errors.SnapshotNotFound,), 204),
        "snapshots.list_removed": Operation(Reply("The removed data snapshots.", data.RemovedSnapshotList)),
        "snapshots.undelete": Operation(
            Reply("The data snapshot.", data.SnapshotShape), (errors.SnapshotNotFound, errors.SnapshotLimitReached)
        ),
        "snapshots.diff": Operation(Reply("What differs.", data.ComparisonShape), (*gone, errors.SnapshotNotFound)),
        "snapshots.fork": Operation(
            forked,
            (*_UPLOAD, *kept, errors.SnapshotNotFound, errors.GenerationReadOnly),
            201,
            body=bodies.ForkBody,
        ),
    }


def _browser() -> dict[str, Operation]:
    """Describe the routes of access in a browser."""
    link, access = Reply("The share link.", v1.ShareShape), Reply("Who can open the preview.", v1.AccessShape)
    share_errors = (errors.NoActivePreview, errors.ShareLimitReached)
    gone_errors = (errors.NoActivePreview, errors.ShareNotFound)
    return {
        "browser.open_": Operation(Reply("The one-time link.", v1.OpenLinkShape), _NO_PREVIEW, body=bodies.OpenBody),
        "browser.share": Operation(link, share_errors, 201, body=bodies.ShareBody),
        "browser.access": Operation(access, _NO_PREVIEW),
        "browser.set_access": Operation(access, _NO_PREVIEW, body=bodies.AccessBody),
        "browser.revoke_access": Operation(GONE, _NO_PREVIEW, 204),
        "browser.revoke_share": Operation(GONE, gone_errors, 204),
    }


def _generations() -> dict[str, Operation]:
    """Describe the routes of generations, and of the files that the service stores itself."""
    # What clients usually request for a generation that they have just uploaded.
    next_routes = (
        "generations.get_generation",
        "generations.delete_generation",
        "plans.plan",
        "v1.endpoints",
        "v1.launch",
    )
    kept = Reply(
        "The stored generation.",
        generations.GenerationShape,
        headers={"Location": "Address of the generation."},
        links=links_to("generation_id", "$response.body#/id", *next_routes),
    )
    files = Reply("The files.", generations.FileList, headers=_ETAG)
    file = Reply("The file.", kind="application/octet-stream", headers=_ETAG)
    archive = Reply("The archive.", kind="application/octet-stream", headers=_ETAG)
    replaced = Reply("The stored change.", generations.FilesChanged)
    changed = Reply("The stored change.", generations.FilesChanged, headers=_ETAG)
    return {
        "generations.create_generation": Operation(
            kept, _UPLOAD, 201, query=NoteQuery, body=bodies.GenerationBody, is_missing=True
        ),
        "generations.list_generations": Operation(
            Reply("A page of generations.", generations.GenerationPage), query=bodies.PageQuery, is_missing=True
        ),
        "generations.get_generation": Operation(Reply("The generation.", generations.GenerationShape)),
        "plans.plan": Operation(
            Reply("The plan.", generations.Plan), (errors.InvalidGeneration, errors.TooComplex, errors.AnalysisFailed)
        ),
        **naming_operations(kept),
        **import_operations(_UPLOAD, _EDIT, {"Location": "Address of the generation."}),
        "generations.delete_generation": Operation(GONE, (errors.AlreadyRunning,), 204),
        "files.list_files": Operation(files, others=_SAME, headers=_IF_NONE_MATCH, is_missing=True),
        "files.get_file": Operation(file, (errors.FileNotKept,), others=_SAME, headers=_IF_NONE_MATCH, is_missing=True),
        "files.download": Operation(
            archive,
            (errors.TooManyStreams,),
            query=bodies.ArchiveQuery,
            others=_SAME,
            headers=_IF_NONE_MATCH,
            is_missing=True,
        ),
        "files.replace_files": Operation(
            replaced, _EDIT, query=ChangeQuery, body=bodies.GenerationBody, headers=_IF_MATCH
        ),
        "files.change_files": Operation(changed, _EDIT, query=ChangeQuery, body=bodies.FilesPatch, headers=_IF_MATCH),
    }


def _page() -> dict[str, Operation]:
    """Describe the routes of the page, its sessions, and the readable document."""
    html = Reply("An HTML page.", kind="text/html")
    to_page = Reply("Redirect to the page; sets a session cookie.", kind=None, headers={"Location": "The page."})
    away = Reply("Redirect to the identity provider.", kind=None, headers={"Location": "The provider's page."})
    exchanged = Reply("The session; the response sets its cookie.", v1.Session)
    return {
        "session.login": Operation(to_page, (errors.Unauthenticated,), 303, is_open=True, is_missing=True),
        "session.at_provider": Operation(away, (errors.Unauthenticated,), 303, is_open=True, is_missing=True),
        "session.from_provider": Operation(to_page, (errors.Unauthenticated,), 303, is_open=True, is_missing=True),
        "session.who": Operation(Reply("The session.", v1.Session)),
        "session.exchange": Operation(exchanged, is_missing=True),
        "session.logout": Operation(GONE, status=204),
        "page.index": Operation(html, is_open=True),
        "page.asset": Operation(Reply("A file.", kind="*/*"), is_open=True, is_missing=True),
        "page.favicon": Operation(Reply("An icon.", kind="image/svg+xml"), is_open=True),
        "docs": Operation(html, is_open=True),
        "docs_style": Operation(Reply("A style sheet.", kind="text/css"), is_open=True),
    }


def _operation() -> dict[str, Operation]:
    """Describe the routes for operators."""
    alive = Reply("State of the service.", v1.Alive)
    return {
        "system.healthz": Operation(alive, is_open=True),
        "system.readyz": Operation(alive, others={503: alive}, is_open=True),
        "system.metrics": Operation(Reply("Metrics in Prometheus' text format.", kind="text/plain"), is_open=True),
        "openapi": Operation(Reply("This document."), is_open=True),
    }


BY_TAG: Mapping[str, Mapping[str, Operation]] = MappingProxyType(
    {
        "preview (v1)": _in_both(Contract.V1),
        "preview (plan)": _in_both(Contract.PLAN),
        "previews": _previews(),
        "data": _data(),
        "alerts": alert_operations(),
        "failures": failure_operations(),
        "requests": request_operations(),
        "traces": trace_operations(),
        "profiles": profile_operations(),
        "filters": filter_operations(),
        "replay": replay_operations(),
        "launch settings": settings_operations(),
        "probes": probe_operations(),
        "metrics": metrics_operations(),
        "browser": _browser(),
        "together": together_operations(),
        "account": account_operations(),
        "events": event_operations(),
        "operator": operator_operations(),
        "flags": flag_operations(),
        "invitations": invitation_operations(),
        "generations": _generations(),
        "versions": version_operations(),
        "removed": removal_operations(),
        "page": _page(),
        "operation": _operation(),
    }
)
"""Each route's operation, by tag."""
