"""The life of previews: one supervisor each, a manager that owns them all, reconciliation after a crash."""

from preview.supervisor.active import ActivePreview, hash_token
from preview.supervisor.cleanup import clean_once, run_cleanup
from preview.supervisor.interface import Launched, LaunchRequest, User
from preview.supervisor.manager import PreviewManager
from preview.supervisor.reconcile import Reconciled, reconcile
from preview.supervisor.run import House, run_preview

__all__ = [
    "ActivePreview",
    "House",
    "LaunchRequest",
    "Launched",
    "PreviewManager",
    "Reconciled",
    "User",
    "clean_once",
    "hash_token",
    "reconcile",
    "run_cleanup",
    "run_preview",
]
