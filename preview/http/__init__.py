"""The HTTP side: routes, response models, streams, errors, lifespan and server."""

from preview.http.app import PreviewApp, create_app
from preview.http.backend import Authenticate
from preview.http.server import load_config, serve

__all__ = ["Authenticate", "PreviewApp", "create_app", "load_config", "serve"]
