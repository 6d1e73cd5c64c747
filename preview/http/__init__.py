"""The HTTP side: routes, each JSON answer as a model, streams, errors, lifespan, server."""

from preview.http.app import PreviewApp, create_app
from preview.http.backend import Authenticate
from preview.http.server import load_config, serve

__all__ = ["Authenticate", "PreviewApp", "create_app", "load_config", "serve"]
