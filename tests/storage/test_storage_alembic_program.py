"""The program ``alembic``, run in the project's folder, beside ``preview db``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from preview.storage import migrate

ROOT = Path(__file__).resolve().parents[2]


def alembic(data: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    environment = kept | {"PREVIEW_DATA_DIR": str(data)} | variables
    command = [str(Path(sys.executable).parent / "alembic"), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_it_takes_the_database_of_the_settings_up_and_down(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/preview.db"
    for arguments in (
        ["upgrade", "head"],
        ["current"],
        ["downgrade", "-1"],
        ["current"],
        ["upgrade", "head"],
        ["check"],
    ):
        done = alembic(tmp_path, *arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        if arguments == ["current"]:
            found = migrate.current(url)
            assert found is not None
            assert done.stdout.split()[0] == found
        if arguments == ["downgrade", "-1"]:
            assert migrate.current(url) not in {None, migrate.head()}
    assert migrate.current(url) == migrate.head()


def test_a_named_database_is_taken(tmp_path: Path) -> None:
    named = f"sqlite:///{tmp_path}/named.db"
    assert alembic(tmp_path / "data", "upgrade", "head", PREVIEW_DATABASE_URL=named).returncode == 0
    assert migrate.current(named) == migrate.head()


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["upgrade", "nowhere"], {}, "nowhere"),
        (["current"], {"PREVIEW_DATABASE_URL": "mysql://user:sesame@host/x"}, "PREVIEW_DATABASE_URL"),
        (["current"], {"PREVIEW_PORT_MIN": "none"}, "PREVIEW_PORT_MIN"),
        (["current"], {"PREVIEW_DATABASE_URL": "postgresql://user:sesame@127.0.0.1:1/x"}, "database"),
        (["upgrade", "head", "--sql"], {}, "--sql"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], said: str
) -> None:
    done = alembic(tmp_path, *arguments, **variables)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "sesame" not in done.stdout + done.stderr
