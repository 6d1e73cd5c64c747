"""Lets the web servers of a start command report their requests; each Python of the command imports it at its start.

The folder is the first one of ``PYTHONPATH``, also for programs that the command starts. The ``sitecustomize`` that it
hides, of the environment or the system, runs afterwards. An error here never reaches the project.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  loads no further module


def _start() -> None:
    # The project's modules must not be hidden by those of this folder.
    own = [path for path in sys.path if path == _HERE]
    sys.path[:] = [path for path in sys.path if path != _HERE]
    if not own or "PREVIEW_CONTROL" not in os.environ:
        return
    sys.path.insert(0, _HERE)
    try:
        from preview_servers import watch_servers  # type: ignore[import-not-found]  # noqa: PLC0415
    finally:
        sys.path.remove(_HERE)
        for name in ("preview_servers", "preview_channel"):
            sys.modules.pop(name, None)
    watch_servers()


def _run_hidden() -> None:
    """Run the next ``sitecustomize`` on the path, if there is one; it takes this module's place."""
    from importlib.machinery import PathFinder  # noqa: PLC0415  only here
    from importlib.util import module_from_spec  # noqa: PLC0415

    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    with suppress(Exception):
        _start()
    _run_hidden()
