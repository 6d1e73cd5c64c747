"""Serves an ASGI application on the inherited socket.

``python serve_asgi.py FD APP_DIR MODULE:ATTRIBUTE [--factory] [--control FD]``

Runs uvicorn as its command line would. A module that calls ``uvicorn.run`` during its import starts no second server,
which would otherwise block for ever on an unused port.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def load(arguments: list[str]) -> None:
    """Import the application's module only; ``main`` with the same arguments then finds it loaded."""
    from preview_serving import become_main  # type: ignore[import-not-found]  # noqa: PLC0415

    app_dir, target = arguments[1:3]
    become_main(app_dir, target)
    _refuse_second(importlib.import_module("uvicorn"))
    importlib.import_module(target.partition(":")[0])


def _refuse_second(uvicorn: Any) -> Any:
    """Replace ``uvicorn.run`` by a function that only logs; return the original."""
    from preview_serving import say  # noqa: PLC0415

    # ``load`` may have replaced it already.
    serve = getattr(uvicorn.run, "preview_original", uvicorn.run)

    def refuse(*_: object, **__: object) -> None:
        say("uvicorn.run() in the project's own code is ignored: the application is already served")

    refuse.preview_original = serve  # type: ignore[attr-defined]
    uvicorn.run = refuse
    return serve


def main(arguments: list[str]) -> None:
    """Load the application, then serve it until SIGTERM."""
    # Modules in this file's folder: the file is run by its path, without a package.
    from preview_asgi import hand_over, has_factory, serving_options  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_control import SILENT_S, open_control  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_serving import become_main, load_application, load_as_main  # noqa: PLC0415

    descriptor, app_dir, target = arguments[:3]
    control = open_control(arguments)
    become_main(app_dir, target)
    uvicorn: Any = importlib.import_module("uvicorn")
    hand_over(uvicorn, int(descriptor), control, SILENT_S)
    serve = _refuse_second(uvicorn)
    options = serving_options(uvicorn, int(descriptor))
    served: Any = target
    is_factory = "--factory" in arguments[3:]
    if has_factory(uvicorn):
        options["factory"] = is_factory
    elif is_factory:
        served = load_application(target, factory=True)
    try:
        serve(served, **options)
    except ImportError as error:
        failed = error
    else:
        return
    # Outside of the handler: an error of the second attempt does not mention the first one.
    serve(load_as_main(target, failed), **options)


if __name__ == "__main__":
    main(sys.argv[1:])
