"""Old packages import what this Python no longer has: it is given back, and told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS


def run(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "old.py").write_text(code)
    script = (
        f"import sys; sys.path[0] = {str(LAUNCHERS)!r}; import preview_serving; "
        f"preview_serving.become_main({str(tmp_path)!r}, 'old:app'); import old"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    # Standard error of a server is the log, which reads the marks.
    done.stderr = done.stderr.replace("\x1b]7473;;2\x1b\\", "")
    return done


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from collections import Callable, OrderedDict\nassert isinstance(len, Callable)", "collections.Callable"),
        ("import collections\nassert issubclass(dict, collections.MutableMapping)", "collections.MutableMapping"),
        ("import inspect\nassert inspect.getargspec(lambda a, *b: 0).varargs == 'b'", "inspect.getargspec"),
        ("import time\nassert time.clock() >= 0", "time.clock"),
        ("from base64 import encodestring\nassert encodestring(b'a')", "base64.encodestring"),
    ],
)
def test_a_name_that_python_dropped_is_given_back_and_told(code: str, name: str, tmp_path: Path) -> None:
    done = run(code, tmp_path)
    assert done.stderr == f"{name} was removed from this Python version and is restored, because old uses it\n"
    assert done.returncode == 0


def test_extensions_of_flask_have_their_old_names(tmp_path: Path) -> None:
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "__init__.py").touch()
    (tmp_path / "flask_wtf.py").write_text("class Form: ...\n")
    done = run(
        "from flask.ext.wtf import Form\nfrom flask.ext import wtf\nimport flask.ext.wtf, flask_wtf\n"
        "assert flask.ext.wtf is wtf is flask_wtf and flask_wtf.__name__ == 'flask_wtf'\nimport flask.ext.nothing\n",
        tmp_path,
    )
    assert done.stderr.startswith("flask.ext was removed from Flask 1.0 and is restored, because old uses it\n")
    assert done.stderr.endswith("ModuleNotFoundError: No module named 'flask_nothing'\n")


@pytest.mark.parametrize("has_one", [False, True])
def test_the_form_of_an_old_extension_is_one_of_flask(has_one: bool, tmp_path: Path) -> None:
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "__init__.py").touch()
    # Flask-WTF since 0.15: its name `Form` is WTForms' own, which knows no request.
    own = "    validate_on_submit = data = 1" if has_one else "    data = 1"
    (tmp_path / "flask_wtf.py").write_text(f"class Form:\n{own}\nclass FlaskForm(Form):\n    validate_on_submit = 2\n")
    done = run(
        "from flask.ext.wtf import Form\nfrom flask.ext import wtf\n"
        f"assert Form is wtf.Form\nassert Form.validate_on_submit == {1 if has_one else 2}\n",
        tmp_path,
    )
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr


def test_flask_without_extensions_hears_nothing(tmp_path: Path) -> None:
    (tmp_path / "flask.py").touch()
    assert run("import flask\n", tmp_path).stderr == ""
    assert run("import flask.other\n", tmp_path).stderr.endswith("'flask' is not a package\n")


def test_it_is_told_once(tmp_path: Path) -> None:
    done = run("import collections\nfor _ in range(3): collections.Mapping\n", tmp_path)
    assert done.stderr.count("\n") == 1


def test_a_name_that_never_was_is_an_error_as_ever(tmp_path: Path) -> None:
    done = run("import collections\ncollections.Nonsense\n", tmp_path)
    assert done.stderr.endswith("AttributeError: module 'collections' has no attribute 'Nonsense'\n")


def test_what_needs_nothing_hears_nothing(tmp_path: Path) -> None:
    done = run("import collections, inspect\nfrom collections import *\n", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


TEMPLATES = """
import sys, types
class Jinja2Templates:
    def TemplateResponse(self, SIGNATURE):
        return request, name, context, status_code
module = types.ModuleType("starlette.templating")
module.Jinja2Templates = Jinja2Templates
sys.modules["starlette.templating"] = module
import preview_aged
preview_aged.take_old_templates(print)
t, c = Jinja2Templates(), {"request": "R"}
"""
NOW = "request, name, context=None, status_code=200"


@pytest.mark.parametrize(
    "call",
    [
        "t.TemplateResponse('a.html', c)",
        "t.TemplateResponse('a.html', context=c)",
        "t.TemplateResponse(name='a.html', context=c)",
        "t.TemplateResponse(object, 'a.html', c)",
        "t.TemplateResponse(request='R', name='a.html', context=c)",
    ],
)
def test_the_old_form_of_a_template_is_taken_beside_the_new_one(call: str) -> None:
    said = run_templates(f"print({call}[1:])")
    assert said[-1] == "('a.html', {'request': 'R'}, 200)"
    assert len(said) == (1 if "object" in call or "request='R'" in call else 2)


def test_other_calls_and_an_older_starlette_stay_as_they_are() -> None:
    assert "missing 1 required positional argument: 'name'" in run_templates("t.TemplateResponse('a.html')")[-1]
    assert run_templates("print(t.TemplateResponse('a.html', {}))") == ["('a.html', {}, None, 200)"]
    assert run_templates("print(t.TemplateResponse)", "name, context=None")[-1].startswith("<bound method")
    assert run_templates("print(hasattr(Jinja2Templates.TemplateResponse, '__wrapped__'))", "*args")[-1] == "False"


def run_templates(code: str, signature: str = NOW) -> list[str]:
    script = f"import sys; sys.path[0] = {str(LAUNCHERS)!r}\n{TEMPLATES.replace('SIGNATURE', signature)}\n{code}\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()
