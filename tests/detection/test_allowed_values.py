"""Variables of which the source wants one of certain values."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, plan_of, values_of


def values(folder: Path, text: str, **files: str) -> dict[str, str]:
    return values_of(plan_of(folder, {"main.py": "import os\n" + text + FASTAPI, **files}))


READ = 'x = os.environ.get("IS_CI")\n'
TWO = 'if x == "yes":\n    NAME = "a"\nelif x == "no":\n    NAME = "b"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (READ + TWO, {"IS_CI": "no"}),
        (READ + TWO.replace("elif", "if"), {"IS_CI": "no"}),
        (TWO.replace("x ==", 'os.getenv("IS_CI") =='), {"IS_CI": "no"}),
        (READ + 'if x not in ("prod", "dev"):\n    raise ValueError(x)\n', {"IS_CI": "dev"}),
        (READ + 'assert x in ("live", "local")\n', {"IS_CI": "local"}),
        (READ + 'if x == "a":\n    pass\nelif x == "b":\n    pass\nelse:\n    raise ValueError(x)\n', {"IS_CI": "a"}),
        # With none of them, it goes on.
        (READ + TWO + 'else:\n    NAME = ""\n', {}),
        (READ + 'NAME = ""\n' + TWO, {}),
        (READ + 'if x == "yes":\n    NAME = "a"\n', {}),
        (READ + 'if x is None:\n    x = "no"\n' + TWO, {}),
        (READ.replace('")', '", "maybe")') + TWO, {}),
        ("from base import *\n" + READ + TWO, {}),
    ],
)
def test_a_variable_gets_one_of_the_values_that_the_source_compares_it_with(
    tmp_path: Path, text: str, expected: dict[str, str]
) -> None:
    assert values(tmp_path, text) == expected


def test_an_example_s_value_is_used_only_if_it_is_one_of_them(tmp_path: Path) -> None:
    assert values(tmp_path, READ + TWO, **{".env.example": "IS_CI=yes\n"}) == {"IS_CI": "yes"}
    assert values(tmp_path, READ + TWO, **{".env.example": "IS_CI=maybe\n"}) == {"IS_CI": "no"}


TABLE = "class A: pass\nconfigs = {'prod': A, 'dev': A}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('app.config.from_object(configs[os.getenv("FLASK_ENV")])\n', "dev"),
        ('name = os.environ.get("FLASK_ENV")\napp.config.from_object(configs[name])\n', "dev"),
        ('def make(name):\n    return configs[name]\nmake(os.getenv("FLASK_ENV"))\n', "dev"),
        ('def make(name):\n    return configs[name]\nmake(name=os.getenv("FLASK_ENV"))\n', "dev"),
        ('app.config.from_object(configs[os.getenv("FLASK_ENV", "prod")])\n', None),
        ('app.config.from_object(configs[os.getenv("FLASK_ENV") or "prod"])\n', None),
        ('def make(name):\n    return configs[name or "prod"]\nmake(os.getenv("FLASK_ENV"))\n', None),
        (
            'name = os.getenv("FLASK_ENV")\nif not name:\n    name = "prod"\napp.config.from_object(configs[name])\n',
            None,
        ),
    ],
)
def test_a_key_of_a_dictionary_is_one_of_its_keys(tmp_path: Path, text: str, expected: str | None) -> None:
    files = {"app.py": "import os\nfrom settings import configs\n" + FLASK + text, "settings.py": TABLE}
    assert values_of(plan_of(tmp_path, files)).get("FLASK_ENV") == expected


def test_very_many_conditions_are_read_in_bounded_time(tmp_path: Path) -> None:
    text = READ + "".join(f'if x == "{one}":\n    N{one} = configs[x]\n' for one in range(5_000))
    text += "".join(f'x{one} = os.getenv("A{one}")\nconfigs[x{one}]\n' for one in range(2_000))
    started = time.process_time()
    values(tmp_path, text)
    assert time.process_time() - started < 15


CONFIG = "import os\nclass Config:\n    STORE = os.environ.get('STORE')\n"
CHAIN = (
    "if app.config['STORE'] == 'file':\n    shop.store = 1\nelif app.config['STORE'] == 'sql':\n    shop.store = 2\n"
)


@pytest.mark.parametrize(
    ("chain", "config", "expected"),
    [
        (CHAIN, CONFIG, {"STORE": "file"}),
        (CHAIN.replace("['STORE']", ".get('STORE')"), CONFIG, {"STORE": "file"}),
        ("shop.store = None\n" + CHAIN, CONFIG, {"STORE": "file"}),
        (CHAIN.replace("'sql'", "'none'"), CONFIG, {"STORE": "none"}),
        # It goes on with another value.
        (CHAIN + "else:\n    shop.store = 3\n", CONFIG, {}),
        ("shop.store = 3\n" + CHAIN, CONFIG, {}),
        (CHAIN.replace("shop.store = 2", "shop.other = 2"), CONFIG, {}),
        (CHAIN.partition("elif")[0], CONFIG, {}),
        (CHAIN.replace("==", "!="), CONFIG, {}),
        (CHAIN, CONFIG.replace("('STORE')", "('STORE', 'sql')"), {}),
        (CHAIN, CONFIG.replace("STORE =", "OTHER ="), {}),
    ],
)
def test_a_setting_of_flask_gets_one_of_the_values_that_the_application_compares_it_with(
    tmp_path: Path, chain: str, config: str, expected: dict[str, str]
) -> None:
    source = f"import config\nimport shop\n{FLASK}app.config.from_object('config.Config')\n{chain}"
    files = {"main.py": source, "config.py": config, "shop.py": "store = None\n"}
    assert values_of(plan_of(tmp_path, files)) == expected


def test_many_chains_beside_many_statements_are_read_in_bounded_time(tmp_path: Path) -> None:
    text = f"import config\nimport shop\n{FLASK}app.config.from_object('config.Config')\n"
    files = {"main.py": text + "shop.a.b.c.d = 1\n" * 10_000 + CHAIN * 60, "config.py": CONFIG}
    began = time.process_time()
    plan_of(tmp_path, files)
    assert time.process_time() - began < 3


def test_a_long_chain_is_read_once(tmp_path: Path) -> None:
    chain = "if app.config['A'] == '0': x = 1\n" + "".join(
        f"elif app.config['A'] == '{n}': x = 1\n" for n in range(900)
    )
    files = {"main.py": f"import config\n{FLASK}{chain}", "config.py": CONFIG}
    began = time.process_time()
    plan_of(tmp_path, files)
    assert time.process_time() - began < 5


MODES = """if os.getenv("STAGE") == "local":
    app.config.from_object("config.Local")
elif os.getenv("STAGE") == "ci":
    app.config.from_object("config.Ci")
else:
    app.config.from_object("{last}")
"""


@pytest.mark.parametrize(
    ("last", "config", "expected"),
    [
        ("config.Gone", "class Local: X = 1\nclass Ci: X = 2\n", {"STAGE": "local"}),
        ("config.Live", "class Local: X = 1\nclass Ci: X = 2\nclass Live: X = 3\n", {}),
        # It may be there: nobody knows.
        ("config.Gone", "from others import *\nclass Local: X = 1\n", {}),
        ("package.Gone", "class Local: X = 1\n", {}),
    ],
)
def test_a_value_is_wanted_where_any_other_leads_to_a_class_that_is_not_there(
    tmp_path: Path, last: str, config: str, expected: dict[str, str]
) -> None:
    source = f"import os\n{FLASK}{MODES.format(last=last)}"
    assert values_of(plan_of(tmp_path, {"main.py": source, "config.py": config})) == expected
