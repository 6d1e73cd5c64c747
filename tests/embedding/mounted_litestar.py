"""The bridged application below /mounted in Litestar, which reads the types of a handler from its module."""

from __future__ import annotations

import bridged_app
from litestar import Litestar, asgi
from litestar.types import Receive, Scope, Send
from mounted_app import ROOT, lifespan


@asgi(ROOT, is_mount=True, copy_scope=True)
async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"].removesuffix("/") or "/"
    await bridged_app.app({**scope, "path": ROOT + path, "root_path": ROOT}, receive, send)


def in_litestar() -> Litestar:
    return Litestar([mounted], lifespan=[lifespan])
