"""Programs whose application another module makes."""

from __future__ import annotations

from pathlib import Path

from detection_kit import FLASK, plan_of

MAIN = 'from shop import web\n\nif __name__ == "__main__":\n    web.start()\n'
MADE = "from flask import Flask\n\ndef start():\n    app = Flask(__name__)\n    app.run(port=5001)\n"


def test_a_program_that_runs_the_application_of_another_module_is_started(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"main.py": MAIN, "shop/web.py": MADE, "tools/other.py": MAIN})
    assert plan.command == ("python", "main.py")
    assert plan.decisions[0] == "main.py runs the application that shop/web.py makes"


def test_an_application_that_can_be_found_is_started_itself(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"main.py": MAIN, "shop/web.py": MADE, "app.py": FLASK})
    assert str(plan.target) == "app:app"
