"""Confined worker processes that read untrusted project files for the service, one process for each job.

The names are imported on first use. The worker processes do not load what the service needs to run them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preview.worker.analysis import Analysis, Unreadable, analyse, request_of
    from preview.worker.differences import FileDifference, FilePair
    from preview.worker.pool import WorkerPool, open_worker_pool
    from preview.worker.reader import InProcess, ProjectReader, WorkerReader

__all__ = [
    "Analysis",
    "FileDifference",
    "FilePair",
    "InProcess",
    "ProjectReader",
    "Unreadable",
    "WorkerPool",
    "WorkerReader",
    "analyse",
    "open_worker_pool",
    "request_of",
]

_MODULES = {
    "Analysis": "analysis",
    "FileDifference": "differences",
    "FilePair": "differences",
    "InProcess": "reader",
    "ProjectReader": "reader",
    "Unreadable": "analysis",
    "WorkerPool": "pool",
    "WorkerReader": "reader",
    "analyse": "analysis",
    "open_worker_pool": "pool",
    "request_of": "analysis",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
