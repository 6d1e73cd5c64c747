"""Names of what a project serves with, where no reader found an application."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from preview.endpoints.python import is_aside
from preview.sources import Sources

TOO_LARGE: Final = "The project is too large to read completely."

# Import, and the name for people; the ones with a reader come last.
_LIBRARIES: Final = {
    b"cherrypy": "CherryPy", b"pyramid": "Pyramid", b"robyn": "Robyn", b"emmett": "Emmett", b"connexion": "Connexion",
    b"socketio": "Socket.IO", b"hug": "hug", b"masonite": "Masonite", b"web2py": "web2py", b"py4web": "py4web",
    b"microdot": "Microdot", b"responder": "Responder", b"spyne": "Spyne", b"klein": "Klein", b"twisted": "Twisted",
    b"streamlit": "Streamlit", b"gradio": "Gradio", b"dash": "Dash", b"nicegui": "NiceGUI", b"reflex": "Reflex",
    b"panel": "Panel", b"panther": "Panther", b"muffin": "Muffin", b"esmerald": "Esmerald", b"ravyn": "Ravyn",
    b"lihil": "Lihil", b"socketify": "Socketify", b"grpc": "gRPC", b"http.server": "http.server",
    b"socketserver": "socketserver", b"wsgiref": "wsgiref", b"fastapi": "FastAPI", b"starlette": "Starlette",
    b"flask": "Flask", b"quart": "Quart", b"django": "Django", b"litestar": "Litestar", b"sanic": "Sanic",
    b"blacksheep": "BlackSheep", b"falcon": "Falcon", b"tornado": "Tornado", b"bottle": "Bottle",
    b"aiohttp.web": "aiohttp", b"uvicorn": "an ASGI server", b"hypercorn": "an ASGI server",
    b"waitress": "a WSGI server", b"gevent.pywsgi": "a WSGI server",
}  # fmt: skip
_IMPORTED: Final = re.compile(
    rb"^[ \t]{0,20}(?:from|import)[ \t]{1,8}(" + b"|".join(map(re.escape, _LIBRARIES)) + rb")\b", re.MULTILINE
)
_PLAIN: Final = re.compile(
    rb"^(?:async )?def \w+\((?:scope, ?receive, ?send|environ, ?start_response)\b|^[ \t]{1,8}(?:async )?def __call__\("
    rb"self, ?(?:scope, ?receive, ?send|environ, ?start_response)\b",
    re.MULTILINE,
)
_MAX_NAMED: Final = 5


def name_unread(sources: Sources) -> list[str]:
    """Return a sentence for each library that a project without a known application serves with."""
    first: dict[str, str] = {}
    for name, file, line in _uses(sources):
        if name not in first and len(first) < _MAX_NAMED:
            first[name] = f"{file}:{line}: uses {name}, and no application whose routes can be read was found"
    return list(first.values())


def _uses(sources: Sources) -> Iterator[tuple[str, str, int]]:
    for file in sources.names:
        if not file.endswith(".py") or is_aside(file):
            continue
        text = sources.text(file)
        for match in _IMPORTED.finditer(text):
            yield _LIBRARIES[match[1]], file, text.count(b"\n", 0, match.start()) + 1
        plain = _PLAIN.search(text)
        if plain is not None:
            yield "no framework", file, text.count(b"\n", 0, plain.start()) + 1
