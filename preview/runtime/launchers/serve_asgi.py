"""Serves an ASGI application on the inherited socket: ``python serve_asgi.py FD APP_DIR MODULE:ATTRIBUTE [--factory]``.

By uvicorn, as its command line would; but a module that calls ``uvicorn.run`` while it is imported does not start a
second server, which would wait for ever on a port that nobody asks.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Load the application, then serve it until SIGTERM."""
    # Found beside this file, which is run by its path: there is no package around it in the child.
    from preview_serving import become_main, say  # type: ignore[import-not-found]  # noqa: PLC0415

    descriptor, app_dir, target = arguments[:3]
    become_main(app_dir, target)
    uvicorn: Any = importlib.import_module("uvicorn")
    serve = uvicorn.run

    def refuse(*_: object, **__: object) -> None:
        say("uvicorn.run() in the project's own code is left out: the application is served already")

    uvicorn.run = refuse
    # Its output is a pipe, but ends in a terminal: colours are wanted.
    serve(target, fd=int(descriptor), factory="--factory" in arguments[3:], use_colors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
