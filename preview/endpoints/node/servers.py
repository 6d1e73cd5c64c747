"""Choice of the framework whose rules a call of a package follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from preview.endpoints.javascript import Call, External
from preview.endpoints.node.elysia import make_elysia
from preview.endpoints.node.fastify import make_fastify
from preview.endpoints.node.hapi import make_hapi
from preview.endpoints.node.hono import make_hono
from preview.endpoints.node.koa import make_koa
from preview.endpoints.node.router import Router

Maker = Callable[[External, Call, list[Router]], object]

_MAKERS: Final[dict[str, Maker]] = {
    "fastify": make_fastify,
    "@hono": make_hono,
    "hono": make_hono,
    "Bun": make_hono,
    "Deno": make_hono,
    "koa": make_koa,
    "@koa": make_koa,
    "elysia": make_elysia,
    "@hapi": make_hapi,
    "hapi": make_hapi,
    "restify": make_hapi,
}


def make_server(callee: External, call: Call, apps: list[Router]) -> object:
    """Return what a framework's call makes, and add an application to ``apps``; None for any other package."""
    name = callee.name
    end = min((place for sign in "./-" if (place := name.find(sign)) >= 0), default=len(name))
    maker = _MAKERS.get(name[:end])
    return maker(callee, call, apps) if maker is not None else None
