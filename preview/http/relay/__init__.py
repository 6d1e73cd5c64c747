"""Relay of requests to previews, from socket to socket, for this service's own server (plaintext HTTP/1.1)."""

from preview.http.relay.server import Relay, Relayed, open_relay

__all__ = ["Relay", "Relayed", "open_relay"]
