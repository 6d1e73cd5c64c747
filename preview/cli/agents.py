"""The connection of ``preview mcp`` to a service, and the file of its token."""

from __future__ import annotations

import hashlib
import os
from http import HTTPStatus
from pathlib import Path

from preview.cli.client import find_target, tokens_of, trusted
from preview.cli.exits import CommandFailed
from preview.client.asynchronous import AsyncClient
from preview.client.calls import Blocking, Call, Pause, Reply
from preview.client.errors import ClientError


class _RenewingClient(AsyncClient):
    """Gets another token when one has expired: an agent's client keeps ``preview mcp`` open for days."""

    async def _do(self, action: Call | Pause | Blocking) -> object:
        reply = await super()._do(action)
        if isinstance(reply, Reply) and reply.status == HTTPStatus.UNAUTHORIZED:
            self.address.renew()
            reply = await super()._do(action)
        return reply


def agent_client(url: str | None, ca: Path | None = None) -> AsyncClient:
    """Return the asynchronous client of the service that ``find_target`` finds; its token is renewed when it expires.

    Raises:
        NoService, CommandFailed, UsageMistake: See ``open_api``.
    """
    target = find_target(url)
    try:
        return _RenewingClient(
            target.url, tokens_of(target), verify=trusted(target.settings, ca), user_agent="preview-mcp"
        )
    except ClientError as error:
        raise CommandFailed(str(error)) from error


def token_for(url: str | None) -> tuple[Path | None, str | None]:
    """Return a private file for the token of ``PREVIEW_TOKEN``, and the token; None twice if this machine makes one.

    Raises:
        CommandFailed: A service is named without a token.
    """
    named, token = url or os.environ.get("PREVIEW_URL"), os.environ.get("PREVIEW_TOKEN")
    if named is None or token is None:
        if named is not None:
            find_target(named)
        return None, None
    name = hashlib.sha256(named.rstrip("/").encode()).hexdigest()[:12]
    return Path.home() / ".config" / "preview" / f"mcp-token-{name}", token
