"""Servers of Node's frameworks, each with its own rules for paths, prefixes and plugins."""

from preview.endpoints.node.router import Mount, Route, Router
from preview.endpoints.node.servers import make_server

__all__ = ["Mount", "Route", "Router", "make_server"]
