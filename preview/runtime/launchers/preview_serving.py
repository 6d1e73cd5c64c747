"""Shared parts of the Python launchers: finding the application, and reporting.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any


def say(sentence: str) -> None:
    """Write one line to the preview's log."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def become_main(app_dir: str, target: str) -> None:
    """Import from ``app_dir`` instead of this file's folder, and turn SIGTERM into a normal exit."""
    # The modules are in this file's folder.
    from preview_aged import give_back  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_reads import watch_reads  # type: ignore[import-not-found]  # noqa: PLC0415
    from preview_requests import mark_output  # type: ignore[import-not-found]  # noqa: PLC0415

    # Before the project's code, whose loggers keep references to the streams.
    mark_output()
    give_back(say)
    watch_reads((app_dir, os.getcwd()), say)  # noqa: PTH109  compared as text
    sys.path[0] = app_dir
    sys.argv = [f"{app_dir}/{target}"]
    # Tells Flask to ignore ``app.run()``: a module that starts a server during its import would never return.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    raise SystemExit(0)


def load_application(target: str, *, factory: bool) -> Any:
    """Return the object that ``module:attribute`` names; with ``factory``, the result of calling it."""
    module_name, _, attributes = target.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise SystemExit(f"The module {module_name!r} has no {attributes!r} to serve: name another in preview.toml")
        found = getattr(found, name)
    return found() if factory else found
