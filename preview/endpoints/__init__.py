"""The endpoints of a project: from its source, without running it, and from its running preview.

A running preview has an OpenAPI document, or reports its application's route table, or both.

Each name is imported on first use (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.lazy_imports import importer

if TYPE_CHECKING:
    from preview.endpoints.application import RouteTable, read_route_table
    from preview.endpoints.extraction import (
        extract,
        extract_endpoints,
        find_app,
        find_apps,
        find_health_path,
        is_shadowed,
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
    "is_shadowed",
    "merge_listings",
    "missing_files",
    "read_route_table",
]

__getattr__ = importer(
    __name__,
    {
        "AppTarget": "preview.endpoints.model",
        "Endpoint": "preview.endpoints.model",
        "Extraction": "preview.endpoints.model",
        "Found": "preview.endpoints.model",
        "FoundApp": "preview.endpoints.model",
        "Listing": "preview.endpoints.model",
        "MAX_UNREAD": "preview.endpoints.model",
        "NODE_NAMES": "preview.endpoints.model",
        "Origin": "preview.endpoints.model",
        "RouteTable": "preview.endpoints.application",
        "endpoints_from_openapi": "preview.endpoints.openapi",
        "extract": "preview.endpoints.extraction",
        "extract_endpoints": "preview.endpoints.extraction",
        "find_app": "preview.endpoints.extraction",
        "find_apps": "preview.endpoints.extraction",
        "find_health_path": "preview.endpoints.extraction",
        "is_shadowed": "preview.endpoints.extraction",
        "merge_listings": "preview.endpoints.merging",
        "missing_files": "preview.endpoints.extraction",
        "read_route_table": "preview.endpoints.application",
    },
)
