"""Authentication: bearer tokens, stream tickets, login codes, and the secret that signs them."""

from preview.auth.access import AccessBook, Grant, OpenLink, Role, Share, Statement
from preview.auth.api_tokens import ApiToken, ApiTokens, TokenRole
from preview.auth.audit import Audit, AuditEntry
from preview.auth.guests import GUEST_ROLES, Guest, GuestBook
from preview.auth.jwt import JwtAuthenticator
from preview.auth.login import Authenticator, Identity, LoginCodes, TicketBox
from preview.auth.tokens import issue_token, load_or_create_secret

__all__ = [
    "GUEST_ROLES",
    "AccessBook",
    "ApiToken",
    "ApiTokens",
    "Audit",
    "AuditEntry",
    "Authenticator",
    "Grant",
    "Guest",
    "GuestBook",
    "Identity",
    "JwtAuthenticator",
    "LoginCodes",
    "OpenLink",
    "Role",
    "Share",
    "Statement",
    "TicketBox",
    "TokenRole",
    "issue_token",
    "load_or_create_secret",
]
