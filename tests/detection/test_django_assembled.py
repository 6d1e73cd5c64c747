"""``DATABASES`` that functions and names of the project put together."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from detection_kit import MANAGE, plan_of, values_of
from hypothesis import given
from hypothesis import strategies as st

from preview.detection import ServiceKind
from preview.detection.databases.assembled import Assembler, Module
from preview.detection.databases.branches import Branches

PG = '{"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "db"}'
LITE = '{"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}'
SQLITE = "sqlite:///{database_path}"
ENGINE = "django.db.backends.sqlite3"


def kinds(folder: Path, settings: str, **files: str) -> tuple[list[ServiceKind], dict[str, str]]:
    head = 'import os\nimport environ\nimport dj_database_url\nenv = environ.Env()\nROOT_URLCONF = "shop.urls"\n'
    plan = plan_of(
        folder,
        {
            "manage.py": MANAGE,
            "shop/__init__.py": "",
            "shop/urls.py": "urlpatterns = []\n",
            "shop/settings.py": head + settings,
            **{f"shop/{name}.py": text for name, text in files.items()},
        },
    )
    return [one.kind for one in plan.services], values_of(plan)


SERVER = [
    f'def database():\n    return {PG}\nDATABASES = {{"default": database()}}\n',
    f'def databases():\n    return {{"default": {PG}}}\nDATABASES = databases()\n',
    f"DATABASES: dict[str, object] = {{'default': {PG}}}\n",
    f'main = {PG}\nDATABASES = {{"default": main}}\n',
    'DATABASES = {"default": dict(ENGINE="django.db.backends.postgresql", HOST="db")}\n',
    'ENGINE = "django.db.backends.postgresql"\nDATABASES = {"default": {"ENGINE": ENGINE, "HOST": "db"}}\n',
    (
        'def one(engine, host="db"):\n    return {"ENGINE": "django.db.backends." + engine, "HOST": host}\n'
        'DATABASES = {"default": one("postgresql")}\n'
    ),
    (
        'def one(*, engine="postgresql"):\n    found = {"HOST": "db", "ENGINE": engine}\n    found["NAME"] = "x"\n'
        '    return found\nDATABASES = {"default": one()}\n'
    ),
    (
        f'def one():\n    if os.getenv("ENV", "prod") == "dev":\n        return {LITE}\n    return {PG}\n'
        'DATABASES = {"default": one()}\n'
    ),
    (
        f'def one():\n    if os.getenv("ENV", "prod") == "prod":\n        return {PG}\n    return {LITE}\n'
        'DATABASES = {"default": one()}\n'
    ),
]


@pytest.mark.parametrize("settings", SERVER)
def test_a_server_is_read_from_a_helper_or_a_name(tmp_path: Path, settings: str) -> None:
    assert kinds(tmp_path, settings)[0] == [ServiceKind.POSTGRESQL]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (f'def one():\n    return {LITE}\nDATABASES = {{"default": one()}}\n', {}),
        (
            (
                f'def one():\n    if os.getenv("ENV", "dev") == "prod":\n        return {PG}\n    return {LITE}\n'
                'DATABASES = {"default": one()}\n'
            ),
            {},
        ),
        (
            'def one():\n    return env.db("DATABASE_URL")\nDATABASES = {"default": one()}\n',
            {"DATABASE_URL": SQLITE},
        ),
        (
            (
                f'def one():\n    url = os.getenv("DATABASE_URL")\n    if url:\n'
                "        return dj_database_url.parse(url)\n"
                f'    return {PG}\nDATABASES = {{"default": one()}}\n'
            ),
            {"DATABASE_URL": SQLITE},
        ),
        (
            (
                'DB_ENGINE = os.getenv("DB_ENGINE", "django.db.backends.postgresql")\n'
                'DATABASES = {"default": {"ENGINE": DB_ENGINE, "NAME": "shop"}}\n'
            ),
            {"DB_ENGINE": ENGINE},
        ),
    ],
)
def test_sqlite_is_taken_where_a_helper_returns_it(tmp_path: Path, settings: str, expected: dict[str, str]) -> None:
    assert kinds(tmp_path, settings) == ([], expected)


def test_a_helper_of_another_module_is_read(tmp_path: Path) -> None:
    settings = 'from .database import connect\nDATABASES = {"default": connect("HOST_X")}\n'
    helper = (
        'import os\nTABLE = {"ENGINE": "django.db.backends.mysql"}\n'
        "def connect(name):\n    return {**TABLE, 'HOST': os.environ[name]}\n"
    )
    assert kinds(tmp_path, settings, database=helper)[0] == [ServiceKind.MYSQL]


DEFAULT = f'DATABASES = {{"default": {PG}}}\n'


@pytest.mark.parametrize(
    ("base", "settings", "expected"),
    [
        (LITE, f"from .base import *\n{DEFAULT}", [ServiceKind.POSTGRESQL]),
        (PG, f'from .base import *\nDATABASES = {{"default": {LITE}}}\n', []),
        # What is imported later, or chosen by a branch, may override it.
        (LITE, f"{DEFAULT}from .base import *\n", []),
        (LITE, f"{DEFAULT}try:\n    from .base import *\nexcept ImportError:\n    pass\n", []),
    ],
)
def test_the_last_of_the_settings_modules_decides(
    tmp_path: Path, base: str, settings: str, expected: list[ServiceKind]
) -> None:
    assert kinds(tmp_path, settings, base=f'DATABASES = {{"default": {base}}}\n')[0] == expected


@pytest.mark.parametrize(
    "settings",
    [
        "def one():\n    return two()\ndef two():\n    return one()\nDATABASES = one()\n",
        "a = b\nb = a\nDATABASES = {'default': a, 'x': [b] * 9}\n",
        "def one(x):\n    return [one([x, x]), one([x, x])]\nDATABASES = one(1)\n",
        "a = " + " + ".join(["b"] * 900) + "\nb = " + " + ".join(["a"] * 900) + "\nDATABASES = a\n",
        "DATABASES = {**{**x}, **one(*a, **b)}\ndef one(*a, **b):\n    return a\n",
    ],
)
def test_what_leads_to_itself_or_grows_ends(tmp_path: Path, settings: str) -> None:
    assert kinds(tmp_path, settings)[0] == []


@given(
    st.lists(st.sampled_from(["a = b", "b = f(a)", "def f(a, *, b=a):\n    return (a, b)", "a = {'x': a}", "b = 1"]))
)
def test_any_statements_are_assembled_without_an_error(statements: list[str]) -> None:
    tree = ast.parse("\n".join(statements))
    module = Module(tree, Branches(tree, {}))
    value = ast.parse("f(a, b=b)", mode="eval").body
    before = ast.dump(value)
    assert ast.unparse(Assembler(lambda _: module).assemble(value, module))
    assert ast.dump(value) == before
