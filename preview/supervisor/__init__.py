"""Supervision of previews: one supervisor task each, one manager for all, and reconciliation after a crash."""

from preview.supervisor.diagnosis.report import Report, report_on
from preview.supervisor.launch.project_analysis import AnalysisCache
from preview.supervisor.launch.start_queue import StartQueue, SupervisorContext
from preview.supervisor.launch.variables import FIXED as SERVICE_VARIABLES
from preview.supervisor.launch.workspace import preview_folders
from preview.supervisor.life.run import run_preview
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.ahead import PushQueue, run_builder
from preview.supervisor.manager.cleanup import Reconciled, clean_once, reconcile, run_cleanup
from preview.supervisor.manager.data import DataManager, Replaced
from preview.supervisor.manager.manager import PreviewManager
from preview.supervisor.manager.trials import TrialRequest
from preview.supervisor.preview.confinement import Confinement
from preview.supervisor.preview.control import FilesChange, FirstData, Launched, LaunchRequest, Reloaded
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.new_record import hash_token
from preview.supervisor.preview.service_log import EVENTS, log_call
from preview.user import User

__all__ = [
    "EVENTS",
    "SERVICE_VARIABLES",
    "AnalysisCache",
    "Confinement",
    "DataManager",
    "FilesChange",
    "FirstData",
    "LaunchRequest",
    "Launched",
    "LivePreview",
    "PreviewManager",
    "PushQueue",
    "Reconciled",
    "Reloaded",
    "Replaced",
    "Report",
    "StartQueue",
    "SupervisorContext",
    "TrialRequest",
    "User",
    "check_free_disk",
    "clean_once",
    "hash_token",
    "log_call",
    "preview_folders",
    "reconcile",
    "report_on",
    "run_builder",
    "run_cleanup",
    "run_preview",
]
