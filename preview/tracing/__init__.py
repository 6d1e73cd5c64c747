"""Traces of the requests to a preview: spans that its processes report, kept in memory and searched for causes.

Nothing in a span is verified. A span can only be one of its own preview, which the channel that it came on tells.
"""

from preview.tracing.hints import Hint, HintKind, hints_of
from preview.tracing.keeper import TraceKeeper
from preview.tracing.preview_metrics import MetricSeries, PreviewMetrics
from preview.tracing.preview_traces import PreviewTraces, Trace, untraced
from preview.tracing.profile import (
    LONGEST_S,
    PROFILE,
    FunctionTime,
    Profile,
    ProfileNode,
    Profiles,
    ProfileState,
    functions_of,
)
from preview.tracing.report import MOST_LINE, REPORT, read_report
from preview.tracing.span import Kind, Span, is_span_id, is_trace_id
from preview.tracing.traceparent import PARENT_FIELD, parent_field, read_parent, trace_of_request

__all__ = [
    "LONGEST_S",
    "MOST_LINE",
    "PARENT_FIELD",
    "PROFILE",
    "REPORT",
    "FunctionTime",
    "Hint",
    "HintKind",
    "Kind",
    "MetricSeries",
    "PreviewMetrics",
    "PreviewTraces",
    "Profile",
    "ProfileNode",
    "ProfileState",
    "Profiles",
    "Span",
    "Trace",
    "TraceKeeper",
    "functions_of",
    "hints_of",
    "is_span_id",
    "is_trace_id",
    "parent_field",
    "read_parent",
    "read_report",
    "trace_of_request",
    "untraced",
]
