"""The bridged application below /mounted in each framework: ``uvicorn --factory mounted_app:in_fastapi``."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import bridged_app

ROOT = "/mounted"


@asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[None]:
    """The host's lifespan: a mount gets no events of its own."""
    async with bridged_app.bridge.holding(bridged_app.background()):
        yield


def in_fastapi() -> Any:
    app = importlib.import_module("fastapi").FastAPI(lifespan=lifespan)
    app.mount(ROOT, bridged_app.app)
    return app


def in_starlette() -> Any:
    routing = importlib.import_module("starlette.routing")
    routes = [routing.Mount(ROOT, bridged_app.app)]
    return importlib.import_module("starlette.applications").Starlette(routes=routes, lifespan=lifespan)


def in_django() -> Any:
    importlib.import_module("django.conf").settings.configure(
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="a test"
    )
    importlib.import_module("django").setup()
    host = importlib.import_module("django.core.asgi").get_asgi_application()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await bridged_app.app(scope, receive, send)
        elif scope["path"].startswith(f"{ROOT}/"):
            await bridged_app.app({**scope, "root_path": ROOT}, receive, send)
        else:
            await host(scope, receive, send)

    return app


# Django's own views.
urlpatterns: list[object] = []
