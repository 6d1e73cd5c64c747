"""Choose a project's application: the named one, else the first found."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from preview.detection.overrides.given import Overrides
from preview.detection.overrides.preview_file import read_preview_file
from preview.detection.plain import without_routes
from preview.endpoints import NODE_NAMES, AppTarget, Extraction, Found, FoundApp, extract, find_apps
from preview.endpoints.budget import OutOfBudget
from preview.endpoints.unread import TOO_LARGE
from preview.errors import InvalidGeneration
from preview.sources import Sources

_MARKS = (("fastapi", b"fastapi"), ("flask", b"flask"), ("starlette", b"starlette"), ("fastapi", b"quart"))


def choose_app(sources: Sources, apps: Sequence[FoundApp], given: Overrides) -> FoundApp | None:
    """Return the application to start; None if there is none and none was named.

    Raises:
        InvalidGeneration: The named application does not exist.
    """
    wanted = [app for app in apps if has_framework(app.target, given)]
    if given.app is None:
        return wanted[0] if wanted else None
    return next((app for app in wanted if _is_named(app.target, given)), None) or _named(sources, given)


def has_framework(target: AppTarget, given: Overrides) -> bool:
    """Return whether an application is of the given framework; True if none is given."""
    node = {*NODE_NAMES, "node"}
    names = {
        "node": node,
        "express": {"express", "nestjs"},
        "starlette": {"starlette", "fastapi"},
        "fastapi": {"fastapi", "starlette"},
        "falcon": {"falcon", "falcon-asgi"},
    }
    return given.framework is None or target.framework in names.get(given.framework, {given.framework})


def _is_named(target: AppTarget, given: Overrides) -> bool:
    module, _, attribute = (given.app or "").partition(":")
    attribute = attribute.removesuffix("()")
    if given.directory is not None and posixpath.normpath(target.app_dir) != given.directory:
        return False
    return module in {target.module, target.file} and attribute in {"", target.attribute}


def _named(sources: Sources, given: Overrides) -> FoundApp | None:
    """Return a named application that detection did not find; its endpoints are unknown."""
    module, _, attribute = (given.app or "").partition(":")
    if module.endswith((".js", ".ts", ".mjs", ".cjs", ".mts", ".cts")):
        return None
    file = _file(sources, module, given.directory)
    if file is None:
        raise InvalidGeneration(
            f'Cannot launch: there is no module "{module}" in the project, but it is set as the application. Write '
            'it as in an import, for instance "app.main:app", and set directory to its folder.',
            missing_files=[module.removesuffix(".py").replace(".", "/") + ".py"],
        )
    path = module.removesuffix(".py").replace(".", "/").strip("/")
    end = f"{path}/__init__.py" if file.endswith(f"{path}/__init__.py") else f"{path}.py"
    app_dir = posixpath.normpath(file.removesuffix(end) or ".")
    framework = given.framework or _framework(sources, file)
    target = AppTarget(
        module=path.replace("/", "."),
        attribute="" if framework == "django" else attribute.removesuffix("()") or "app",
        app_dir=app_dir,
        factory=attribute.endswith("()") or bool(given.factory),
        file=file,
        reason=f'application "{given.app}" as specified',
        framework=framework,
    )
    return without_routes(target)


def _file(sources: Sources, module: str, directory: str | None) -> str | None:
    path = module.removesuffix(".py").replace(".", "/").strip("/")
    ends = (f"{path}.py", f"{path}/__init__.py")
    if directory is not None:
        inside = [posixpath.normpath(f"{directory}/{end}") for end in ends]
        found = next((name for name in inside if sources.has_file(name)), None)
        if found is not None:
            return found
    return next((name for name in sources.names if f"/{name}".endswith(tuple(f"/{end}" for end in ends))), None)


def _framework(sources: Sources, file: str) -> str:
    text = sources.text(file).lower()
    return next((name for name, mark in _MARKS if mark in text), "fastapi")


def read_endpoints(directory: Path) -> Extraction:
    """Extract like ``extract``, but for the application that ``preview.toml`` names, if any.

    Raises:
        InvalidGeneration: ``preview.toml`` is invalid, or names an application that does not exist.
    """
    given = read_preview_file(directory)
    if given.app is None and given.framework is None:
        return extract(directory)
    sources = Sources(directory)
    app = choose_app(sources, find_apps(sources), given)
    if app is None:
        return extract(directory)
    found = Found()
    try:
        app.list_endpoints(found)
    except OutOfBudget:
        found.say(TOO_LARGE)
    return Extraction(
        tuple(found.values()), tuple(found.unread), tuple(found.sockets.values()), sources.skipped, app.target
    )
