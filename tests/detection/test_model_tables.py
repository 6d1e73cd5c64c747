"""The tables of models that nothing makes, in a database that the preview supplies."""

from __future__ import annotations

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
        f"{APP}from flask_migrate import Migrate\nMigrate(app, db)\n",
        APP.replace('os.getenv("DATABASE_URL")', '"sqlite:///own.db"'),
        APP.replace('os.getenv("DATABASE_URL")', '"postgresql://db/pupils"'),
    ],
    ids=["made", "migrated", "a database of its own", "a server"],
)
def test_a_project_that_makes_its_tables_or_has_its_own_database_is_left_alone(tmp_path: Path, text: str) -> None:
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
