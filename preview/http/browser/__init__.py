"""Browser requests to previews: access, addresses, forwarding, and pages shown instead of a preview."""

from preview.http.browser.access_gate import PreviewDoorman
from preview.http.browser.ordinary import serve_ordinary
from preview.http.browser.places import Places
from preview.http.browser.scopes import is_for_preview

__all__ = ["Places", "PreviewDoorman", "is_for_preview", "serve_ordinary"]
