"""Authentication: bearer tokens, stream tickets, login codes, and the secret that signs them."""

from preview.auth.access import AccessBook, Grant, OpenLink, Share, Statement
from preview.auth.jwt import JwtAuthenticator
from preview.auth.login import Authenticator, Identity, LoginCodes, TicketBox
from preview.auth.tokens import issue_token, load_or_create_secret

__all__ = [
    "AccessBook",
    "Authenticator",
    "Grant",
    "Identity",
    "JwtAuthenticator",
    "LoginCodes",
    "OpenLink",
    "Share",
    "Statement",
    "TicketBox",
    "issue_token",
    "load_or_create_secret",
]
