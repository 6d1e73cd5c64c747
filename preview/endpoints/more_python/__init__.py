"""Python frameworks with one model of routes: aiohttp, BlackSheep, Bottle, Falcon, Litestar, Sanic and Tornado."""

from preview.endpoints.more_python.frameworks import find_more_apps

__all__ = ["find_more_apps"]
