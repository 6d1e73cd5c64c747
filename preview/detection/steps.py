"""What runs before a Python application: its migrations."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable, Mapping, Sequence

from preview.detection.facts import Facts
from preview.detection.layout import folders_between
from preview.detection.plan import Step
from preview.endpoints import AppTarget
from preview.sources import Sources


def find_steps(
    sources: Sources,
    target: AppTarget,
    directory: str,
    facts: Facts,
    files: Iterable[str],
    variables: Mapping[str, str] | None = None,
) -> tuple[Step, ...]:
    """Migrations of Alembic or Flask-Migrate, where the project has some.

    Args:
        sources: The project's files.
        target: The application.
        directory: The working folder.
        facts: What the application calls.
        files: The Python files that it loads.
        variables: For a step that cannot use the application's own, such as a URL with a driver for asyncio.
    """
    folders = folders_between(posixpath.dirname(target.file) or ".")
    if target.framework == "flask" and any(_is_migrate(call.name) for call in facts.calls):
        step = _flask_migrate(sources, target, directory, folders)
        return (step,) if step else ()
    for folder in folders:
        ini = posixpath.normpath(f"{folder}/alembic.ini")
        if sources.has_file(ini):
            return _alembic(sources, folder, ini, files, variables)
    return ()


def django_steps(sources: Sources, target: AppTarget) -> tuple[Step, ...]:
    """``migrate``, which makes the tables of Django's own applications too."""
    manage = posixpath.basename(target.file) == "manage.py"
    first = ("python", "manage.py") if manage else ("python", "-m", "django")
    variables = None if manage else {"DJANGO_SETTINGS_MODULE": target.module}
    own = any("/migrations/" in f"/{name}" and not name.endswith("__init__.py") for name in sources.names)
    argv = (*first, "migrate", "--noinput") if own else (*first, "migrate", "--noinput", "--run-syncdb")
    why = "its applications have migrations" if own else "its tables are made from its models: it has no migrations"
    return (Step("migrations", argv, target.app_dir, why, variables=variables),)


def _is_migrate(name: str) -> bool:
    return name.startswith("flask_migrate.Migrate") or name in {"Migrate", ".Migrate"}


def _flask_migrate(sources: Sources, target: AppTarget, directory: str, folders: Sequence[str]) -> Step | None:
    candidates = dict.fromkeys([directory, posixpath.normpath(target.app_dir), *folders])
    folder = next(
        (name for name in candidates if sources.has_file(posixpath.normpath(f"{name}/migrations/env.py"))), None
    )
    if folder is None:
        return None
    name = f"{target.module}:{target.attribute}" + ("()" if target.factory else "")
    path = posixpath.normpath(f"{folder}/migrations")
    return Step(
        "migrations",
        ("flask", "--app", name, "db", "upgrade", "--directory", posixpath.relpath(path, directory)),
        directory,
        f"Flask-Migrate, with {path}",
    )


def _alembic(
    sources: Sources, folder: str, ini: str, files: Iterable[str], variables: Mapping[str, str] | None
) -> tuple[Step, ...]:
    if _runs_alembic_itself(sources, files):
        return ()
    env = next((name for name in sources.names if name.endswith("/env.py") and _under(name, folder)), None)
    if env is None:
        return ()
    versions = posixpath.dirname(env)
    if not any(name.startswith(f"{versions}/") and "revision" in _head(sources, name) for name in sources.names):
        return ()
    text = sources.text(env)
    asynchronous = b"async_engine_from_config" in text or b"create_async_engine" in text or b"run_sync" in text
    # A migration that imports the application's own engine needs the URL that this engine takes.
    own_engine = any(word in text for word in (b"import engine", b"import async_engine", b"sync_engine"))
    given = None if asynchronous or own_engine else variables
    return (Step("migrations", ("alembic", "upgrade", "head"), folder, f"Alembic, with {ini}", variables=given),)


def _under(name: str, folder: str) -> bool:
    return folder == "." or name.startswith(f"{folder}/")


def _head(sources: Sources, name: str) -> str:
    return sources.text(name)[:4000].decode("utf-8", "replace") if "/versions/" in name or "version" in name else ""


def _runs_alembic_itself(sources: Sources, files: Iterable[str]) -> bool:
    """The application upgrades its database when it comes up (``alembic.command.upgrade``)."""
    for file in files:
        tree = sources.tree(file) if b"alembic" in sources.text(file) else None
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Attribute) and node.attr == "upgrade":
                return True
    return False
