"""The people of the running app: owners' share links and guests, presence, comments, and API tokens."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
import trio

from preview.auth import AccessBook, ApiTokens, Audit, GuestBook, Identity
from preview.auth.api_tokens import REVOKED
from preview.auth.audit.rows import Retention
from preview.auth.invitations import Invitations
from preview.auth.members import Members
from preview.auth.oidc import SignIn
from preview.cluster import ANYTHING, Notices
from preview.errors import DatabaseUnavailable
from preview.http.core.live_requests import LiveRequests
from preview.service import Service
from preview.settings import Settings
from preview.together import Comments, EventBook, Presence, RequestVariables, SavedRequests

log = structlog.get_logger(__name__)

# A node whose connection for notices seems to be open and is not.
_LOOK_EACH_S = 30.0
_RETRY_S = 1.0
# The user of the command line on one's own machine.
_LOCAL_USER = "local"


@dataclass(frozen=True, slots=True)
class People:
    """The people, made once when the app starts.

    Attributes:
        access: Access of browsers to previews.
        api_tokens: Tokens that users have made here; without effect if a host authenticates.
        guests: People whom share links have admitted to the page.
        presence: Who looks at which preview.
        comments: Comments on previews.
        saved: Requests that are saved for generations.
        variables: Values for variables of requests.
        live_requests: Open requests whose access can be revoked.
        events: News for users.
        audit: Changes that users have made.
        sign_in: Signs users in at an identity provider; None without one.
        members: People whom invitations have admitted.
        invitations: Links that admit people; without effect if a host authenticates.
    """

    access: AccessBook
    api_tokens: ApiTokens
    guests: GuestBook
    presence: Presence
    comments: Comments
    saved: SavedRequests
    variables: RequestVariables
    live_requests: LiveRequests
    events: EventBook
    audit: Audit
    sign_in: SignIn | None
    members: Members
    invitations: Invitations


def make_people(service: Service, secret: str | None) -> People:
    """Return the people of an app.

    Args:
        service: The open service.
        secret: Signs share links; None makes a key for this process.
    """

    def is_live(preview_id: str) -> bool:
        return service.previews.find(preview_id) is not None

    access = AccessBook(
        secret,
        open_ttl_s=service.settings.open_link_ttl_s,
        max_shares=service.settings.shares_per_preview,
        is_live=is_live,
    )
    presence, live_requests = Presence(is_live), LiveRequests()
    api_tokens = ApiTokens(service.database, lambda token_id: live_requests.cut(f"token {token_id}"))
    members = Members(service.database, api_tokens, lambda user_id: live_requests.cut(f"member {user_id}"))
    return People(
        access,
        api_tokens,
        GuestBook(
            access,
            is_live=is_live,
            is_connected=presence.is_connected,
            on_drop=lambda guest: live_requests.cut(f"guest {guest.id}"),
        ),
        presence,
        Comments(service.database),
        SavedRequests(service.database),
        RequestVariables(service.database, service.sealer),
        live_requests,
        EventBook(),
        Audit(
            service.database,
            service.settings.data_dir / "audit",
            Retention(service.settings.audit_entries, int(service.settings.audit_retention_s * 1000)),
        ),
        None if secret is None or service.settings.oidc_issuer is None else SignIn(service.settings, secret),
        members,
        Invitations(service.database, members),
    )


class Revocations:
    """Ends open requests here whose access another node of the cluster has revoked. ``run`` is its task.

    The notice comes with the revocation's transaction. A node that may have missed one looks the accesses up.

    Args:
        people: The people of this node.
        notices: Notices of all nodes.
    """

    def __init__(self, people: People, notices: Notices) -> None:
        self._people, self._notices = people, notices
        self._revoked = {"token": people.api_tokens.note_revoked, "member": people.members.note_removed}
        self._wake = trio.Event()

    async def run(self) -> None:
        """Follow the notices until cancelled. One task. Cancellation: requests are left open."""
        with self._notices.subscribed(self._on_notice):
            while True:
                with trio.move_on_after(_LOOK_EACH_S):
                    await self._wake.wait()
                self._wake = trio.Event()
                try:
                    await self._look()
                except DatabaseUnavailable as error:
                    log.info("revocations not looked up", why=error.message)
                    await trio.sleep(_RETRY_S)
                    self._wake.set()

    def _on_notice(self, payload: str) -> None:
        if payload == ANYTHING:
            self._wake.set()
        elif payload.startswith(REVOKED):
            self._note(payload.removeprefix(REVOKED))

    def _note(self, key: str) -> None:
        kind, _, name = key.partition(" ")
        if kind in self._revoked:
            self._revoked[kind](name)

    async def _look(self) -> None:
        pairs = [key.split(" ", 1) for key in self._people.live_requests.keys()]  # noqa: SIM118  not a mapping
        for kind, book in (("token", self._people.api_tokens), ("member", self._people.members)):
            names = [name for one, name in pairs if one == kind]
            for gone in await book.gone_among(names) if names else ():
                self._note(f"{kind} {gone}")


def is_operator(settings: Settings, identity: Identity, secret: str | None) -> bool:
    """Return whether the caller is an operator of this service.

    ``PREVIEW_OPERATORS`` lists operators. Without it, the user ``local`` of ``preview serve`` is one, if only this
    machine can sign tokens: with a secret of its own, and no host or identity provider that chooses ids.
    """
    if identity.guest is not None or identity.token_id is not None:
        return False
    if settings.operators is not None:
        return identity.user.id in settings.operators
    return secret is not None and settings.is_own_machine and identity.user.id == _LOCAL_USER
