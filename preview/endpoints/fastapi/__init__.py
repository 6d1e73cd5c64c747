"""FastAPI and Starlette, read from source."""

from preview.endpoints.fastapi.extract import Found, list_endpoints
from preview.endpoints.fastapi.find import find_fastapi_app
from preview.endpoints.fastapi.interpreter import Budget, Interpreter, OutOfBudget

__all__ = ["Budget", "Found", "Interpreter", "OutOfBudget", "find_fastapi_app", "list_endpoints"]
