"""Makes a fork of a template what a program that was just started would be, and runs a launcher in it."""

from __future__ import annotations

import builtins
import fcntl
import importlib
import os
import random
import sys
import tempfile
import time
import types
from collections.abc import Callable
from types import TracebackType
from typing import Any

_OWN_MODULES = (
    "preview_calls",
    "preview_cage",
    "preview_fresh",
    "preview_holes",
    "preview_immortal",
    "preview_imports",
    "preview_pages",
    "preview_snapshot",
    "preview_warmups",
)
# The template has all of them; a program that was just started has its own, as what it was started by.
_LAUNCHERS = ("serve_asgi", "serve_django", "serve_wsgi")
_MOST_DESCRIPTORS = 1 << 20


def close_all_but(*kept: int) -> None:
    """Close every descriptor that is not named, those of input and output too."""
    before = 0
    for one in sorted(kept):
        # An empty range would be all of them: close_range(2) takes the last one's number, -1.
        if one > before:
            os.closerange(before, one)
        before = one + 1
    os.closerange(before, _MOST_DESCRIPTORS)


def run(order: dict[str, Any], output: int, inherited: dict[str, int]) -> int:
    """Run the order's launcher with its arguments; the exit code. A traceback is the application's own alone.

    Args:
        order: ``launcher``, ``arguments``, ``environment``, ``directory``, ``descriptors`` (placeholder to number).
        output: Where standard output and error go.
        inherited: What stands in for each placeholder now, by placeholder.
    """
    launcher, arguments = become(order, output, inherited)
    return call(launcher.main, arguments)


def become(order: dict[str, Any], output: int, inherited: dict[str, int]) -> tuple[Any, list[str]]:
    """Be what the interpreter would be when it begins with the launcher: that, and its arguments. See ``run``."""
    arguments = inherit(order, output, inherited)
    os.chdir(order["directory"])
    forget()
    folder, _, file = order["launcher"].rpartition("/")
    # Where the interpreter would have put it; launchers put the project's own folder in its place.
    sys.path[0] = folder
    name = file.removesuffix(".py")
    launcher = importlib.import_module(name)
    # The template's own would show what it is made of.
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=launcher.__file__, __builtins__=builtins)
    sys.modules["__main__"] = main
    for one in (*_OWN_MODULES, *_LAUNCHERS, name):
        sys.modules.pop(one, None)
    return launcher, arguments


def inherit(
    order: dict[str, Any], output: int, inherited: dict[str, int], before: dict[str, str] | None = None
) -> list[str]:
    """Take the descriptors and the environment; the arguments, with the numbers in their places. See ``run``.

    Args:
        order: See ``run``.
        output: See ``run``.
        inherited: See ``run``.
        before: The environment that the application was imported with: what it has set itself meanwhile stays
            (``load_dotenv``, Django's time zone).
    """
    numbers = _settle_descriptors(order["descriptors"], output, inherited)
    variables = {name: _filled(value, numbers) for name, value in order["environment"].items()}
    if before is None:
        _set_environment(variables)
    else:
        os.environ.update({name: value for name, value in variables.items() if before.get(name) != value})
    return [_filled(one, numbers) for one in order["arguments"]]


def call(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Call a launcher's function as the interpreter runs a program; the exit code."""
    code: object = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException as error:  # noqa: BLE001  as the interpreter itself would tell it
        sys.excepthook(type(error), error, _without_own_frames(error.__traceback__))
        code = 1
    if code is None or isinstance(code, int):
        return code or 0
    sys.stderr.write(f"{code}\n")
    return 1


def _settle_descriptors(wanted: dict[str, int], output: int, inherited: dict[str, int]) -> dict[str, str]:
    """Give each descriptor the number that the service wants it to have, and close all others."""
    null = os.open(os.devnull, os.O_RDONLY)
    # Out of the way of the numbers wanted.
    top = max(wanted.values(), default=2) + 1
    moved = {}
    for name, descriptor in inherited.items():
        moved[name] = fcntl.fcntl(descriptor, fcntl.F_DUPFD, top)
    output, null = fcntl.fcntl(output, fcntl.F_DUPFD, top), fcntl.fcntl(null, fcntl.F_DUPFD, top)
    for number, descriptor in ((0, null), (1, output), (2, output)):
        os.dup2(descriptor, number)
    for name, descriptor in moved.items():
        os.dup2(descriptor, wanted[name])
    close_all_but(0, 1, 2, *wanted.values())
    return {name: str(number) for name, number in wanted.items()}


def _filled(text: str, numbers: dict[str, str]) -> str:
    for placeholder, number in numbers.items():
        text = text.replace(placeholder, number)
    return text


def _set_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
    # What the interpreter itself reads when it starts.
    further = [one for one in variables.get("PYTHONPATH", "").split(":") if one]
    sys.path[1:1] = [one for one in further if one not in sys.path]
    if "TZ" in variables:
        time.tzset()
    # Keeps all of the environment when it is imported, as Django's own server has it done.
    wsgi = sys.modules.get("wsgiref.handlers")
    if wsgi is not None:
        wsgi.BaseHandler.os_environ = wsgi.read_environ()


def forget() -> None:
    """Forget what a program that was just started would not have cached yet."""
    tempfile.tempdir = None
    # Two forks have the same number in their namespaces, by which it would tell that it has to be seeded again.
    tempfile._name_sequence = None  # type: ignore[attr-defined]  # noqa: SLF001
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    # Its own generator is seeded again by the fork (``random`` registers that); those of packages are not.
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
