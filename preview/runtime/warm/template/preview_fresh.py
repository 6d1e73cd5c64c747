"""Give a fork of a template the state of a newly started interpreter, and run a launcher in it."""

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
# The template has imported all launchers; a new interpreter has only one, as its main program.
_LAUNCHERS = ("serve_asgi", "serve_django", "serve_wsgi")
_MOST_DESCRIPTORS = 1 << 20


def close_all_but(*kept: int) -> None:
    """Close every descriptor except ``kept``, including standard input and output."""
    before = 0
    for one in sorted(kept):
        # Skip an empty range: its last number could be -1, which close_range(2) takes as "all".
        if one > before:
            os.closerange(before, one)
        before = one + 1
    os.closerange(before, _MOST_DESCRIPTORS)


def run(order: dict[str, Any], output: int, inherited: dict[str, int]) -> int:
    """Run the order's launcher; return the exit code. Tracebacks show only the application's frames.

    Args:
        order: ``launcher``, ``arguments``, ``environment``, ``directory``, ``descriptors`` (placeholder to number).
        output: Descriptor for standard output and error.
        inherited: Current descriptor of each placeholder.
    """
    launcher, arguments = become(order, output, inherited)
    return call(launcher.main, arguments)


def become(order: dict[str, Any], output: int, inherited: dict[str, int]) -> tuple[Any, list[str]]:
    """Take on the state of an interpreter that starts the launcher; return the launcher and its arguments."""
    arguments = inherit(order, output, inherited)
    os.chdir(order["directory"])
    forget()
    folder, _, file = order["launcher"].rpartition("/")
    # The interpreter puts the program's folder here; launchers replace it with the project's folder.
    sys.path[0] = folder
    name = file.removesuffix(".py")
    launcher = importlib.import_module(name)
    # The template's own __main__ would expose the template's internals.
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=launcher.__file__, __builtins__=builtins)
    sys.modules["__main__"] = main
    for one in (*_OWN_MODULES, *_LAUNCHERS, name):
        sys.modules.pop(one, None)
    return launcher, arguments


def inherit(
    order: dict[str, Any], output: int, inherited: dict[str, int], before: dict[str, str] | None = None
) -> list[str]:
    """Take over descriptors and environment; return the arguments, with descriptor numbers for placeholders.

    Args:
        order: See ``run``.
        output: See ``run``.
        inherited: See ``run``.
        before: Environment at the application's import. Variables that the application has set since then are kept
            (``load_dotenv``, Django's time zone).
    """
    numbers = _settle_descriptors(order["descriptors"], output, inherited)
    pipe = os.fstat(1)
    numbers["@LOG_PIPE@"] = f"{pipe.st_dev}:{pipe.st_ino}"
    variables = {name: _filled(value, numbers) for name, value in order["environment"].items()}
    if before is None:
        _set_environment(variables)
    else:
        os.environ.update({name: value for name, value in variables.items() if before.get(name) != value})
    return [_filled(one, numbers) for one in order["arguments"]]


def call(main: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Call a launcher's function as the interpreter runs a program; return the exit code."""
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
    """Give each descriptor its requested number, close all others, and return the numbers as text."""
    null = os.open(os.devnull, os.O_RDONLY)
    # Move descriptors above the requested numbers first.
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
    # The interpreter reads PYTHONPATH only when it starts.
    further = [one for one in variables.get("PYTHONPATH", "").split(":") if one]
    sys.path[1:1] = [one for one in further if one not in sys.path]
    if "TZ" in variables:
        time.tzset()
    # ``wsgiref`` copies the environment when it is imported, which Django's own server does.
    wsgi = sys.modules.get("wsgiref.handlers")
    if wsgi is not None:
        wsgi.BaseHandler.os_environ = wsgi.read_environ()


def forget() -> None:
    """Discard caches and random state that a newly started program would not have."""
    tempfile.tempdir = None
    # ``tempfile`` reseeds its generator when the pid changes, but forks have the same pid in their namespaces.
    tempfile._name_sequence = None  # type: ignore[attr-defined]  # noqa: SLF001
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    # ``random`` reseeds its default generator after a fork; packages' generators are not reseeded.
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
