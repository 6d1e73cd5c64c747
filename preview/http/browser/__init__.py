"""Browser requests to previews: access, addresses, forwarding, and pages shown instead of a preview."""

from preview.http.browser.access_gate import PreviewAccessGate
from preview.http.browser.addresses import PreviewAddresses
from preview.http.browser.ordinary import serve_ordinary
from preview.http.browser.scopes import is_for_preview

__all__ = ["PreviewAccessGate", "PreviewAddresses", "is_for_preview", "serve_ordinary"]
