"""The module ``env`` that sets variables, and that version control leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import FLASK, plan_of

IGNORE = {".gitignore": "*.pyc\nenv.py\n"}


def test_the_module_that_only_sets_variables_is_empty(tmp_path: Path) -> None:
    text = "import os\nimport env\n" + FLASK + 'app.secret_key = os.environ["SECRET_KEY"]\n'
    plan = plan_of(tmp_path, {"app.py": text, **IGNORE})
    step = next(one for one in plan.steps if one.name == "env.py")
    assert (step.argv[-1], step.directory) == ("open('env.py','a')", ".")
    assert step.why.startswith("app.py imports it, version control leaves it out")
    assert "SECRET_KEY" in plan.variables


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("import env\n", {}),
        ("import env\nKEY = env.KEY\n", IGNORE),
        ("import os\nif os.path.exists('env.py'):\n    import env\n", IGNORE),
        ("import env\n", {**IGNORE, "env.py": ""}),
        ("import environ\n", IGNORE),
    ],
)
def test_other_modules_are_left_alone(tmp_path: Path, text: str, files: dict[str, str]) -> None:
    plan = plan_of(tmp_path, {"app.py": text + FLASK, **files})
    assert "env.py" not in [one.name for one in plan.steps]
