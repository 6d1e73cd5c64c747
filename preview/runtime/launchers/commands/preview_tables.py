"""Makes the tables of a project's models where its migrations fail.

``python preview_tables.py alembic [--config FILE] [--name SECTION]`` or
``python preview_tables.py flask [--directory FOLDER]``

Alembic's ``env.py`` names the models and connects to the database. It runs as it does for ``alembic upgrade``, with
``create_all`` in place of the revisions. Flask-Migrate knows the models itself. The database is then marked with the
newest revision, whose tables it has.

Runs in the child, on the project's own interpreter: standard library, Alembic and Flask only.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

_MOST_SHOWN = 500


def _alembic(config: Any) -> list[str]:
    """Make the tables of the metadata that the environment names; return their names."""
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
    return made


def _flask(directory: str | None) -> tuple[Any, list[str]]:
    """Make the tables of Flask-SQLAlchemy's models; return Alembic's configuration and their names."""
    from flask import cli  # noqa: PLC0415

    cli.load_dotenv()
    application = cli.ScriptInfo(os.environ["FLASK_APP"]).load_app()
    # Until the end: an application may push contexts of its own when it is imported, and leave them.
    application.app_context().push()
    extension = application.extensions["migrate"]
    extension.db.create_all()
    return extension.migrate.get_config(directory), list(extension.db.metadata.tables)


def main(kind: str, *arguments: str) -> None:
    """Make the tables, and mark the database."""
    sys.path[0] = os.getcwd()  # noqa: PTH109  compared as text
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default="alembic.ini")
    parser.add_argument("--name", default="alembic")
    parser.add_argument("--directory")
    given = parser.parse_args(arguments)
    if kind == "flask":
        config, made = _flask(given.directory)
    else:
        config = Config(given.config, ini_section=given.name)
        made = _alembic(config)
    if not made:
        sys.exit("no table is made: the migrations' env.py names no models")
    print("tables:", ", ".join(made)[:_MOST_SHOWN])  # noqa: T201  the step's output
    try:
        command.stamp(config, "heads")
    except Exception as error:  # noqa: BLE001  the tables are there, whatever the environment does
        print(f"not marked with the newest migration: {error!r:.200}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
