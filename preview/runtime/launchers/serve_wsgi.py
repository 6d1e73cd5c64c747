"""Serves a WSGI application on the inherited socket.

``python serve_wsgi.py FD APP_DIR MODULE:ATTRIBUTE [--factory]``
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Load the application, then serve it until SIGTERM."""
    # Found beside this file, which is run by its path: there is no package around it in the child.
    from preview_serving import become_main, load_application, serve_wsgi  # type: ignore[import-not-found]  # noqa: PLC0415

    descriptor, app_dir, target = arguments[:3]
    become_main(app_dir, target)
    serve_wsgi(load_application(target, factory="--factory" in arguments[3:]), int(descriptor))


if __name__ == "__main__":
    main(sys.argv[1:])
