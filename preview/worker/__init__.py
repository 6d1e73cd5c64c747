"""Confined worker processes that read untrusted project files for the service, one process for each job."""

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
