"""The life of previews: one supervisor each, a manager that owns them all, reconciliation after a crash."""

from preview.supervisor.ahead import PushQueue, run_builder
from preview.supervisor.cleanup import clean_once, run_cleanup
from preview.supervisor.confinement import Confinement
from preview.supervisor.disk import check_free_disk
from preview.supervisor.interface import FilesChange, Launched, LaunchRequest, Reloaded, User
from preview.supervisor.manager import PreviewManager
from preview.supervisor.preview import LivePreview, hash_token
from preview.supervisor.project_analysis import AnalysisCache
from preview.supervisor.reconcile import Reconciled, reconcile
from preview.supervisor.run import SupervisorContext, run_preview
from preview.supervisor.service_log import EVENTS, log_call
from preview.supervisor.start_queue import StartQueue

__all__ = [
    "EVENTS",
    "AnalysisCache",
    "Confinement",
    "FilesChange",
    "LaunchRequest",
    "Launched",
    "LivePreview",
    "PreviewManager",
    "PushQueue",
    "Reconciled",
    "Reloaded",
    "StartQueue",
    "SupervisorContext",
    "User",
    "check_free_disk",
    "clean_once",
    "hash_token",
    "log_call",
    "reconcile",
    "run_builder",
    "run_cleanup",
    "run_preview",
]
