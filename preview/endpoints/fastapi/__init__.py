"""FastAPI and Starlette, read from source."""

from preview.endpoints.fastapi.extract import list_endpoints
from preview.endpoints.fastapi.find import find_fastapi_apps
from preview.endpoints.fastapi.registration import FastAPIFramework

__all__ = ["FastAPIFramework", "find_fastapi_apps", "list_endpoints"]
