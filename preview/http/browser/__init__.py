"""Browser requests to previews: access, addresses, forwarding, and pages shown instead of a preview."""

from preview.http.browser.access_gate import PreviewAccessGate
from preview.http.browser.addresses import PreviewAddresses, SandboxPort
from preview.http.browser.node_router import ClusterRouter, open_routing
from preview.http.browser.ordinary import carry_exchange, check_exchange, serve_ordinary
from preview.http.browser.pages import error_answer
from preview.http.browser.scopes import Receive, Scope, Send, head_of, is_for_preview, mount_of, send_answer
from preview.http.browser.sockets import serve_socket

__all__ = [
    "ClusterRouter",
    "PreviewAccessGate",
    "PreviewAddresses",
    "Receive",
    "SandboxPort",
    "Scope",
    "Send",
    "carry_exchange",
    "check_exchange",
    "error_answer",
    "head_of",
    "is_for_preview",
    "mount_of",
    "open_routing",
    "send_answer",
    "serve_ordinary",
    "serve_socket",
]
