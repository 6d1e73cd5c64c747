"""Requests for previews, carried from socket to socket on our own server (plaintext HTTP/1.1)."""

from preview.http.relay.server import Relay, Relayed, open_relay

__all__ = ["Relay", "Relayed", "open_relay"]
