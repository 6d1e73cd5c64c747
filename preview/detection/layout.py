"""Find a Python application's working folder, import roots and manifest folder."""

from __future__ import annotations

import ast
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.project_imports import Nodes
from preview.endpoints import AppTarget
from preview.sources import Sources
from preview.sources.commands import StartCommand

# Files that are typically in the folder from which a project is started.
_MARKS: Final = (
    "manage.py", "requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "setup.cfg", "Dockerfile", "Procfile",
    ".env", ".env.example", ".env.sample", "alembic.ini", ".flaskenv", "docker-compose.yml", "poetry.lock", "uv.lock",
)  # fmt: skip
_MANIFESTS: Final = ("requirements.txt", "Pipfile", "setup.py", "environment.yml", "environment.yaml")
_REQUIREMENTS: Final = re.compile(r"requirements?([._-][\w.-]+)?\.(txt|in)|requirements")
# Calls whose first argument is a path relative to the working folder.
_PATH_CALLS: Final = frozenset(
    {"Jinja2Templates", "StaticFiles", "open", "load_dotenv", "dotenv_values", "FileResponse", "FileSystemLoader",
     "read_csv", "read_json", "read_excel", "joblib_load", "Path", "SettingsConfigDict", "Config", "load_model",
     "fileConfig", "read_env", "from_pyfile", "from_json", "send_from_directory",
     "abspath"}
)  # fmt: skip
_FLASK_CALLS: Final = frozenset({"Flask", "APIFlask", "OpenAPI", "Quart"})
_FLASK_FOLDERS: Final = frozenset({"template_folder", "static_folder", "instance_path", "root_path"})
_PATH: Final = re.compile(r"(?:\./)?[\w-][\w.-]*(?:/[\w.-]+)*/?|\.env[\w.]*")
_REQUIRED: Final = re.compile(r"""\s*["']?([a-z][\w.-]*)\s*(?:[\[=<>~!;"',@]|$)""")
_LIBRARIES: Final = frozenset(
    {"fastapi", "starlette", "flask", "django", "sqlalchemy", "alembic", "pydantic", "redis", "celery", "jwt", "jose",
     "requests", "httpx", "pytest", "uvicorn", "dotenv", "email", "yaml", "elasticsearch", "rest-framework"}
)  # fmt: skip
_MAX_PATHS: Final = 200
# Modules of the standard library that servers and frameworks load. A folder with a module of such a name, first in the
# path, would hide the library's: `app/http` breaks werkzeug.
_SHADOWS: Final = frozenset(
    {"asyncio", "base64", "calendar", "code", "collections", "concurrent", "copy", "csv", "dataclasses", "datetime",
     "decimal", "email", "enum", "gzip", "hashlib", "hmac", "html", "http", "inspect", "json", "locale", "logging",
     "mimetypes", "numbers", "operator", "platform", "queue", "random", "re", "secrets", "select", "signal", "socket",
     "ssl", "statistics", "string", "struct", "subprocess", "tempfile", "threading", "time", "token", "tokenize",
     "traceback", "types", "typing", "urllib", "uuid", "warnings", "xml", "zipfile"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders of an application, relative to the project.

    Attributes:
        directory: The working folder.
        python_path: Folders for ``PYTHONPATH``, the application's own first.
        manifests: The folder of the manifest that lists the requirements.
        why: One sentence if the working folder is not the project's root.
    """

    directory: str
    python_path: tuple[str, ...]
    manifests: str
    why: str = ""


def folders_between(lower: str, upper: str = ".") -> list[str]:
    """Return a folder and its parents, up to ``upper``, the lowest first."""
    folders = [posixpath.normpath(lower)]
    while folders[-1] not in {".", "", posixpath.normpath(upper)}:
        folders.append(posixpath.dirname(folders[-1]) or ".")
    return folders


def find_layout(nodes: Nodes, target: AppTarget, files: Sequence[str], commands: Sequence[StartCommand] = ()) -> Layout:
    """Decide the application's working folder, import roots and manifest folder."""
    app_dir = posixpath.normpath(target.app_dir)
    file_folder = posixpath.dirname(target.file) or "."
    directory, why = _directory(nodes, app_dir, files, commands)
    if target.framework == "django":
        directory, why = app_dir, f"{target.file} is in {app_dir}" if app_dir != "." else ""
    path = list(dict.fromkeys((app_dir, directory, *_beside(nodes, target, files))))
    return Layout(directory, tuple(path), _manifest_folder(nodes.sources, file_folder), why)


def _directory(nodes: Nodes, app_dir: str, files: Sequence[str], commands: Sequence[StartCommand]) -> tuple[str, str]:
    candidates = folders_between(app_dir)
    if len(candidates) == 1:
        return ".", ""
    sources = nodes.sources
    paths = list(_relative_paths(nodes, files))
    counted = {folder: [path for path in paths if _exists(sources, folder, path)] for folder in candidates}
    best = max(candidates, key=lambda folder: len(counted[folder]))
    lowest = len(counted[candidates[0]])
    if len(counted[best]) > lowest:
        return best, f"its files open {_quoted(counted[best])}, which is in {_named(best)}"
    for command in commands:
        stated = posixpath.normpath(posixpath.join(command.folder, command.app_dir or "."))
        if command.app_dir and stated == app_dir and command.folder in candidates:
            return command.folder, f"{command.file} starts it from there"
    if lowest:
        return app_dir, f"its files open {_quoted(counted[app_dir])}, which is in {app_dir}"
    for folder in candidates:
        marks = [mark for mark in _MARKS if (sources.root / folder / mark).is_file()]
        if marks:
            return folder, f"{marks[0]} is in {_named(folder)}"
    return app_dir, "its imports are relative to it"


def _named(folder: str) -> str:
    return "the project's own folder" if folder == "." else folder


def _quoted(paths: Sequence[str]) -> str:
    return ", ".join(f'"{path}"' for path in paths[:2])


def _exists(sources: Sources, folder: str, path: str) -> bool:
    return (sources.root / folder / path).exists()


def _relative_paths(nodes: Nodes, files: Sequence[str]) -> Iterator[str]:
    """Yield paths, relative to the working folder, that the files open."""
    found: dict[str, None] = {}
    for file in files:
        if len(found) >= _MAX_PATHS:
            break
        for node in nodes.all(file):
            for text in _opened(node):
                if len(text) < 120 and _PATH.fullmatch(text):
                    found[text] = None
    yield from list(found)[:_MAX_PATHS]


def _opened(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        names = [item.id for item in node.targets if isinstance(item, ast.Name)]
        if "env_file" in names and isinstance(node.value.value, str):
            yield node.value.value
    if not isinstance(node, ast.Call):
        return
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in _FLASK_CALLS and node.args and isinstance(node.args[0], ast.Constant):
        # `Flask("shop")`: folders are relative to the module of this name, or else to the working folder.
        yield from _texts(item.value for item in node.keywords if item.arg in _FLASK_FOLDERS)
    if name not in _PATH_CALLS:
        return
    values = [*node.args[:1], *(item.value for item in node.keywords if item.arg in {"directory", "env_file", "path"})]
    yield from _texts(values)


def _texts(values: Iterable[ast.expr]) -> Iterator[str]:
    return (one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str))


def _beside(nodes: Nodes, target: AppTarget, files: Sequence[str]) -> Iterator[str]:
    """Yield other folders with packages that the application imports, such as a neighbouring ``src`` or ``shared``."""
    app_dir = posixpath.normpath(target.app_dir)
    sources = nodes.sources
    wanted = {name for file in files for name in _tops(nodes, file)}
    if target.framework == "django" and b"sys.path" not in sources.text(target.file):
        return
    missing = {name for name in wanted if not _is_there(sources, app_dir, name)} - sys.stdlib_module_names
    shadows = _SHADOWS
    if missing:
        # A project folder may have a library's name: `core/fastapi` does not provide `import fastapi`.
        declared = _declared(sources)
        required = {name for name in missing if name.lower().replace("_", "-") in declared}
        missing -= required
        missing -= _inner_folders(nodes, files, _sharing_a_part(missing, declared))
        shadows = _SHADOWS | required
    if not missing:
        return
    seen = {app_dir}
    for folder in folders_between(app_dir):
        for inner in (posixpath.normpath(f"{folder}/src"), *_children(sources, folder), folder):
            is_found = inner not in seen and any(_may_be_top(nodes, inner, name) for name in missing)
            if is_found and not any(_is_package(sources, inner, name) for name in shadows):
                missing = {name for name in missing if not _may_be_top(nodes, inner, name)}
                yield inner
            seen.add(inner)


def _may_be_top(nodes: Nodes, folder: str, name: str) -> bool:
    """Return whether the folder has the module, and not as a part of a package: such a part has relative imports."""
    file = posixpath.normpath(f"{folder}/{name}.py")
    is_inner = any(isinstance(node, ast.ImportFrom) and node.level for node in nodes.imports(file))
    return not is_inner and _is_package(nodes.sources, folder, name)


def _sharing_a_part(names: Iterable[str], declared: Iterable[str]) -> set[str]:
    """Return the names that a part of a required package's name is: ``graphql`` of ``graphql-core``."""
    parts = {part for one in declared for part in one.split("-")}
    return {name for name in names if name.lower() in parts}


def _inner_folders(nodes: Nodes, files: Sequence[str], names: set[str]) -> set[str]:
    """Return the names that files import as a folder within another one, too: ``api.graphql``."""
    found: set[str] = set()
    for node in (node for file in files if names for node in nodes.imports(file)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update(names.intersection(node.module.split(".")[1:]))
    return found


def _declared(sources: Sources) -> set[str]:
    """Return the names that manifests require, and some common libraries."""
    names = [name for name in sources.all_names if is_manifest(name)]
    text = b"\n".join(sources.text(name)[:200_000] for name in names[:20]).decode("utf-8", "replace").lower()
    lines = [line for line in text.splitlines() if "path" not in line and "file:" not in line]
    found = {match[1].replace("_", "-") for line in lines if (match := _REQUIRED.match(line))}
    return found | _LIBRARIES


def is_manifest(name: str) -> bool:
    """Return true for a file that lists a Python project's requirements."""
    last = name.rpartition("/")[2]
    return last in {*_MANIFESTS, "pyproject.toml", "setup.cfg"} or _REQUIREMENTS.fullmatch(last) is not None


def _children(sources: Sources, folder: str) -> list[str]:
    prefix = "" if folder == "." else f"{folder}/"
    inner = [name[len(prefix) :].split("/")[0] for name in sources.names if name.startswith(prefix)]
    return [f"{prefix}{name}" for name in dict.fromkeys(inner) if not name.endswith(".py") and name != "tests"]


def _tops(nodes: Nodes, file: str) -> Iterator[str]:
    for node in nodes.imports(file):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif node.module and not node.level:
            yield node.module.partition(".")[0]


def _is_there(sources: Sources, folder: str, name: str) -> bool:
    return _is_package(sources, folder, name) or sources.has_folder(posixpath.normpath(f"{folder}/{name}"))


def _is_package(sources: Sources, folder: str, name: str) -> bool:
    path = posixpath.normpath(f"{folder}/{name}")
    return sources.has_file(f"{path}.py") or sources.has_file(f"{path}/__init__.py")


def _manifest_folder(sources: Sources, lowest: str) -> str:
    for folder in folders_between(lowest):
        prefix = "" if folder == "." else f"{folder}/"
        if any(sources.has_file(prefix + name) for name in _MANIFESTS):
            return folder
        if b"dependencies" in _text(sources, f"{prefix}pyproject.toml"):
            return folder
        if b"install_requires" in _text(sources, f"{prefix}setup.cfg"):
            return folder
        inner = {name[len(prefix) :].split("/")[0] for name in sources.all_names if name.startswith(prefix)}
        if any(_REQUIREMENTS.fullmatch(name) for name in inner):
            return folder
    return "."


def _text(sources: Sources, name: str) -> bytes:
    return sources.text(name) if sources.has_file(name) else b""
