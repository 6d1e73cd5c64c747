"""Confined worker processes that read untrusted project files for the service, one process for each job.

The names are imported on first use. The worker processes do not load what the service needs to run them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.lazy_imports import importer

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

__getattr__ = importer(
    __name__,
    {
        "Analysis": "preview.worker.analysis",
        "FileDifference": "preview.worker.differences",
        "FilePair": "preview.worker.differences",
        "InProcess": "preview.worker.reader",
        "ProjectReader": "preview.worker.reader",
        "Unreadable": "preview.worker.analysis",
        "WorkerPool": "preview.worker.pool",
        "WorkerReader": "preview.worker.reader",
        "analyse": "preview.worker.analysis",
        "open_worker_pool": "preview.worker.pool",
        "request_of": "preview.worker.analysis",
    },
)
