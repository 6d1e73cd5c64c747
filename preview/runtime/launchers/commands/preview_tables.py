"""Makes the tables of a project's models where its migrations fail, with the migrations' own environment.

``python preview_tables.py alembic [SECTION]`` or ``python preview_tables.py flask FOLDER``

Alembic's ``env.py`` names the models and connects to the database. It runs as it does for ``alembic upgrade``, with
``create_all`` in place of the revisions. The database is then marked with the newest revision, whose tables it has.

Runs in the child, on the project's own interpreter: standard library, Alembic and Flask only.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_MOST_SHOWN = 500


def _alembic(section: str = "alembic") -> Any:
    from alembic.config import Config  # noqa: PLC0415

    return Config("alembic.ini", ini_section=section)


def _flask(folder: str) -> Any:
    from flask import cli  # noqa: PLC0415

    cli.load_dotenv()
    application = cli.ScriptInfo(os.environ["FLASK_APP"]).load_app()
    # Until the end: an application may push contexts of its own when it is imported, and leave them.
    application.app_context().push()
    return application.extensions["migrate"].migrate.get_config(folder)


def _make(config: Any) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    script = ScriptDirectory.from_config(config)
    made: list[str] = []

    def create(_: Any, context: Any) -> list[Any]:
        named = context.opts.get("target_metadata")
        # Outside of this, nobody commits if the environment wants a transaction for each migration.
        with context.begin_transaction(_per_migration=True):
            for metadata in named if isinstance(named, (list, tuple)) else (named,):
                if metadata is not None:
                    metadata.create_all(context.connection)
                    made.extend(metadata.tables)
        return []

    with EnvironmentContext(config, script, fn=create, destination_rev="heads"):
        script.run_env()
    if not made:
        sys.exit("no table is made: the migrations' env.py names no models")
    command.stamp(config, "heads")
    print("tables:", ", ".join(made)[:_MOST_SHOWN])  # noqa: T201  the step's output


def main(kind: str, *arguments: str) -> None:
    """Make the tables."""
    sys.path[0] = os.getcwd()  # noqa: PTH109  compared as text
    _make(_flask(*arguments) if kind == "flask" else _alembic(*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
