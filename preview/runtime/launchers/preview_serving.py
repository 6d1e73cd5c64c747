"""Shared parts of the Python launchers: finding the application, its reads of the environment, and reporting.

If the project ends before it serves, one line names the variables that it read and found without a value. The service
makes placeholders of that line: it sees a read whatever function of the project's own makes it. A read with a default
(``os.getenv("X", "1")``) is not named, and neither is one by a package while it is imported.

Runs in the child, on the project's own interpreter: standard library only.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import importlib
import importlib.util
import os
import re
import signal
import sys
import types
from collections.abc import Callable
from typing import Any

_AS_MAIN = "__preview_main__"
_CIRCLE = "partially initialized module"
# Packages read these for the project.
_USUAL = frozenset(("FLASK_DEBUG", "FLASK_ENV", "FLASK_SKIP_DOTENV", "SSLKEYLOGFILE"))
_MOST_NAMES = 40
_MOST_OTHERS = 1000
# Of one name, by packages. Each looks at the stack.
_MOST_READS = 20
_MOST_FRAMES = 30
_NO_DEFAULT = object()
# What completes an application. The server never runs the block in which some files do it.
_SETS_UP = frozenset(("init_app", "register_blueprint", "add_resource", "add_namespace", "add_url_rule"))
_MOST_SOURCE = 1_000_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,80}\Z")


def say(sentence: str) -> None:
    """Write one line to the preview's log."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()


def become_main(app_dir: str, target: str) -> None:
    """Import from ``app_dir`` instead of this file's folder, and turn SIGTERM into a normal exit."""
    # The modules are in this file's folder.
    from preview_aged import give_back  # type: ignore[import-not-found]  # noqa: PLC0415
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


def load_as_main(target: str, error: ImportError) -> str:
    """Load a module as ``python FILE`` does, because others import it while it loads; return its target.

    A module of a package keeps its package, as with ``python -m``.

    Run as a program, the module is not the one that the others import: they get a second one, which is complete.

    Raises:
        ImportError: ``error`` itself, if it has another cause, or if the second attempt ends in such a circle too.
    """
    module_name, _, attributes = target.partition(":")
    if f"{_CIRCLE} {module_name!r}" not in str(error):
        raise error
    found = importlib.util.find_spec(module_name)
    if found is None or found.origin is None:
        raise error
    spec = importlib.util.spec_from_file_location(_AS_MAIN, found.origin)
    if spec is None or spec.loader is None:
        raise error
    command = f"-m {module_name}" if found.parent else os.path.basename(found.origin)  # noqa: PTH119
    say(f"{module_name} is imported while it loads; it is loaded again as by `python {command}`")
    module = sys.modules[_AS_MAIN] = importlib.util.module_from_spec(spec)
    module.__spec__, module.__package__ = found, found.parent
    try:
        spec.loader.exec_module(module)
    except BaseException as second:
        del sys.modules[_AS_MAIN]
        if isinstance(second, ImportError) and _CIRCLE in str(second):
            raise error from None  # noqa: ASYNC104  the first error is raised
        raise
    return f"{_AS_MAIN}:{attributes}"


def load_application(target: str, *, factory: bool) -> Any:
    """Return the object that ``module:attribute`` names; with ``factory``, the result of calling it."""
    module_name, _, attributes = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        failed: ImportError | None = error
    else:
        failed = None
    # Outside of the handler: an error of the second attempt does not mention the first one.
    if failed is not None:
        found = importlib.import_module(load_as_main(target, failed).partition(":")[0])
    if not factory:
        finish_set_up(found)
    for name in attributes.split("."):
        if not hasattr(found, name):
            raise SystemExit(f"The module {module_name!r} has no {attributes!r} to serve: name another in preview.toml")
        found = getattr(found, name)
    return found() if factory else found


def finish_set_up(module: Any) -> None:
    """Run what sets up the application under ``if __name__ == "__main__":``, such as ``db.init_app(app)``.

    Nothing else of the block runs. A call that fails is reported, and changes nothing.
    """
    try:
        with open(module.__file__, "rb") as file:  # noqa: PTH123  a launcher imports little
            source = file.read(_MOST_SOURCE)
        # Most files need no parsing.
        last = source.rpartition(b"__main__")[2] if b"__main__" in source else b""
        body = ast.parse(source).body if any(name.encode() in last for name in _SETS_UP) else []
        done = {ast.dump(node) for node in body if _sets_up(node)}
    except (AttributeError, OSError, RecursionError, SyntaxError, TypeError, ValueError):
        return
    for block in (node for node in body if isinstance(node, ast.If) and _is_main_block(node.test)):
        calls = [node for node in block.body if _sets_up(node) and ast.dump(node) not in done]
        used = {node.id for call in calls for node in ast.walk(call) if isinstance(node, ast.Name)}
        ran = [node for node in block.body if (node in calls or _imports(node, used)) and _has_run(node, module)]
        if any(node in calls for node in ran):
            say(f"{os.path.basename(module.__file__)} completes its application only when run as a script: done here")  # noqa: PTH119


def _is_main_block(test: ast.expr) -> bool:
    dumped = ast.dump(test) if isinstance(test, ast.Compare) else ""
    return "id='__name__'" in dumped and "'__main__'" in dumped and "Eq()" in dumped and "NotEq()" not in dumped


def _sets_up(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _SETS_UP


def _imports(node: ast.stmt, used: set[str]) -> bool:
    names = node.names if isinstance(node, (ast.Import, ast.ImportFrom)) else ()
    return any((one.asname or one.name.partition(".")[0]) in used for one in names)


def _has_run(node: ast.stmt, module: Any) -> bool:
    program = ast.parse("")
    program.body = [node]
    try:
        exec(compile(program, module.__file__, "exec"), vars(module))  # noqa: S102  the project's own code
    except (Exception, SystemExit) as error:  # noqa: BLE001  the project's code may raise anything
        say(f"line {node.lineno}, which only a script runs, failed: {type(error).__name__}: {error}")
        return False
    return True


class _Reads:
    """The names that were read, in order."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = folders
        self.names: dict[str, None] = {}
        self.others: dict[str, int] = {}

    def note(self, name: object) -> None:
        """Note the name if the project's own code reads it. Raises nothing: the project would see the exception."""
        # The stack may be full, or have frames whose globals are strange.
        with contextlib.suppress(Exception):
            self._note(name, sys._getframe(2))  # noqa: SLF001  there is no other way to learn it

    def _note(self, name: object, frame: types.FrameType) -> None:
        if not isinstance(name, str) or name in self.names or not _NAME.match(name):
            return
        # A package may have read it before the project does.
        seen = self.others.get(name, 0)
        if name in _USUAL or seen >= _MOST_READS:
            return
        if len(self.names) < _MOST_NAMES and self._is_own(name, frame):
            self.names[name] = None
        elif seen or len(self.others) < _MOST_OTHERS:
            self.others[name] = seen + 1

    def _is_own(self, name: str, frame: types.FrameType | None) -> bool:
        """Return true if the project's code is the reader: no import of a package is nearer on the stack.

        A name that a package's function has itself is the package's own (pytz's ``PYTZ_TZDATADIR``).
        """
        for _ in range(_MOST_FRAMES):
            if frame is None or str(frame.f_globals.get("__name__")).startswith("importlib."):
                return False
            file = frame.f_code.co_filename
            is_package = "/site-packages/" in file
            if is_package and name in frame.f_code.co_consts:
                return False
            if file.startswith(self.folders) and not is_package:
                return True
            frame = frame.f_back
        return False


def watch_reads(folders: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Watch ``os.environ`` until ``stop_watching`` is called, which is once the application serves.

    Args:
        folders: Absolute paths of the project's folders.
        say: Called with one line if the interpreter ends before that, and names were read.
    """
    stop_watching()
    reads = _Reads(tuple(folder.rstrip("/") + "/" for folder in folders))
    usual: Any = type(os.environ)
    look_up = usual.__getitem__

    def look_up_and_note(self: Any, name: Any) -> Any:
        try:
            return look_up(self, name)
        except KeyError:
            reads.note(name)
            raise

    def get(self: Any, name: Any, default: Any = None) -> Any:
        try:
            return look_up(self, name)
        except KeyError:
            if default is None:
                reads.note(name)
            return default

    def contains(self: Any, name: Any) -> bool:
        try:
            look_up(self, name)
        except KeyError:
            return False
        return True

    def pop(self: Any, name: Any, default: Any = _NO_DEFAULT) -> Any:
        try:
            value = look_up(self, name)
        except KeyError:
            if default is not _NO_DEFAULT:
                return default
            reads.note(name)
            raise
        del self[name]
        return value

    def report() -> None:
        if reads.names:
            say(f"read without a value: {', '.join(reads.names)}")

    def stop() -> None:
        atexit.unregister(report)
        usual.__getitem__ = look_up
        for name in own:
            delattr(usual, name)

    # Its class inherits these. Its own ``setdefault`` asks by ``in``.
    own = {"get": get, "pop": pop, "__contains__": contains, "preview_stop": staticmethod(stop)}
    usual.__getitem__ = look_up_and_note
    for name, method in own.items():
        setattr(usual, name, method)
    atexit.register(report)


def stop_watching() -> None:
    """Read the environment as usual again. The module may have been loaded again since ``watch_reads``."""
    stop = getattr(type(os.environ), "preview_stop", None)
    if stop is not None:
        stop()
