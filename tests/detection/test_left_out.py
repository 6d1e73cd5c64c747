"""The module ``env`` that sets variables, and that version control leaves out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from detection_kit import FLASK, plan_of

IGNORE = {".gitignore": "*.pyc\nenv.py\n"}


def test_the_module_that_only_sets_variables_is_empty(tmp_path: Path) -> None:
    text = "import os\nimport env\n" + FLASK + 'app.secret_key = os.environ["SECRET_KEY"]\n'
    plan = plan_of(tmp_path, {"app.py": text, **IGNORE})
    step = next(one for one in plan.steps if one.name == "env.py")
    assert (step.argv[-2:], step.directory) == (("env.py", "import os\n"), ".")
    assert step.why.startswith("app.py imports it, and the project does not have it")
    assert "SECRET_KEY" in plan.variables


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("import env\n", {}),
        ("import os\nif os.path.exists('env.py'):\n    import env\n", IGNORE),
        ("import env\n", {**IGNORE, "env.py": ""}),
        ("import environ\n", IGNORE),
    ],
)
def test_other_modules_are_left_alone(tmp_path: Path, text: str, files: dict[str, str]) -> None:
    plan = plan_of(tmp_path, {"app.py": text + FLASK, **files})
    assert "env.py" not in [one.name for one in plan.steps]


@pytest.mark.parametrize("line", ["secret_keys.py", "*secret*", "/app/secret_keys.py"])
def test_constants_of_a_left_out_module_get_placeholders(tmp_path: Path, line: str) -> None:
    text = "import secret_keys\nfrom secret_keys import DB_PORT\napp.secret_key = secret_keys.SESSION_SECRET\n"
    plan = plan_of(tmp_path, {"main.py": FLASK + text, ".gitignore": f"{line}\n"})
    step = next(one for one in plan.steps if one.name == "secret_keys.py")
    subprocess.run([sys.executable, *step.argv[1:]], cwd=tmp_path, check=True, timeout=60)
    made: dict[str, object] = {}
    environ = {name: plan.variables[name].value for name in ("DB_PORT", "SESSION_SECRET")}
    program = (tmp_path / "secret_keys.py").read_text().replace("import os\n", "")
    exec(program, {"os": SimpleNamespace(environ=environ)}, made)
    assert made == {"DB_PORT": 5432, "SESSION_SECRET": "{secret}"}


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("import secret_keys\nsecret_keys.load()\n", "secret_keys.py"),
        ("import secret_keys\nuse(secret_keys)\n", "secret_keys.py"),
        ("from secret_keys import Loader\n", "secret_keys.py"),
        ("try:\n    import secret_keys\nexcept ImportError:\n    pass\n", "secret_keys.py"),
        ("import secret_keys\n", "*.pyc\n*\n*.py\nsecret_keys/\n#secret_keys.py\n!secret_keys.py"),
        ("import secrets\n", "secrets.py"),
    ],
)
def test_other_left_out_modules_are_not_laid(tmp_path: Path, text: str, ignored: str) -> None:
    plan = plan_of(tmp_path, {"main.py": FLASK + text, ".gitignore": f"{ignored}\n"})
    assert not any(step.name.startswith("secret") for step in plan.steps)


def test_what_a_manifest_requires_is_not_laid(tmp_path: Path) -> None:
    files = {"main.py": FLASK + "from my_tokens import KEY\n", ".gitignore": "*tokens*\n"}
    laid = plan_of(tmp_path, files)
    assert "my_tokens.py" in [step.name for step in laid.steps]
    kept = plan_of(tmp_path, {**files, "requirements.txt": "flask\nmy-tokens==1.0\n"})
    assert "my_tokens.py" not in [step.name for step in kept.steps]
