"""Authentication: bearer tokens, stream tickets, login codes, and the secret that signs them.

Each name is imported on first use (PEP 562): a command that needs a token does not load the database's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preview.lazy_imports import importer

if TYPE_CHECKING:
    from preview.auth.access import AccessBook, Grant, OpenLink, Role, Share, Statement
    from preview.auth.api_tokens import ApiToken, ApiTokens
    from preview.auth.audit.entry import AuditEntry
    from preview.auth.audit.trail import Audit
    from preview.auth.guests import GUEST_ROLES, Guest, GuestBook
    from preview.auth.jwt import JwtAuthenticator
    from preview.auth.login import Authenticator, Identity, LoginCodes, TicketBox
    from preview.auth.token_roles import TokenRole
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

__getattr__ = importer(
    __name__,
    {
        "AccessBook": "preview.auth.access",
        "ApiToken": "preview.auth.api_tokens",
        "ApiTokens": "preview.auth.api_tokens",
        "Audit": "preview.auth.audit.trail",
        "AuditEntry": "preview.auth.audit.entry",
        "Authenticator": "preview.auth.login",
        "GUEST_ROLES": "preview.auth.guests",
        "Grant": "preview.auth.access",
        "Guest": "preview.auth.guests",
        "GuestBook": "preview.auth.guests",
        "Identity": "preview.auth.login",
        "JwtAuthenticator": "preview.auth.jwt",
        "LoginCodes": "preview.auth.login",
        "OpenLink": "preview.auth.access",
        "Role": "preview.auth.access",
        "Share": "preview.auth.access",
        "Statement": "preview.auth.access",
        "TicketBox": "preview.auth.login",
        "TokenRole": "preview.auth.token_roles",
        "issue_token": "preview.auth.tokens",
        "load_or_create_secret": "preview.auth.tokens",
    },
)
