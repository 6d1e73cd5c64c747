"""The preview service inside a Starlette application: the host's users, the service's own generations.

    uvicorn --app-dir examples embed_starlette:app

The API is below /preview; send ``X-Host-User: ann`` with each request.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from preview import Identity, User, create_app


async def host_authenticate(scope: Mapping[str, Any]) -> Identity | None:
    """Who is asking, as the host knows it."""
    name = dict(scope["headers"]).get(b"x-host-user")
    return None if name is None else Identity(User(name.decode()), datetime.now(UTC) + timedelta(hours=1))


async def index(request: Request) -> JSONResponse:
    """The host's own route."""
    return JSONResponse({"previews": len(preview.backend.previews.all_active)})


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """A mount does not forward the lifespan: the host enters the service in its own."""
    async with preview.running():
        yield


preview = create_app(authenticate=host_authenticate)
app = Starlette(routes=[Route("/", index), Mount("/preview", preview)], lifespan=lifespan)
