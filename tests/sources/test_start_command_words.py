"""A start command that is quoted has its own words alone, whatever surrounds it."""

# ruff: noqa: E501  a table of lines as projects write them

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.sources import Sources
from preview.sources.commands import start_commands


def words_in(folder: Path, file: str, text: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(text, encoding="utf-8")
    return [" ".join(one.words) for one in start_commands(Sources(folder))]


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("package.json", '{"scripts": {"api": "uvicorn main:app --reload"}, "private": true}', "uvicorn main:app --reload"),
        ("package.json", '{"scripts": {"dev": "conc \\"uvicorn main:app --reload\\" \\"npm run web\\""}}', "uvicorn main:app --reload"),
        ("README.md", "Run `uvicorn main:app --reload` and open it.", "uvicorn main:app --reload"),
        ("README.md", "Run uvicorn main:app --port 80 in your terminal", "uvicorn main:app --port 80"),
        ("README.md", "Run `fastapi dev app/main.py`.", "fastapi dev app/main.py"),
        ("README.md", "uv run fastapi dev src/shop/main.py .", "fastapi dev src/shop/main.py"),
        ("README.md", "python app.py (needs 3.11)", "python app.py"),
        ("README.md", "`python manage.py runserver`, then", "python manage.py runserver"),
        ("README.md", "$ gunicorn -w 4 app:app  # production", "gunicorn -w 4 app:app"),
        ("run.sh", "uvicorn main:app --reload > log.txt 2>&1", "uvicorn main:app --reload"),
        ("Makefile", "dev:\n\tpython app.py --config x.yml", "python app.py --config x.yml"),
        ("Dockerfile", 'CMD ["uvicorn", "main:app", "--host", "0.0.0.0"]', "uvicorn main:app --host 0.0.0.0"),
        ("Dockerfile", "CMD uvicorn main:app --port ${PORT:-80}", "uvicorn main:app --port ${PORT:-80}"),
        ("Procfile", 'web: gunicorn "app:create_app()" --bind 0.0.0.0:$PORT', "gunicorn app:create_app() --bind 0.0.0.0:$PORT"),
    ],
)  # fmt: skip
def test_only_the_commands_own_words_are_quoted(tmp_path: Path, file: str, text: str, expected: str) -> None:
    assert words_in(tmp_path, file, text)[0] == expected


@given(st.text(max_size=80))
def test_whatever_follows_a_command_is_no_json_and_no_quote(
    tmp_path_factory: pytest.TempPathFactory, after: str
) -> None:
    text = "uvicorn main:app " + after.encode("utf-8", "replace").decode()
    for words in words_in(tmp_path_factory.getbasetemp() / "words", "README.md", text):
        assert not set(words) & set("{}[]\"'`<>|#\\") or "${" in words
