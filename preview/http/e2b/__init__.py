"""The E2B-compatible subset: sandboxes for E2B's own SDKs, under ``/e2b``."""

from preview.http.e2b.app import E2bApp, is_for_e2b
from preview.http.e2b.boxes import Boxes

__all__ = ["Boxes", "E2bApp", "is_for_e2b"]
