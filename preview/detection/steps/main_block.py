"""Find what a Python file does under ``if __name__ == "__main__":`` besides starting its server.

A launcher imports the file, so the block never runs: ``init_db()`` and ``db.create_all()`` in it make no tables, and
each route fails with "no such table". The block is found in the syntax tree, with the functions of the file that it
calls.
"""

from __future__ import annotations

import ast
import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.expressions import last_name
from preview.detection.plan import MAIN_PROGRAM, Step
from preview.endpoints import AppTarget
from preview.sources import Sources

# Calls that start a server, or that serve only to start one.
_SERVES: Final = frozenset(
    {"run", "run_app", "run_server", "run_simple", "run_forever", "run_until_complete", "run_task", "serve", "server",
     "serve_forever", "quickstart", "listen", "start", "make_server", "make_app", "Server", "Config", "WSGIServer",
     "HTTPServer", "ThreadingHTTPServer", "Application", "StandaloneApplication", "instance", "current", "IOLoop"}
)  # fmt: skip
# Calls that read, print or prepare without an effect that outlasts the process.
_PLAIN: Final = frozenset(
    {"print", "pprint", "getenv", "get", "int", "str", "bool", "float", "len", "list", "dict", "tuple", "set", "sorted",
     "range", "enumerate", "zip", "max", "min", "isinstance", "hasattr", "getattr", "join", "split", "strip", "lower",
     "upper", "format", "replace", "startswith", "endswith", "append", "keys", "values", "items", "exists", "is_file",
     "isfile", "isdir", "is_dir", "abspath", "dirname", "basename", "resolve", "Path", "basicConfig", "getLogger",
     "setLevel", "addHandler", "StreamHandler", "Formatter", "info", "debug", "warning", "error", "exception",
     "critical", "log", "echo", "secho", "exit", "sleep", "ArgumentParser", "add_argument", "add_argument_group",
     "parse_args", "parse_known_args", "load_dotenv", "find_dotenv", "Thread", "Timer", "open_new", "open_new_tab",
     "signal", "register", "filterwarnings", "simplefilter", "freeze_support", "set_start_method", "install", "uvloop",
     "set_event_loop_policy",
     "WindowsSelectorEventLoopPolicy", "get_event_loop", "new_event_loop", "set_event_loop",
     "listdir", "scandir", "walk", "glob", "getcwd", "cwd", "cpu_count", "getpid",
     "gethostname", "gethostbyname", "app_context", "test_request_context", "url_for", "iter_rules", "time", "now",
     "monkey_patch", "patch_all", "from_object", "from_mapping", "setdefault", "update", "ProxyFix", "CORS",
     "SSLContext", "load_cert_chain", "super", "register_blueprint", "add_url_rule",
     "include_router", "add_middleware", "add_resource", "init_app", "mount", "route", "add_namespace", "make_response",
     "register_error_handler", "errorhandler", "before_request", "after_request", "teardown_appcontext",
     "context_processor", "add_template_filter", "add_template_global", "add_exception_handler", "add_event_handler",
     "add_route", "add_api_route", "add_websocket_route",
     # Groups of commands, which print their help.
     "cli", "FlaskGroup", "AppGroup"}
)  # fmt: skip
# The server calls these too.
_FACTORIES: Final = frozenset({"create_app", "make_app", "get_app", "create_application", "build_app", "app_factory"})
# Getters and loggers, own or imported
_QUIET: Final = re.compile(
    r"(?:get|is|has|parse|find|resolve|print|show|display|log)_|.*(?:logging|logger)", re.IGNORECASE
)
# These never end, or ask a person.
_ENDLESS: Final = frozenset(
    {"run_polling", "start_polling", "infinity_polling", "polling", "run_until_disconnected", "start_consuming",
     "input", "getpass", "confirm", "prompt", "mainloop", "execute_from_command_line"}
)  # fmt: skip
# These destroy, start other programs, test, send or download: no reason to run the block.
_NO_REASON: Final = re.compile(
    r"(?:drop|delete|remove|clear|reset|wipe|send|notify|train|download)(?:_\w+)?|system|popen|Popen|call|check_call"
    r"|check_output|rmtree|unlink|urlretrieve|downgrade|add_job|testmod"
)
_RUNNERS: Final = ("run.py", "main.py", "app.py", "server.py", "wsgi.py", "start.py", "__main__.py")
_TABLES: Final = re.compile(
    rb"CREATE\s+TABLE[^;]{0,4000}|^[^\n#]*(?:\bColumn\(|mapped_column\(|\bMapped\[|__tablename__|\bField\(|ForeignKey"
    rb"|db\.Model\b|\w+Field\()[^\n]*",
    re.MULTILINE | re.IGNORECASE,
)
_ASIDE: Final = ("webbrowser.", "unittest.", "pytest.", "doctest.")
_MAX_DEPTH: Final = 4

Functions = Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef]


@dataclass(frozen=True, slots=True)
class MainWork:
    """Work of a file's main block besides starting a server.

    Attributes:
        calls: Calls with an effect, in order, as a person writes them: ``init_db()``.
    """

    file: str
    calls: tuple[str, ...]


def main_block_step(sources: Sources, target: AppTarget, directory: str, files: Sequence[str]) -> Step | None:
    """Return the step that runs the main block of the started file, or of the script that runs it; None without work.

    Args:
        sources: The project's files.
        target: The application.
        directory: The working folder of the application.
        files: Files that the application loads.
    """
    work = find_main_work(sources, target.file) or _runner(sources, target)
    if work is None:
        return None
    called = ", ".join(f"`{call}`" for call in work.calls[:3]) + (" …" if len(work.calls) > 3 else "")
    why = f"{work.file} calls {called} only when run as a script, but the server imports it"
    return Step(
        "tables", _argv(sources, target, work.file, directory), directory, why, inputs=_digest(sources, work, files)
    )


def find_main_work(sources: Sources, file: str) -> MainWork | None:
    """Return the work in a file's main block; None if there is none, or if it does not end by itself."""
    text = sources.text(file)
    tree = sources.tree(file) if b"__main__" in text else None
    block = next(filter(is_main_block, tree.body), None) if tree is not None else None
    if tree is None or not isinstance(block, ast.If):
        return None
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    calls = dict.fromkeys(_effects(block.body, functions, set(), 0))
    if not calls or None in calls:
        return None
    return MainWork(file, tuple(call for call in calls if call is not None))


def is_main_block(node: ast.stmt) -> bool:
    """Return whether a statement is ``if __name__ == "__main__":``."""
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    sides = [node.test.left, *node.test.comparators]
    names = {side.id if isinstance(side, ast.Name) else getattr(side, "value", None) for side in sides}
    return names == {"__name__", "__main__"} and isinstance(node.test.ops[0], ast.Eq)


def _effects(statements: Iterable[ast.stmt], functions: Functions, seen: set[str], depth: int) -> Iterator[str | None]:
    """Yield the calls that have an effect; None for a call or a loop that does not end by itself."""
    statements = list(_without_arguments(list(statements)))
    if any(_is_endless(node) or _wants_argument(node) for statement in statements for node in ast.walk(statement)):
        yield None
    if any(_reads_argument(statement) for statement in statements):
        yield None
    for call in sorted(_calls(statements), key=lambda node: (node.lineno, node.col_offset)):
        name = last_name(call)
        own = functions.get(name) if isinstance(call.func, ast.Name) else None
        if name in _ENDLESS:
            yield None
        elif name in _FACTORIES or _NO_REASON.fullmatch(name) or _written(call.func).startswith(_ASIDE):
            continue
        elif own is not None:
            if name not in seen and depth < _MAX_DEPTH:
                seen.add(name)
                inner = list(_effects(own.body, functions, seen, depth + 1))
                if None in inner:
                    yield None
                elif any(_serves(node) for node in _calls(own.body)):
                    # The function also starts the server: its own calls tell more than its name.
                    yield from inner
                elif inner:
                    yield f"{name}()"
        elif name and name not in _SERVES and name not in _PLAIN and not (_is_exception(name) or _QUIET.match(name)):
            yield f"{_written(call.func)}()"


def ends_by_itself(tree: ast.Module) -> bool:
    """Return true if no loop of the file is endless, and it wants neither an argument nor a person."""
    nodes = list(ast.walk(tree))
    calls = (node for node in nodes if isinstance(node, ast.Call))
    return not any(_is_endless(node) or _wants_argument(node) for node in nodes) and not any(
        last_name(call) in _ENDLESS for call in calls
    )


def _wants_argument(node: ast.AST) -> bool:
    """Return true for an argument of argparse that must be given."""
    if not isinstance(node, ast.Call) or last_name(node) != "add_argument" or not node.args:
        return False
    given = {item.arg: item.value for item in node.keywords}
    required = given.get("required")
    if isinstance(required, ast.Constant) and required.value is True:
        return True
    first = node.args[0]
    is_positional = isinstance(first, ast.Constant) and not str(first.value).startswith("-")
    return is_positional and not {"nargs", "default"}.intersection(given)


def _reads_argument(statement: ast.stmt) -> bool:
    """Return true for a simple statement that fails without an argument: ``init(sys.argv[1])``."""
    text = ast.unparse(statement) if isinstance(statement, ast.Expr | ast.Assign) else ""
    return "sys.argv[1]" in text and " if " not in text


def _without_arguments(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run without arguments on the command line."""
    parsed = {
        target.id
        for node in statements
        if isinstance(node, ast.Assign) and last_name(node.value) in {"parse_args", "parse_known_args"}
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in statements:
        if not isinstance(node, ast.If):
            yield node
            continue
        owner = node.test.value if isinstance(node.test, ast.Attribute) else None
        is_flag = isinstance(owner, ast.Name) and owner.id in parsed
        if is_flag or "sys.argv" in ast.unparse(node.test):
            yield from _without_arguments(node.orelse)
        else:
            yield node


def _is_endless(node: ast.AST) -> bool:
    """Return true for ``while True`` without a way out."""
    if not isinstance(node, ast.While) or not isinstance(node.test, ast.Constant) or not node.test.value:
        return False
    return not any(isinstance(inner, ast.Break | ast.Return | ast.Raise) for inner in ast.walk(node))


def _calls(statements: Iterable[ast.stmt]) -> Iterator[ast.Call]:
    for statement in statements:
        yield from (node for node in ast.walk(statement) if isinstance(node, ast.Call))


def _serves(call: ast.Call) -> bool:
    return last_name(call) in _SERVES


def _is_exception(name: str) -> bool:
    return name.endswith(("Error", "Exception", "Exit"))


def _written(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 and "\n" not in text else last_name(node)


def _runner(sources: Sources, target: AppTarget) -> MainWork | None:
    """Return the work of a script beside the application, or above it, that imports and serves it."""
    module = target.module.rpartition(".")[2] if not target.module.endswith("__init__") else target.module
    stem = re.escape(module.encode())
    named = re.compile(rb"^\s*(?:from|import)\s[\w., ]*\b" + stem + rb"\b|[\"'][\w.]*\b" + stem + rb":", re.MULTILINE)
    folder = posixpath.dirname(target.file)
    folders = dict.fromkeys((folder, posixpath.dirname(folder), posixpath.normpath(target.app_dir)))
    for place in folders:
        for name in _RUNNERS:
            file = posixpath.normpath(posixpath.join(place, name))
            if file == target.file or not sources.has_file(file) or not named.search(sources.text(file)):
                continue
            work = find_main_work(sources, file)
            if work is not None:
                return work
    return None


def _argv(sources: Sources, target: AppTarget, file: str, directory: str) -> tuple[str, ...]:
    """Return the command; a file with relative imports runs as a module of its package."""
    tree = sources.tree(file)
    is_relative = tree is not None and any(isinstance(node, ast.ImportFrom) and node.level for node in tree.body)
    if (is_relative or "/" in posixpath.relpath(file, target.app_dir)) and file == target.file:
        return (MAIN_PROGRAM, "-m", target.module)
    return (MAIN_PROGRAM, posixpath.relpath(file, directory))


def _digest(sources: Sources, work: MainWork, files: Sequence[str]) -> str:
    """Return a digest of the calls and of the source lines that declare tables."""
    found = hashlib.sha256("\n".join(work.calls).encode())
    for file in dict.fromkeys((work.file, *files)):
        for part in _TABLES.findall(sources.text(file)):
            found.update(part + b"\n")
    return found.hexdigest()[:16]
