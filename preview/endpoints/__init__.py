"""The endpoints of a project: from its source, without running it, and from a running preview's OpenAPI document."""

from preview.endpoints.extraction import (
    extract,
    extract_endpoints,
    find_app,
    find_apps,
    find_health_path,
    merge_endpoints,
    missing_files,
)
from preview.endpoints.model import NODE_NAMES, AppTarget, Endpoint, Extraction, Found, FoundApp
from preview.endpoints.openapi import endpoints_from_openapi

__all__ = [
    "NODE_NAMES",
    "AppTarget",
    "Endpoint",
    "Extraction",
    "Found",
    "FoundApp",
    "endpoints_from_openapi",
    "extract",
    "extract_endpoints",
    "find_app",
    "find_apps",
    "find_health_path",
    "merge_endpoints",
    "missing_files",
]
