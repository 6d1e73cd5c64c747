"""FastAPI and Starlette, read from source."""

from preview.endpoints.fastapi.extract import FastAPIFramework, find_fastapi_apps, list_endpoints

__all__ = ["FastAPIFramework", "find_fastapi_apps", "list_endpoints"]
