"""Search for Django projects, their settings and their URL configuration."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from preview.endpoints.budget import Budget
from preview.endpoints.django.extract import list_endpoints
from preview.endpoints.django.framework import OUTSIDE, DjangoFramework
from preview.endpoints.django.settings import DjangoSettings
from preview.endpoints.model import AppTarget, Found, FoundApp
from preview.endpoints.python import PythonEvaluator, join
from preview.sources import Sources

_VARIABLE: Final = "DJANGO_SETTINGS_MODULE"
# Bounds of a name that is put together from parts.
_MOST_PARTS: Final = 20
_MOST_NAME: Final = 200
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
# Functions by which a module sets names that it does not spell.
_SETTING_CALLS: Final = frozenset({"exec", "globals", "import_module", "include", "locals", "setattr", "vars"})
_SET_OUTSIDE: Final = re.compile(rb"DJANGO_SETTINGS_MODULE[\"']?\s*[:=]\s*[\"']?([A-Za-z_][\w.]*)")
# Of several settings modules, those for a developer's machine come first.
_LOCAL_FIRST: Final = ("", "local", "dev", "development", "develop", "settings", "base", "common", "default", "main")
_TEST_SETTINGS: Final = frozenset({"test", "tests", "testing", "ci", "test_settings", "settings_test"})
_SIDE_FOLDERS: Final = frozenset(
    {"tests", "test", "examples", "example", "docs", "samples", "templates", "testproject"}
)
_MAX_PROJECTS: Final = 8
_MAX_SETTINGS: Final = 12


@dataclass(frozen=True, slots=True)
class _Start:
    """The file that starts the project, and the root of its imports."""

    file: str
    app_dir: str
    roots: tuple[str, ...]


def find_django_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """Return the Django applications: one for each ``manage.py``, else for ``wsgi.py`` and ``asgi.py``.

    Raises:
        OutOfBudget: The budget ran out.
    """
    starts = [_start(sources, name, _folder(name)) for name in _named(sources, "manage.py")]
    if not starts:
        starts = [start for name in _named(sources, "wsgi.py", "asgi.py") if (start := _from_server(sources, name))]
    found: list[FoundApp] = []
    for start in starts[:_MAX_PROJECTS]:
        app = _look_into(sources, start, budget)
        if app is not None and all(app.target.app_dir != other.target.app_dir for other in found):
            found.append(app)
    return found


def _named(sources: Sources, *names: str) -> list[str]:
    return [
        name
        for name in sources.names
        if name.rpartition("/")[2] in names and b"DJANGO_SETTINGS_MODULE" in sources.text(name)
    ]


def _folder(file: str) -> str:
    return file.rpartition("/")[0] or "."


def _start(sources: Sources, file: str, app_dir: str) -> _Start:
    tree = sources.tree(file)
    # Even a file with syntax errors shows by its name that the project is here.
    return _Start(file, app_dir, tuple(_added_roots(sources, tree, app_dir)) if tree else ())


def _from_server(sources: Sources, file: str) -> _Start | None:
    """Return ``wsgi.py`` with the folder above it from which the settings that it names can be imported."""
    tree = sources.tree(file)
    folder = _folder(file)
    for name in _settings_named(tree) if tree else ():
        above = folder
        while above != ".":
            above = _folder(above)
            if _is_module(sources, above, name):
                return _start(sources, file, above)
    return None


def _added_roots(sources: Sources, tree: ast.Module, app_dir: str) -> Iterator[str]:
    """Yield the folders that ``sys.path.append(…)`` and ``insert`` name."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"append", "insert"}
            and isinstance(node.func.value, ast.Attribute)
            and node.func.value.attr == "path"
        ):
            parts = [item.value for item in ast.walk(node) if isinstance(item, ast.Constant)]
            path = "/".join(part.strip("/") for part in parts if isinstance(part, str) and part not in {"", ".", ".."})
            if path and sources.has_folder(join(app_dir, path)):
                yield join(app_dir, path)


def _settings_named(tree: ast.Module) -> list[str]:
    """Return the modules given for ``DJANGO_SETTINGS_MODULE``, also as a call's default."""
    found: list[str] = []
    given = _assigned(tree)
    for node in ast.walk(tree):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call) and any(_is_variable(item) for item in node.args):
            values = node.args
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Subscript) and _is_variable(target.slice) for target in node.targets
        ):
            values = [node.value]
        texts = [item.value for value in values for item in ast.walk(value) if isinstance(item, ast.Constant)]
        texts += [_filled(given, value) for value in values if isinstance(value, ast.JoinedStr)]
        found += [text for text in texts if isinstance(text, str) and text != _VARIABLE and _MODULE.fullmatch(text)]
    named = [item.value for item in ast.walk(tree) if isinstance(item, ast.Constant) and isinstance(item.value, str)]
    found += [text for text in named if "settings" in text and _MODULE.fullmatch(text)]
    return list(dict.fromkeys(found))


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """Return what names are set to; the last one wins."""
    return {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _filled(given: Mapping[str, ast.expr], text: ast.JoinedStr) -> str:
    """Return ``f"shop.{env}"`` with the default of ``env = os.getenv("ENV", "dev")``; other gaps are empty."""
    filled = ""
    for part in text.values[:_MOST_PARTS]:
        value: ast.expr | None = part.value if isinstance(part, ast.FormattedValue) else part
        value = given.get(value.id) if isinstance(value, ast.Name) else value
        if isinstance(value, ast.Call):
            defaults = [item.value for item in value.keywords if item.arg == "default"]
            value = next(iter((*value.args[1:], *defaults)), None)
        filled += value.value[:_MOST_NAME] if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    return filled


def _is_variable(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == _VARIABLE


def _is_module(sources: Sources, folder: str, name: str) -> bool:
    path = join(folder, name.replace(".", "/"))
    return sources.has_file(f"{path}.py") or sources.has_folder(path)


def _named_settings(sources: Sources, start: _Start) -> list[str]:
    """Return existing settings modules that the start file names; test settings last (``if "test" in sys.argv``)."""
    tree = sources.tree(start.file)
    named = [name for name in _settings_named(tree) if _is_module(sources, start.app_dir, name)] if tree else []
    named = named or [name for name in _in_environment(sources) if _is_module(sources, start.app_dir, name)]
    return sorted(named, key=lambda name: name.rpartition(".")[2] in _TEST_SETTINGS)


def _in_environment(sources: Sources) -> Iterator[str]:
    """Yield the variable's values in ``.env.example``, a Dockerfile or a compose file."""
    for file in sources.all_names:
        name = file.rpartition("/")[2]
        if name.startswith((".env", "env.", "Dockerfile", "docker-compose", "compose.", "Procfile")):
            yield from (match.decode() for match in _SET_OUTSIDE.findall(sources.text(file)))


def _candidates(sources: Sources, start: _Start, named: list[str]) -> Iterator[str]:
    """Yield settings modules, the likeliest first."""
    yield from named
    for name in named:
        yield from _within(sources, start, name)
    for file in sources.names:
        if b"ROOT_URLCONF" in sources.text(file) and (start.app_dir == "." or file.startswith(f"{start.app_dir}/")):
            inside = file if start.app_dir == "." else file[len(start.app_dir) + 1 :]
            module = inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            package = module.rpartition(".")[0]
            if package.endswith("settings"):
                yield from _within(sources, start, package)
            yield module


def _within(sources: Sources, start: _Start, package: str) -> list[str]:
    """Return the modules of a settings package, the likeliest first."""
    folder = join(start.app_dir, package.replace(".", "/"))
    names = [name[len(folder) + 1 : -3] for name in sources.names if _folder(name) == folder]
    ranked = sorted(names, key=lambda name: _LOCAL_FIRST.index(name) if name in _LOCAL_FIRST else len(_LOCAL_FIRST))
    return [f"{package}.{name}" for name in ranked if name != "__init__"]


def _look_into(sources: Sources, start: _Start, budget: Budget) -> FoundApp | None:
    named = _named_settings(sources, start)
    for name in list(dict.fromkeys(_candidates(sources, start, named)))[:_MAX_SETTINGS]:
        framework = DjangoFramework()
        evaluator = PythonEvaluator(sources, start.app_dir, budget, framework, start.roots)
        settings = DjangoSettings(name, evaluator, sources)
        evaluator.outside.update(OUTSIDE, **{"django.conf.settings": settings})
        root = settings.attribute("ROOT_URLCONF")
        if isinstance(root, str):
            installed = settings.attribute("INSTALLED_APPS")
            names = installed if isinstance(installed, list) else []
            framework.installed = frozenset(name.partition(".")[0] for name in names if isinstance(name, str))
            # Run with the named settings even if the evaluator cannot follow how they are composed.
            chosen = named[0] if named and not _is_empty(sources, start.app_dir, named[0]) else name
            return _found(start, chosen, partial(_list, root, evaluator))
    return None


def _is_empty(sources: Sources, folder: str, name: str) -> bool:
    """Return whether a settings package itself sets nothing; then one of its modules has the settings."""
    path = join(folder, name.replace(".", "/"))
    if sources.has_file(f"{path}.py"):
        return False
    tree = sources.tree(f"{path}/__init__.py") if sources.has_file(f"{path}/__init__.py") else None
    return tree is None or not any(_may_set(node) for node in ast.walk(tree))


def _may_set(node: ast.AST) -> bool:
    """Return whether a statement may give a module names in capitals: by itself, or from somewhere else."""
    match node:
        case ast.ImportFrom(level=level, names=names):
            return level > 0 or any(one.name == "*" or one.name.isupper() for one in names)
        case ast.Name(id=name, ctx=ast.Store()):
            return name.isupper()
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _SETTING_CALLS
    return False


def _list(root: str, evaluator: PythonEvaluator, found: Found) -> None:
    module = evaluator.module(root)
    if module is not None:
        list_endpoints(module, evaluator, found)


def _found(start: _Start, settings: str, read: Callable[[Found], None]) -> FoundApp:
    name = start.file.rpartition("/")[2]
    target = AppTarget(
        module=settings,
        attribute="",
        app_dir=start.app_dir,
        factory=False,
        file=start.file,
        reason=f'Django project found: {name}, settings "{settings}"',
        framework="django",
    )
    side = any(folder in _SIDE_FOLDERS for folder in start.file.split("/")[:-1])
    return FoundApp(target, True, side, read)
