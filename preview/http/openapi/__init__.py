"""OpenAPI 3.1 of every route, and a page of it to read."""

from preview.http.openapi.install import install_openapi

__all__ = ["install_openapi"]
