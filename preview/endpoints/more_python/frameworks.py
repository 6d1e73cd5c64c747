"""Search for the applications of these frameworks."""

from __future__ import annotations

from functools import partial
from typing import Final

from preview.endpoints.budget import Budget
from preview.endpoints.model import FoundApp
from preview.endpoints.more_python import aiohttp, bottle, falcon, tornado
from preview.endpoints.more_python.blacksheep import BlackSheepFramework, list_blacksheep
from preview.endpoints.more_python.listing import list_table
from preview.endpoints.more_python.litestar import LitestarFramework, list_litestar
from preview.endpoints.more_python.program import Reader
from preview.endpoints.more_python.sanic import SanicFramework, list_sanic
from preview.sources import Sources

_LISTERS: Final = {one: partial(list_table, style=one.STYLE) for one in (aiohttp, bottle, falcon, tornado)}
READERS: Final = (
    Reader("litestar", "Litestar", b"litestar", (b"Litestar",), LitestarFramework, list_litestar),
    Reader("litestar", "Starlite", b"starlite", (b"Starlite",), LitestarFramework, list_litestar),
    Reader("sanic", "Sanic", b"sanic", (b"Sanic",), SanicFramework, list_sanic),
    Reader("blacksheep", "BlackSheep", b"blacksheep", (b"Application",), BlackSheepFramework, list_blacksheep),
    Reader("aiohttp", "aiohttp", b"aiohttp", (b"Application",), aiohttp.AiohttpFramework, _LISTERS[aiohttp]),
    Reader("falcon", "Falcon", b"falcon", (b"App", b"API"), falcon.FalconFramework, _LISTERS[falcon], falcon.identify),
    Reader("tornado", "Tornado", b"tornado", (b"Application",), tornado.TornadoFramework, _LISTERS[tornado]),
    Reader("bottle", "Bottle", b"bottle", (b"Bottle", b"bottle"), bottle.BottleFramework, _LISTERS[bottle]),
)


def find_more_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """Return the applications of the frameworks that the project's files name."""
    named = {reader for name in sources.names for reader in READERS if reader.package in sources.text(name)}
    found: list[FoundApp] = []
    for reader in READERS:
        if reader in named:
            found += reader.find(sources, budget)
    return found
