"""Operations of what previews leave behind: requests, failures and alerts; and of the filters that select them."""

from __future__ import annotations

from preview import errors, people_errors
from preview.http.contracts import alerts, failures, filters, requests
from preview.http.contracts.history import profiles, reported_metrics, traces
from preview.http.core import bodies
from preview.http.core.line_query import FilterQuery
from preview.http.openapi.model import GONE, ErrorKinds, Operation, Reply, links_to


def request_operations() -> dict[str, Operation]:
    """Describe the routes of recorded requests."""
    gone: ErrorKinds = (errors.NoActivePreview, errors.PreviewNotFound)
    missing: ErrorKinds = (*gone, errors.RequestNotFound)
    one = bodies.OneRequestQuery
    listed = Reply(
        "The requests; as Server-Sent Events with `request`, `lost`, `end` and `expired`.",
        requests.RequestList,
        further_kinds=("text/event-stream", "application/har+json"),
        event=requests.RequestItem,
    )
    text = Reply("The request; or text to paste.", requests.RequestShape, further_kinds=("text/plain",))
    return {
        "requests.list_requests": Operation(
            listed,
            (*gone, errors.InvalidFilter, errors.TooManyStreams),
            query=bodies.RequestsQuery,
            headers={"Last-Event-ID": "Number of the last request that the client has."},
        ),
        "requests.one_request": Operation(text, (*missing, errors.RecordIncomplete), query=bodies.RecordQuery),
        "requests.pin": Operation(GONE, (*missing, errors.PinLimitReached), 204, query=one),
        "requests.unpin": Operation(GONE, missing, 204, query=one),
        "requests.capture": Operation(Reply("The setting.", requests.CaptureShape), gone),
        "requests.set_capture": Operation(Reply("The setting.", requests.CaptureShape), gone, body=bodies.CaptureBody),
    }


def trace_operations() -> dict[str, Operation]:
    """Describe the routes of traces and reported metrics."""
    gone: ErrorKinds = (errors.NoActivePreview, errors.PreviewNotFound)
    return {
        "traces.list_traces": Operation(Reply("The traces.", traces.TraceList), gone, query=traces.TracesQuery),
        "traces.one_trace": Operation(
            Reply("The trace.", traces.TraceShape), (*gone, people_errors.TraceNotFound), query=bodies.OneRequestQuery
        ),
        "traces.reported_metrics": Operation(
            Reply("The metrics.", reported_metrics.ReportedMetrics), gone, query=bodies.OneRequestQuery
        ),
    }


def profile_operations() -> dict[str, Operation]:
    """Describe the routes of profiles."""
    kept = Reply("The profile.", profiles.ProfileShape)
    return {
        "profiles.start": Operation(
            kept, (errors.NoActivePreview, people_errors.ProfileUnavailable), 202, body=profiles.ProfileBody
        ),
        "profiles.last": Operation(kept, (errors.NoActivePreview, people_errors.ProfileNotFound)),
    }


def failure_operations() -> dict[str, Operation]:
    """Describe the routes of previews' failures."""
    gone: ErrorKinds = (errors.NoActivePreview, errors.PreviewNotFound)
    return {
        "failures.failures": Operation(
            Reply("The failures.", failures.FailureList),
            (*gone, errors.InvalidFilter),
            query=failures.FailuresQuery,
        ),
        "failures.failure": Operation(
            Reply("The failure.", failures.FailureDetail, further_kinds=("text/plain",)),
            (*gone, errors.FailureNotFound),
            query=failures.FailureQuery,
        ),
        "failures.diagnosis": Operation(
            Reply("The diagnosis.", failures.DiagnosisShape), gone, query=failures.DiagnosisQuery
        ),
    }


def alert_operations() -> dict[str, Operation]:
    """Describe the routes of alerts."""
    rule, firings = Reply("The rule.", alerts.RuleShape), Reply("A page of firings.", alerts.FiringPage)
    made = Reply(
        "The new rule.",
        alerts.RuleShape,
        headers={"Location": "Address of the rule."},
        links=links_to(
            "alert_id", "$response.body#/id", "alerts.get_alert", "alerts.test_alert", "alerts.list_firings",
            "alerts.replace_alert", "alerts.delete_alert",
        ),
    )  # fmt: skip
    wrong: ErrorKinds = (errors.InvalidRequest, errors.InvalidFilter, errors.GenerationNotFound)
    gone: ErrorKinds = (errors.AlertNotFound,)
    no_preview: ErrorKinds = (errors.NoActivePreview, errors.PreviewNotFound)
    return {
        "alerts.list_alerts": Operation(Reply("The rules.", alerts.RuleList)),
        "alerts.create_alert": Operation(made, (*wrong, errors.AlertLimitReached), 201, body=alerts.AlertBody),
        "alerts.get_alert": Operation(rule, gone),
        "alerts.replace_alert": Operation(rule, (*wrong, *gone), body=alerts.AlertBody),
        "alerts.delete_alert": Operation(GONE, gone, 204),
        "alerts.test_alert": Operation(Reply("The firing, with the result.", alerts.FiringShape), gone),
        "alerts.list_firings": Operation(firings, gone, query=alerts.FiringsQuery),
        "firings.preview_firings": Operation(firings, no_preview, query=alerts.PreviewFiringsQuery),
        "firings.try_alert": Operation(
            Reply("What the rule would have done.", alerts.TrialShape),
            (errors.InvalidRequest, errors.InvalidFilter, *no_preview),
            body=alerts.TrialBody,
        ),
    }


def filter_operations() -> dict[str, Operation]:
    """Describe the route that explains a filter."""
    return {
        "filters.explain": Operation(
            Reply("The terms.", filters.FilterShape), (errors.InvalidFilter,), query=FilterQuery
        ),
    }
