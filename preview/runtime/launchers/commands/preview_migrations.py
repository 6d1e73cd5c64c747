"""Runs Django's ``makemigrations`` and ``migrate`` as ``python manage.py`` would, as the application itself is run.

``python preview_migrations.py FILE migrate …`` or ``python preview_migrations.py -m django makemigrations …``

Names that this Python has lost are given back to older packages (``preview_aged``). No migrations are made for
installed packages:

If an application refers to a package's model, and this model differs from the package's own migrations (because of
``DEFAULT_AUTO_FIELD``, or because the project adds a field to it), Django writes a migration into the package. Its
folder is read-only in a preview and shared with others.

Runs in the child, on the project's own interpreter: standard library and Django only.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import runpy
import sys
from pathlib import Path
from typing import Any

_INSTALLED = ("site-packages", "dist-packages")


def _is_installed(label: str) -> bool:
    """Return whether the application is a package's, and its migrations would be written into the package."""
    from django.apps import apps  # type: ignore[import-untyped]  # noqa: PLC0415
    from django.conf import settings  # type: ignore[import-untyped]  # noqa: PLC0415

    if label in settings.MIGRATION_MODULES:
        return False
    path = Path(apps.get_app_config(label).path).resolve()
    return any(part in _INSTALLED for part in path.parts) or not os.access(path, os.W_OK)


def _without_installed(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the migrations of the project's own applications; what they need of packages is there already."""
    foreign = {label: {one.name for one in migrations} for label, migrations in changes.items() if _is_installed(label)}
    if not foreign:
        return changes
    from django.db.migrations.loader import MigrationLoader  # type: ignore[import-untyped]  # noqa: PLC0415

    graph = MigrationLoader(None).graph
    sys.stdout.write(f"left alone, because installed packages have them: {', '.join(sorted(foreign))}\n")
    kept = {label: migrations for label, migrations in changes.items() if label not in foreign}
    for migration in (one for migrations in kept.values() for one in migrations):
        migration.dependencies = [
            (
                (graph.leaf_nodes(label) or [(label, "__first__")])[0]
                if name in foreign.get(label, ())
                else (label, name)
            )
            for label, name in migration.dependencies
        ]
    return kept


def _guard() -> None:
    from django.core.management.commands import makemigrations  # type: ignore[import-untyped]  # noqa: PLC0415

    original = makemigrations.Command.write_migration_files

    def write_migration_files(self: Any, changes: dict[str, Any], *more: Any, **named: Any) -> Any:
        return original(self, _without_installed(changes), *more, **named)

    makemigrations.Command.write_migration_files = write_migration_files


def _give_back() -> None:
    file = Path(__file__).resolve().parent.parent / "preview_aged.py"
    spec = importlib.util.spec_from_file_location("preview_aged", file)
    if spec is not None and spec.loader is not None:
        aged = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(aged)
        aged.give_back(lambda sentence: sys.stderr.write(sentence + "\n"))


def main(arguments: list[str]) -> None:
    """Run the file or module with its arguments."""
    _give_back()
    sys.path[0] = os.getcwd()  # noqa: PTH109  compared as text
    # If Django is missing, the project's own run says so.
    with contextlib.suppress(ImportError, AttributeError):
        _guard()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))  # noqa: PTH100, PTH120  compared as text
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
