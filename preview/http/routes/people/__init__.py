"""Routes about people: together at one preview, accounts, operators."""

from preview.http.routes.people.account import account_routes
from preview.http.routes.people.operator import operator_routes
from preview.http.routes.people.together import together_routes

__all__ = ["account_routes", "operator_routes", "together_routes"]
