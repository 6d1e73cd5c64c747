"""The life of previews: one supervisor each, a manager that owns them all, reconciliation after a crash."""

from preview.supervisor.active import ActivePreview, hash_token
from preview.supervisor.ahead import PushQueue, run_builder
from preview.supervisor.cleanup import clean_once, run_cleanup
from preview.supervisor.disk import check_free_disk
from preview.supervisor.holding import Holding
from preview.supervisor.interface import FilesChange, Launched, LaunchRequest, Reloaded, User
from preview.supervisor.manager import PreviewManager
from preview.supervisor.reconcile import Reconciled, reconcile
from preview.supervisor.run import House, run_preview
from preview.supervisor.service_log import EVENTS, log_call
from preview.supervisor.study import Studies
from preview.supervisor.turns import Turns

__all__ = [
    "EVENTS",
    "ActivePreview",
    "FilesChange",
    "Holding",
    "House",
    "LaunchRequest",
    "Launched",
    "PreviewManager",
    "PushQueue",
    "Reconciled",
    "Reloaded",
    "Studies",
    "Turns",
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
