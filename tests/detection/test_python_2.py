"""An application that certainly loads a file in Python 2 is refused at once; any other is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import plan_of

from preview.errors import InvalidGeneration

APP = "from flask import Flask\napp = Flask(__name__)\n"
OLD = "def index():\n    print 'x'\n"


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"app.py": f"{APP}{OLD}"}, "app.py, line 4"),
        ({"shop/__init__.py": f"{APP}from shop import views\n", "shop/views.py": OLD}, "shop/views.py, line 2"),
        ({"shop/__init__.py": f"{APP}from . import views\n", "shop/views.py": "try:\n    a()\nexcept A, e:\n    b()\n"},
         "shop/views.py, line 3"),
    ],
)  # fmt: skip
def test_a_file_in_python_2_that_is_loaded_is_named_before_anything_is_installed(
    tmp_path: Path, files: dict[str, str], place: str
) -> None:
    with pytest.raises(InvalidGeneration, match=f"{place}, is written in Python 2"):
        plan_of(tmp_path, files)


@pytest.mark.parametrize(
    "files",
    [
        {"app.py": f"{APP}try:\n    import old\nexcept SyntaxError:\n    pass\n", "old.py": OLD},
        {"app.py": f"{APP}def later():\n    import old\n", "old.py": OLD},
        {"app.py": APP, "manage.py": OLD},
        # Newer than the service's own Python, or a mistake.
        {"app.py": f"{APP}type Name = str\n"},
        {"app.py": f"{APP}import b\n", "b.py": "def c(:\n"},
    ],
)
def test_a_file_that_may_never_be_loaded_or_is_no_python_2_refuses_nothing(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert plan_of(tmp_path, files).framework == "flask"
