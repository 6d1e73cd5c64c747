"""The preview service inside a Litestar application: the host's users, the service's own generations.

    uvicorn --app-dir examples embed_litestar:app

The API is below /preview; send ``X-Host-User: ann`` with each request.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send

from preview import Identity, User, create_app


async def host_authenticate(scope: Mapping[str, Any]) -> Identity | None:
    """Who is asking, as the host knows it."""
    name = dict(scope["headers"]).get(b"x-host-user")
    return None if name is None else Identity(User(name.decode()), datetime.now(UTC) + timedelta(hours=1))


preview = create_app(authenticate=host_authenticate)


@get("/")
async def index() -> dict[str, int]:
    """The host's own route."""
    return {"previews": len(preview.backend.previews.all_active)}


@asgi("/preview", is_mount=True, copy_scope=True)
async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
    """All of the service's routes."""
    path = scope["path"].removesuffix("/") or "/"
    await preview({**scope, "path": f"/preview{path}", "root_path": "/preview"}, receive, send)


@asynccontextmanager
async def lifespan(_: Litestar) -> AsyncIterator[None]:
    """A mount does not forward the lifespan: the host enters the service in its own."""
    async with preview.running():
        yield


app = Litestar([index, mounted], lifespan=[lifespan])
