"""Routes that send something to a preview: requests, WebSockets, and the requests that are saved for it."""

from preview.http.routes.calls.proxied import carry_call, carry_check, proxy_routes
from preview.http.routes.calls.saved import saved_routes
from preview.http.routes.calls.sockets import call_socket_routes

__all__ = ["call_socket_routes", "carry_call", "carry_check", "proxy_routes", "saved_routes"]
