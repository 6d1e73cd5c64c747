"""Routes about people: sessions, invitations, together at one preview, accounts, operators."""

from preview.http.routes.people.account import account_routes
from preview.http.routes.people.agents import agent_routes
from preview.http.routes.people.events import event_routes, telling_changes
from preview.http.routes.people.flags import flag_routes
from preview.http.routes.people.invitations import invitation_routes
from preview.http.routes.people.operator import operator_routes
from preview.http.routes.people.sessions import session_routes
from preview.http.routes.people.together import together_routes

__all__ = [
    "account_routes",
    "agent_routes",
    "event_routes",
    "flag_routes",
    "invitation_routes",
    "operator_routes",
    "session_routes",
    "telling_changes",
    "together_routes",
]
