"""The tables of models that nothing makes, in a database that the preview supplies."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from preview.detection import detect

APP = """import os
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.getenv("DATABASE_URL")
db = SQLAlchemy(app)
class Pupil(db.Model):
    id = db.Column(db.Integer, primary_key=True)
"""


def tables(root: Path, text: str) -> list[tuple[str, ...]]:
    (root / "app.py").write_text(text)
    return [step.argv[3:] for step in detect(root).steps if step.name == "tables"]


def test_the_models_tables_are_made_in_the_supplied_database(tmp_path: Path) -> None:
    assert tables(tmp_path, APP) == [("app", "app")]


@pytest.mark.parametrize(
    "text",
    [
        f"{APP}with app.app_context():\n    db.create_all()\n",
        APP.replace('os.getenv("DATABASE_URL")', '"postgresql://db/pupils"'),
    ],
    ids=["made", "a server"],
)
def test_a_project_that_makes_its_tables_or_has_a_server_is_left_alone(tmp_path: Path, text: str) -> None:
    assert tables(tmp_path, text) == []


COMMANDS = """cli = FlaskGroup(create_app=lambda: app)
@cli.command("recreate_db")
def recreate_db():
    db.drop_all()
    db.create_all()
if __name__ == "__main__":
    cli()
"""


def test_a_command_that_drops_tables_is_not_run_and_the_models_tables_are_made(tmp_path: Path) -> None:
    assert tables(tmp_path, f"{APP}from flask.cli import FlaskGroup\n{COMMANDS}") == [("app", "app")]
    assert tables(tmp_path, f"{APP}from flask.cli import FlaskGroup\n{COMMANDS}db.create_all()\n") == []


def test_a_database_file_that_the_project_brings_is_left_alone(tmp_path: Path) -> None:
    text = APP.replace('os.getenv("DATABASE_URL")', '"sqlite:///own.db"')
    assert tables(tmp_path, text) == [("app", "app")]
    (tmp_path / "own.db").touch()
    assert tables(tmp_path, text) == []


def test_flask_migrate_makes_the_tables_if_it_has_a_migration(tmp_path: Path) -> None:
    text = f"{APP}from flask_migrate import Migrate\nMigrate(app, db)\n"
    assert tables(tmp_path, text) == [("app", "app")]
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions / "__init__.py").touch()
    (versions.parent / "env.py").touch()
    assert tables(tmp_path, text) == [("app", "app")]
    (versions / "one.py").write_text("revision = '1'\n")
    assert tables(tmp_path, text) == []


FAST = """import os
from fastapi import FastAPI
from db import engine
app = FastAPI()
"""
MAKER = """import os
from sqlalchemy import create_engine
from sqlalchemy.orm import declarative_base
engine = create_engine(os.getenv("DATABASE_URL"))
Base = declarative_base()
def init_database():
    Base.metadata.create_all(engine)
"""


@pytest.mark.parametrize(
    ("app", "maker", "expected"),
    [
        (FAST, MAKER, [("app", "db", "init_database")]),
        (f"{FAST}from db import init_database\ninit_database()\n", MAKER, []),
        (FAST, MAKER.replace("()", "(engine)"), []),
        (FAST, MAKER.replace("init_database", "test_it"), []),
        (FAST, f"{MAKER}Base.metadata.create_all(engine)\n", []),
    ],
)
def test_the_project_s_own_function_for_its_tables_is_called_if_nothing_does(
    tmp_path: Path, app: str, maker: str, expected: list[tuple[str, ...]]
) -> None:
    (tmp_path / "db.py").write_text(maker)
    assert tables(tmp_path, app) == expected


DECLARED = """from typing import Annotated
from fastapi import FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
engine = create_engine("sqlite:///shop.db")
class Base(DeclarativeBase):
    '''Base.metadata.create_all makes the tables.'''
class Pupil(Base):
    __tablename__ = "pupils"
    id: Mapped[int] = mapped_column(primary_key=True)
app = FastAPI()
"""


@pytest.mark.parametrize(
    ("text", "is_made"),
    [
        (DECLARED, True),
        (DECLARED.replace("create_engine(", "create_async_engine("), True),
        (DECLARED.replace("(DeclarativeBase)", "(AsyncAttrs, DeclarativeBase)"), True),
        (DECLARED.replace("class Base(DeclarativeBase)", "@as_declarative()\nclass Base"), True),
        (f"from sqlalchemy.sql import func\n{DECLARED}", True),
        (f"{DECLARED}load('tables.sql')\n", False),
        (f"{DECLARED}Base.metadata.create_all(engine)\n", False),
        (f"{DECLARED}connection.run_sync(Base.metadata.create_all)\n", False),
        (f"{DECLARED}engine.execute('create table pupils (id int)')\n", False),
        (DECLARED.replace("create_engine(", "engine_of("), False),
    ],
)
def test_declared_models_get_the_tables_that_nothing_makes(tmp_path: Path, text: str, is_made: bool) -> None:
    assert tables(tmp_path, text) == ([("app",)] if is_made else [])


@pytest.mark.parametrize("is_there", [True, False])
def test_an_upgrade_without_revisions_makes_no_tables(tmp_path: Path, is_there: bool) -> None:
    if is_there:
        (tmp_path / "migrations" / "versions").mkdir(parents=True)
        (tmp_path / "migrations" / "versions" / "1_pupils.py").write_text("revision = '1'\n")
    made = tables(tmp_path, f"{DECLARED}from alembic import command\ncommand.upgrade(config, 'head')\n")
    assert made == ([] if is_there else [("app",)])


@pytest.mark.parametrize("second", ["", "other = create_engine('sqlite:///other.db')\n"])
def test_the_step_makes_the_tables_of_one_database(tmp_path: Path, second: str) -> None:
    text = DECLARED.replace("from fastapi import FastAPI\n", "").replace("app = FastAPI()\n", second)
    tables(tmp_path, DECLARED)
    argv = next(step.argv for step in detect(tmp_path).steps if step.name == "tables")
    (tmp_path / "app.py").write_text(text)
    done = subprocess.run([sys.executable, *argv[1:]], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert (b"pupils" in done.stdout) is (not second)
    with sqlite3.connect(tmp_path / "shop.db") as database:
        found = database.execute("select name from sqlite_master").fetchall()
    assert found == ([] if second else [("pupils",)])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("db.session.add(Pupil())\n    db.session.commit()", ["tables", "seed"]),
        ("make_tables()", ["init"]),
        ("init_db()\n    db.session.add(Pupil())\n    db.session.commit()", ["init"]),
    ],
    ids=["adds", "tells nothing", "may make tables"],
)
def test_a_command_that_only_adds_data_comes_after_the_tables(tmp_path: Path, body: str, expected: list[str]) -> None:
    (tmp_path / "app.py").write_text(f"{APP}@app.cli.command('init')\ndef init():\n    {body}\n")
    (tmp_path / "Makefile").write_text("init:\n\tdocker-compose exec web flask init\n")
    assert [step.name for step in detect(tmp_path).steps] == expected
