"""Source of Python 3.14 is edited so that an older Python runs it; other source is left as it is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from preview.detection import OLDER_PYTHON, Overrides, detect
from preview.errors import InvalidGeneration

APP = "from flask import Flask\nfrom models import User\napp = Flask(__name__)\n"
FOLLOWS = """class User:
    cart: Cart
    def other(self, user: User) -> User: ...

class Cart:
    pass
"""


def edited(folder: Path, models: str) -> str | None:
    """Run the step on the project; return the file, or None without a step."""
    (folder / "main.py").write_text(APP)
    (folder / "models.py").write_text(models)
    assert all(step.name != OLDER_PYTHON for step in detect(folder).steps)
    steps = [step for step in detect(folder, Overrides(for_older_python=True)).steps if step.name == OLDER_PYTHON]
    if not steps:
        return None
    subprocess.run([sys.executable, *steps[0].argv[1:]], cwd=folder, check=True, timeout=60)
    assert (folder / "main.py").read_text() == APP
    return (folder / "models.py").read_text()


LATER = "class Cart: ...\n"


@pytest.mark.parametrize(
    ("annotation", "quoted"),
    [
        ("Cart", '"Cart"'),
        ("list[Cart]", 'list["Cart"]'),
        ("dict[str, list[Cart]]", 'dict[str, list["Cart"]]'),
        ("Callable[[Cart], None]", 'Callable[["Cart"], None]'),
        ("list[Cart] | None", 'list["Cart"] | None'),
        ("Cart | None", '__import__("typing").Union["Cart"] | None'),
        ("None | User | Cart", 'None | __import__("typing").Union["User"] | __import__("typing").Union["Cart"]'),
        # Text is allowed for a type only: what stands elsewhere goes into the text as a whole.
        ('Annotated[Cart, Field("a", is_=Cart)]', 'r"""(Annotated[Cart, Field("a", is_=Cart)])"""'),
        ("Cart.Kind", 'r"""(Cart.Kind)"""'),
        ("Annotated[\n    Cart.Kind, 1]", 'r"""(Annotated[\n    Cart.Kind, 1])"""'),
    ],
)
def test_a_name_that_follows_gets_quotes(tmp_path: Path, annotation: str, quoted: str) -> None:
    given = "from typing import Annotated, Callable\nField = lambda *a, **b: a\nclass User:\n    cart: {}\n" + LATER
    found = edited(tmp_path, given.format(annotation))
    assert found == given.format(quoted)
    namespace: dict[str, Any] = {}
    exec(compile(found, "models.py", "exec", dont_inherit=True), namespace)
    if ".Kind" not in annotation:
        assert "cart" in get_type_hints(namespace["User"], namespace)


def test_arguments_results_and_names_for_type_checkers_get_them_too(tmp_path: Path) -> None:
    found = edited(
        tmp_path, f"{FOLLOWS}from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import main\na: main = 1\n"
    )
    assert found is not None
    assert '    cart: "Cart"\n    def other(self, user: "User") -> "User": ...\n' in found
    assert '\na: "main" = 1\n' in found


def test_functions_and_classes_inside_of_others_get_them_too(tmp_path: Path) -> None:
    text = """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from main import app
try:
    a: app = 1
finally:
    pass
def outer():
    b: app = 1
    def inner(c: app) -> None: ...
    with open("x"):
        d: app = 1
    class Inner:
        e: app = 1
    match a:
        case 1:
            def last() -> app: ...
"""
    found = edited(tmp_path, text)
    assert found is not None
    # A variable's annotation in a function is evaluated by no Python.
    quoted = {"    a: app", "inner(c: app", "        e: app", "-> app"}
    for one in quoted:
        text = text.replace(one, one.replace("app", '"app"'))
    assert found == text


def test_relationships_of_sqlmodel_work(tmp_path: Path) -> None:
    """It reads ``list["Hero"]``; of a text such as ``"list[Hero]"`` SQLAlchemy's mapper makes an error."""
    found = edited(
        tmp_path,
        "from sqlmodel import Field, Relationship, SQLModel\n"
        "class Team(SQLModel, table=True):\n"
        "    id: int | None = Field(default=None, primary_key=True)\n"
        '    heroes: list[Hero] = Relationship(back_populates="team")\n'
        "class Hero(SQLModel, table=True):\n"
        "    id: int | None = Field(default=None, primary_key=True)\n"
        '    team_id: int | None = Field(default=None, foreign_key="team.id")\n'
        '    team: Team | None = Relationship(back_populates="heroes")\n'
        '    other_id: int | None = Field(default=None, foreign_key="late.id")\n'
        "    other: Late | None = Relationship()\n"
        "class Late(SQLModel, table=True):\n"
        "    id: int | None = Field(default=None, primary_key=True)\n",
    )
    assert found is not None
    namespace: dict[str, Any] = {"__name__": "models"}
    exec(compile(found, "models.py", "exec", dont_inherit=True), namespace)
    hero = namespace["Hero"](team=namespace["Team"](id=1), other=namespace["Late"](id=2))
    assert hero.team.heroes == [hero]


def test_lists_of_exceptions_get_parentheses(tmp_path: Path) -> None:
    models = "try:\n    1\nexcept ValueError,  os.error :\n    2\nexcept A, B:\n    3\n"
    found = edited(tmp_path, models)
    assert found == "try:\n    1\nexcept (ValueError,  os.error) :\n    2\nexcept (A, B):\n    3\n"


def test_both_at_once(tmp_path: Path) -> None:
    found = edited(tmp_path, f"import os\n{FOLLOWS}\ntry:\n    1\nexcept ValueError, TypeError:\n    2\n")
    assert found is not None
    assert 'cart: "Cart"' in found
    assert "except (ValueError, TypeError):" in found


@pytest.mark.parametrize(
    "models",
    [
        "from __future__ import annotations\nclass User:\n    cart: Cart\nclass Cart: ...\n",
        'class User:\n    cart: "Cart"\nclass Cart: ...\n',
        "class Cart: ...\nclass User:\n    cart: Cart\n",
        # Annotations in functions are evaluated by no Python, and this name is a mistake in all of them.
        "class User:\n    def f(self):\n        cart: Cart\nclass Cart: ...\n",
        "class User:\n    cart: Cart\n",
        "try:\n    1\nexcept (ValueError, TypeError):\n    2\n",
    ],
)
def test_other_source_is_left_as_it_is(tmp_path: Path, models: str) -> None:
    assert edited(tmp_path, models) is None


@pytest.mark.parametrize(
    ("models", "found"),
    [
        ("Generator[int]", "Generator[int, None, None]"),
        ("Generator[int, str]", "Generator[int, str, None]"),
        ("Generator[int, None, None]", None),
        ("AsyncGenerator[list[int]]", "AsyncGenerator[list[int], None]"),
        ("AsyncGenerator[\n    int\n]", "AsyncGenerator[\n    int, None\n]"),
        ("Other[int]", None),
    ],
)
def test_a_generator_s_types_may_be_left_out(tmp_path: Path, models: str, found: str | None) -> None:
    head = "from typing import AsyncGenerator, Generator\nOther = list\ndef make() -> "
    text = edited(tmp_path, f"{head}{models}: ...\n")
    assert text == (None if found is None else f"{head}{found}: ...\n")
    if text is not None:
        exec(text, {})


def test_names_that_are_new_come_from_another_module(tmp_path: Path) -> None:
    text = edited(tmp_path, "from typing import Any, TypeIs\nfrom warnings import deprecated as old\nimport warnings\n")
    assert text is not None
    assert "from typing_extensions import Any, TypeIs\n" in text
    exec(text + "@old('x')\ndef f(x: Any) -> TypeIs[int]: ...\n", {})


def test_names_of_files_are_no_options_and_no_edits(tmp_path: Path) -> None:
    (tmp_path / "a\tb.py").write_text(FOLLOWS)
    (tmp_path / "-c.py").write_text(FOLLOWS)
    assert edited(tmp_path, "") is None


def test_a_file_with_a_mark_of_its_encoding_keeps_it(tmp_path: Path) -> None:
    found = edited(tmp_path, f"\ufeffimport os\n{FOLLOWS}")
    assert found is not None
    assert found.startswith("\ufeffimport os\n")
    assert 'cart: "Cart"' in found


@pytest.mark.timed
def test_thousands_of_edits_are_none_and_take_no_time(tmp_path: Path) -> None:
    started = time.process_time()
    assert edited(tmp_path, "except A, B:\n" * 75_000) is None
    assert time.process_time() - started < 5


def test_edits_that_no_command_line_takes_are_none(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a" * 200] * 10)
    folder.mkdir(parents=True)
    for number in range(120):
        (folder / f"{number}.py").write_text(FOLLOWS)
    assert edited(tmp_path, "") is None


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python reads it")
def test_a_file_for_a_newer_python_than_the_service_s_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from fastapi import FastAPI\ndef make[T](kind: type[T]) -> FastAPI:\n    return FastAPI()\n"
    )
    with pytest.raises(InvalidGeneration) as caught:
        detect(tmp_path)
    assert "main.py cannot be read (line 2 is Python 3.12; the rest of the file was read)" in caught.value.message
    assert "run it on 3.12 or newer" in caught.value.message
