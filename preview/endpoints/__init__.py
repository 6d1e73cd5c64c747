"""The endpoints of a project: from its source, without running it, and from its running preview.

A running preview has an OpenAPI document, or reports its application's route table, or both.
"""

from preview.endpoints.application import RouteTable, read_route_table
from preview.endpoints.extraction import (
    extract,
    extract_endpoints,
    find_app,
    find_apps,
    find_health_path,
    missing_files,
)
from preview.endpoints.merging import merge_listings
from preview.endpoints.model import (
    MAX_UNREAD,
    NODE_NAMES,
    AppTarget,
    Endpoint,
    Extraction,
    Found,
    FoundApp,
    Listing,
    Origin,
)
from preview.endpoints.openapi import endpoints_from_openapi

__all__ = [
    "MAX_UNREAD",
    "NODE_NAMES",
    "AppTarget",
    "Endpoint",
    "Extraction",
    "Found",
    "FoundApp",
    "Listing",
    "Origin",
    "RouteTable",
    "endpoints_from_openapi",
    "extract",
    "extract_endpoints",
    "find_app",
    "find_apps",
    "find_health_path",
    "merge_listings",
    "missing_files",
    "read_route_table",
]
