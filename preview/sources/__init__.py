"""A project's files as text: found, read and parsed within limits, never run.

Each name is imported on first use (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.lazy_imports import importer

if TYPE_CHECKING:
    from preview.sources.files import Sources, is_environment, is_environment_at, without_collector

__all__ = ["Sources", "is_environment", "is_environment_at", "without_collector"]

__getattr__ = importer(
    __name__,
    {
        "Sources": "preview.sources.files",
        "is_environment": "preview.sources.files",
        "is_environment_at": "preview.sources.files",
        "without_collector": "preview.sources.files",
    },
)
