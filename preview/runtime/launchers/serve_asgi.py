"""Serves an ASGI application on the inherited socket.

``python serve_asgi.py FD APP_DIR MODULE:ATTRIBUTE [--factory] [--control FD]``

By uvicorn, as its command line would; but a module that calls ``uvicorn.run`` while it is imported does not start a
second server, which would wait for ever on a port that nobody asks.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def load(arguments: list[str]) -> None:
    """Import the application's module, and do nothing else: ``main`` with the same arguments finds it there."""
    from preview_serving import become_main  # type: ignore[import-not-found]  # noqa: PLC0415

    app_dir, target = arguments[1:3]
    become_main(app_dir, target)
    _refuse_second(importlib.import_module("uvicorn"))
    importlib.import_module(target.partition(":")[0])


def _refuse_second(uvicorn: Any) -> Any:
    """Let calls of ``uvicorn.run`` do nothing but say so; what it was."""
    from preview_serving import say  # noqa: PLC0415

    # It may have been refused already, by ``load``.
    serve = getattr(uvicorn.run, "preview_original", uvicorn.run)

    def refuse(*_: object, **__: object) -> None:
        say("uvicorn.run() in the project's own code is ignored: the application is already served")

    refuse.preview_original = serve  # type: ignore[attr-defined]
    uvicorn.run = refuse
    return serve


def main(arguments: list[str]) -> None:
    """Load the application, then serve it until SIGTERM."""
    # Found beside this file, which is run by its path: there is no package around it in the child.
    from preview_asgi import hand_over  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_control import SILENT_S, open_control  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_serving import become_main  # noqa: PLC0415

    descriptor, app_dir, target = arguments[:3]
    control = open_control(arguments)
    become_main(app_dir, target)
    uvicorn: Any = importlib.import_module("uvicorn")
    hand_over(uvicorn, int(descriptor), control, SILENT_S)
    serve = _refuse_second(uvicorn)
    # Its output is a pipe, but ends in a terminal: colours are wanted.
    serve(target, fd=int(descriptor), factory="--factory" in arguments[3:], use_colors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
