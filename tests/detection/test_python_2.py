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
        ({"app.py": f"{APP}from shop import views\n", "shop/__init__.py": "NAME = 1\n", "shop/views.py": OLD},
         "shop/views.py, line 2"),
        ({"app.py": f"import sys\n{APP}import shop.views\n", "shop/__init__.py": "", "shop/views.py": OLD},
         "shop/views.py, line 2"),
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
        # The first folder of the import path has the module.
        {"backend/main.py": f"{APP}import utils\n", "backend/utils.py": "", "utils.py": OLD, "backend/.env": ""},
        {"app.py": f"{APP}import logging\n", "logging.py": OLD},
        # A package hides the module, and an installed package the folder.
        {"app.py": f"{APP}import utils\n", "utils/__init__.py": "", "utils.py": OLD},
        {"app.py": f"{APP}from lib import parts\n", "lib/parts.py": OLD},
        # The names are the packages' own.
        {"app.py": f"{APP}from shop import views\n", "shop/__init__.py": "views = 1\n", "shop/views.py": OLD},
        {"app.py": f"{APP}from shop import views\n", "shop/__init__.py": "from .b import *\n", "shop/b.py": "",
         "shop/views.py": OLD},
        {"app.py": f"{APP}from shop import views\n", "shop/__init__.py": "from .b import views\n", "shop/b.py": "",
         "shop/views.py": OLD},
        # The import path is another one by then.
        {"app.py": f"import sys\nsys.path.insert(0, 'lib')\n{APP}import utils\n", "lib/utils.py": "", "utils.py": OLD},
        {"app.py": f"{APP}import paths\nimport utils\n", "paths.py": "import sys\nsys.path.insert(0, 'lib')\n",
         "lib/utils.py": "", "utils.py": OLD},
        {"manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\nimport old\n",
         "site1/__init__.py": "", "site1/settings.py": "ROOT_URLCONF = 'site1.urls'\n",
         "site1/urls.py": "urlpatterns = []\n", "old.py": OLD},
    ],
)  # fmt: skip
def test_a_file_that_may_never_be_loaded_or_is_no_python_2_refuses_nothing(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert plan_of(tmp_path, files).framework in {"flask", "django"}
