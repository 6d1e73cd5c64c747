"""Serves a WSGI application on the inherited socket.

``python serve_wsgi.py FD APP_DIR MODULE:ATTRIBUTE [--factory] [--control FD]``
"""

from __future__ import annotations

import importlib
import sys


def load(arguments: list[str]) -> None:
    """Import the application's module only; ``main`` with the same arguments then finds it loaded."""
    from preview_serving import become_main  # type: ignore[import-not-found]  # noqa: PLC0415

    app_dir, target = arguments[1:3]
    become_main(app_dir, target)
    importlib.import_module(target.partition(":")[0])


def main(arguments: list[str]) -> None:
    """Load the application, then serve it until SIGTERM."""
    # Modules in this file's folder: the file is run by its path, without a package.
    from preview_control import SILENT_S, open_control  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_serving import become_main, load_application  # noqa: PLC0415
    from preview_wsgi import serve_wsgi  # type: ignore[import-not-found]  # noqa: PLC0415

    descriptor, app_dir, target = arguments[:3]
    control = open_control(arguments)
    become_main(app_dir, target)
    application = load_application(target, factory="--factory" in arguments[3:])
    control.application = application
    serve_wsgi(application, int(descriptor), control, SILENT_S)


if __name__ == "__main__":
    main(sys.argv[1:])
