"""A module that others import while it is loaded is served as ``python FILE`` would run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

APP = """
import sys
import models
db = object()
app = {"name": __name__, "db": db}
if __name__ == "__main__":
    raise SystemExit("a second server")
"""
MODELS = "from app import db\n"


def load(app: str, models: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Load ``app:app`` as the launcher of WSGI applications does."""
    (folder / "app.py").write_text(app)
    (folder / "models.py").write_text(models)
    script = (
        f"import sys; sys.path[0] = {str(LAUNCHERS)!r}; import preview_serving; "
        f"preview_serving.become_main({str(folder)!r}, 'app:app'); "
        "print(sorted(preview_serving.load_application('app:app', factory=False)))"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_an_application_that_its_models_import_is_loaded_as_a_program(tmp_path: Path) -> None:
    done = load(APP, MODELS, tmp_path)
    assert done.stdout == "['db', 'name']\n", done.stderr
    assert "app is imported while it loads; it is loaded again as by `python app.py`" in done.stderr


def load_package(app: str, routes: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "shop").mkdir()
    for name, text in {"__init__": "", "app": app, "routes": routes}.items():
        (folder / "shop" / f"{name}.py").write_text(text)
    script = (
        f"import sys; sys.path[0] = {str(LAUNCHERS)!r}; import preview_serving; "
        f"preview_serving.become_main({str(folder)!r}, 'shop.app:app'); "
        "print(sorted(preview_serving.load_application('shop.app:app', factory=False)))"
    )
    done = [sys.executable, "-W", "error", "-c", script]
    return subprocess.run(done, capture_output=True, text=True, check=False)


def test_a_module_of_a_package_keeps_its_relative_imports(tmp_path: Path) -> None:
    app = "from . import routes\ndb = object()\napp = {'name': __name__, 'package': __package__}"
    done = load_package(app, "from .app import db", tmp_path)
    assert done.stdout == "['name', 'package']\n", done.stderr
    assert "it is loaded again as by `python -m shop.app`" in done.stderr


@pytest.mark.parametrize("first", ["from .routes import r", "from shop.routes import r"])
def test_a_circle_that_no_second_attempt_opens_is_told_as_it_was_at_first(first: str, tmp_path: Path) -> None:
    done = load_package(f"{first}\ndb = object()\napp = {{}}", "from .app import db\nr = 1", tmp_path)
    assert done.returncode == 1
    said = done.stderr.replace("\x1b]7473;;2\x1b\\", "").splitlines()
    assert said[-1].startswith("ImportError: cannot import name 'db' from partially initialized module 'shop.app'")
    assert "relative import" not in done.stderr


@pytest.mark.parametrize(
    ("app", "models", "error"),
    [
        # Circles of other modules, those that `python app.py` does not open, and other errors.
        ("import models\napp = {}", "import other\nfrom app import db", "No module named 'other'"),
        ("import models\napp = {}", "from app import nothing", "cannot import name 'nothing' from 'app'"),
        ("from models import a\napp = {}", "from models import b", "partially initialized module 'models'"),
    ],
)
def test_another_failed_import_is_told_as_it_is(app: str, models: str, error: str, tmp_path: Path) -> None:
    done = load(app, models, tmp_path)
    assert done.returncode == 1
    assert error in done.stderr


def test_an_error_of_the_second_attempt_does_not_mention_the_first(tmp_path: Path) -> None:
    done = load("import models\ndb = int('x')\napp = {}", MODELS, tmp_path)
    assert "invalid literal for int" in done.stderr
    assert "During handling" not in done.stderr
