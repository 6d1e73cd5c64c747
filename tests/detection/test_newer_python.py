"""Source of Python 3.14 is edited so that an older Python runs it; other source is left as it is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

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


@pytest.mark.parametrize(
    ("models", "head"),
    [
        (f"import os\n{FOLLOWS}", "from __future__ import annotations; import os\n"),
        (f'"""Tables."""\nimport os\n{FOLLOWS}', '"""Tables."""\nfrom __future__ import annotations; import os\n'),
        (f'"""Tables."""\n{FOLLOWS}', '"""Tables."""; from __future__ import annotations\n'),
        (FOLLOWS, "from __future__ import annotations\nclass User:\n"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from main import Order\nclass A:\n    a: Order\n",
            "from __future__ import annotations; from typing import TYPE_CHECKING\n",
        ),
        (
            f"# -*- coding: utf-8 -*-\r\nimport os\r\n{FOLLOWS}",
            "# -*- coding: utf-8 -*-\nfrom __future__ import annotations; import os\n",
        ),
    ],
)
def test_a_file_whose_annotations_name_what_follows_gets_the_future_import(
    tmp_path: Path, models: str, head: str
) -> None:
    found = edited(tmp_path, models)
    assert found is not None
    assert found.startswith(head)
    assert sum(line.count("__future__") for line in found.splitlines()) == 1
    exec(compile(found, "models.py", "exec", dont_inherit=True), {})


def test_lists_of_exceptions_get_parentheses(tmp_path: Path) -> None:
    models = "try:\n    1\nexcept ValueError,  os.error :\n    2\nexcept A, B:\n    3\n"
    found = edited(tmp_path, models)
    assert found == "try:\n    1\nexcept (ValueError,  os.error) :\n    2\nexcept (A, B):\n    3\n"


def test_both_at_once(tmp_path: Path) -> None:
    found = edited(tmp_path, f"import os\n{FOLLOWS}\ntry:\n    1\nexcept ValueError, TypeError:\n    2\n")
    assert found is not None
    assert "__future__" in found
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


def test_names_of_files_are_no_options_and_no_edits(tmp_path: Path) -> None:
    (tmp_path / "a\tb.py").write_text(FOLLOWS)
    (tmp_path / "-c.py").write_text(FOLLOWS)
    assert edited(tmp_path, "") is None


def test_a_mark_of_the_encoding_stays_first(tmp_path: Path) -> None:
    found = edited(tmp_path, f"\ufeffimport os\n{FOLLOWS}")
    assert found == f"\ufefffrom __future__ import annotations; import os\n{FOLLOWS}"


def test_decorators_of_several_lines_stay_whole(tmp_path: Path) -> None:
    decorated = f"@print(\n    1,\n)\n{FOLLOWS}"
    assert edited(tmp_path, decorated) == f"from __future__ import annotations\n{decorated}"


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
