"""OpenAPI 3.1 document of every route, and a readable page of it."""

from preview.http.openapi.install import install_openapi

__all__ = ["install_openapi"]
