"""What only a script would do to complete its application is done for the server, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

APP = """
class Extension:
    def init_app(self, app):
        app.append("set up")
class Broken:
    def init_app(self, app):
        raise RuntimeError("no")
class Leaving:
    def init_app(self, app):
        raise SystemExit("a part of the settings is missing")


app, one, broken, leaving = [], Extension(), Broken(), Leaving()
"""
MAIN = 'if __name__ == "__main__":\n'


def load(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Load ``app:app`` as the launcher of WSGI applications does."""
    (folder / "app.py").write_text(APP + text)
    (folder / "db.py").write_text("from app import Extension\ndb = Extension()\n")
    script = (
        f"import sys; sys.path[0] = {str(LAUNCHERS)!r}; import preview_serving; "
        f"preview_serving.become_main({str(folder)!r}, 'app:app'); "
        "print(preview_serving.load_application('app:app', factory=False))"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "app"),
    [
        pytest.param(f"{MAIN}    one.init_app(app)\n    app.run()\n", "['set up']", id="extension"),
        pytest.param(f"{MAIN}    from db import db\n    db.init_app(app)\n    exit(3)\n", "['set up']", id="imported"),
        pytest.param(f"one.init_app(app)\n{MAIN}    one.init_app(app)\n", "['set up']", id="done-already"),
        pytest.param(f"{MAIN}    broken.init_app(app)\n    one.init_app(app)\n", "['set up']", id="one-fails"),
        pytest.param(f"{MAIN}    leaving.init_app(app)\n    one.init_app(app)\n", "['set up']", id="one-leaves"),
        pytest.param(f"{MAIN}    import nothing\n    app.append(1)\n", "[]", id="nothing-else-runs"),
        pytest.param("if __name__ != '__main__':\n    one.init_app(app)\n", "['set up']", id="the-other-way"),
        pytest.param(f"X = {' + '.join(['1'] * 1500)}\n{MAIN}    one.init_app(app)\n", "['set up']", id="deep"),
        pytest.param("__file__ = 7\n", "[]", id="without-a-file"),
    ],
)
def test_what_completes_an_application_under_main_is_done(text: str, app: str, tmp_path: Path) -> None:
    done = load(text, tmp_path)
    assert done.stdout.strip() == app, done.stderr


def test_a_call_that_fails_is_told(tmp_path: Path) -> None:
    done = load(f"{MAIN}    broken.init_app(app)\n", tmp_path)
    assert "line 15, which only a script runs, failed: RuntimeError: no" in done.stderr
    assert "done here" not in done.stderr
