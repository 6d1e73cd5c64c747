"""Every route of the app."""

from preview.http.routes.install import install_routes

__all__ = ["install_routes"]
