"""Variables that Flask gives an application by their prefix: ``from_prefixed_env()``."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from detection_kit import plan_of, values_of

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
EXAMPLE = (
    "FLASK_APP=other\nFLASK_SECRET_KEY=changeme\nFLASK_TITLE=Books\nFLASK_MAIL_USERNAME=\n"
    "FLASK_SQLALCHEMY_DATABASE_URI=sqlite:///books.db\nOTHER=1\n"
)


def values(folder: Path, text: str, example: str = EXAMPLE) -> dict[str, str]:
    plan = plan_of(folder, {"app.py": FLASK + text, "requirements.txt": "flask\n", ".env.example": example})
    return {
        name: value for name, value in values_of(plan).items() if re.match("FLASK_(?!APP|RUN|DEBUG)|MY_|OTHER", name)
    }


def test_they_have_the_values_of_the_example_file(tmp_path: Path) -> None:
    assert values(tmp_path, "app.config.from_prefixed_env()\n") == {
        "FLASK_SECRET_KEY": "{secret}",
        "FLASK_TITLE": "Books",
        "FLASK_SQLALCHEMY_DATABASE_URI": "sqlite:///books.db",
    }


@pytest.mark.parametrize("call", ['from_prefixed_env("MY")', 'from_prefixed_env(prefix="MY")'])
def test_a_prefix_of_its_own(tmp_path: Path, call: str) -> None:
    assert values(tmp_path, f"app.config.{call}\n", "MY_TITLE=Books\nFLASK_TITLE=No\n") == {"MY_TITLE": "Books"}


@pytest.mark.parametrize(
    "text",
    [
        'app.config["TITLE"] = "own"\n',
        'app.config.from_mapping(TITLE="own")\n',
        'app.config.update({"TITLE": "own"})\n',
        'class Config:\n    TITLE: str = "own"\n',
    ],
)
def test_what_the_source_sets_is_kept(tmp_path: Path, text: str) -> None:
    assert values(tmp_path, f"{text}app.config.from_prefixed_env()\n", "FLASK_TITLE=Books\n") == {}


def test_what_the_source_only_reads_is_given(tmp_path: Path) -> None:
    text = 'app.config.from_prefixed_env()\nprint(app.config["TITLE"] == "x")\n'
    assert values(tmp_path, text, "FLASK_TITLE=Books\n") == {"FLASK_TITLE": "Books"}


@pytest.mark.parametrize("text", ["", "app.config.from_prefixed_env(prefix)\n", "# from_prefixed_env()\n"])
def test_without_a_known_prefix_nothing_is_given(tmp_path: Path, text: str) -> None:
    assert values(tmp_path, text) == {}


def test_many_calls_and_examples_are_read_in_time(tmp_path: Path) -> None:
    example = "".join(f"FLASK_A{number}=x\n" for number in range(5_000))
    started = time.process_time()
    values(tmp_path, "app.config.from_prefixed_env()\n" * 2_000, example)
    assert time.process_time() - started < 10
