"""The one filter language, for log lines and for recorded requests."""

from preview.errors import InvalidFilter
from preview.logs.filter.access import Access, KnownRequests
from preview.logs.filter.filter import NO_FILTER, Filter, Resolved
from preview.logs.filter.parse import MAX_CHARACTERS, parse_filter
from preview.logs.filter.terms import TermInfo

__all__ = [
    "MAX_CHARACTERS",
    "NO_FILTER",
    "Access",
    "Filter",
    "InvalidFilter",
    "KnownRequests",
    "Resolved",
    "TermInfo",
    "parse_filter",
]
