from __future__ import annotations

from pathlib import Path

import pytest
from python_project_kit import routes, write

from preview.endpoints import find_app

APP = "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef h(): ...\n"
FACTORY = "from flask import Flask\ndef create_app(config=None):\n  app = Flask(__name__)\n  return app\n"
NEEDY = FACTORY.replace("=None", "")
MOCK = "from flask import Flask\napp = Flask(__name__)\n@app.get('/mock')\ndef h(): ...\n"
BACKEND = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/a')\ndef h(): ...\n@app.get('/b')\ndef i(): ...\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"app": APP}, ("flask", "app:app", ".", False)),
        ({"application": APP.replace("app", "application")}, ("flask", "application:application", ".", False)),
        ({"flaskr__init__": FACTORY}, ("flask", "flaskr:create_app", ".", True)),
        (
            {"shop__init__": FACTORY, "shop_site": "from shop import create_app\napp = create_app()\n"},
            ("flask", "shop_site:app", ".", False),
        ),
        (
            {
                "shop__init__": FACTORY.replace("=None", ""),
                "wsgi": "from shop import create_app\napp = create_app('x')\n",
            },
            ("flask", "wsgi:app", ".", False),
        ),
        ({"backend__app": APP}, ("flask", "app:app", "backend", False)),
        ({"src__shop__init__": FACTORY}, ("flask", "shop:create_app", "src", True)),
        ({"tests__test_app": APP, "site_": APP}, ("flask", "site_:app", ".", False)),
        ({"mock__server": MOCK, "app__main": BACKEND}, ("fastapi", "app.main:app", ".", False)),
        ({"main": BACKEND, "mock_server": MOCK}, ("fastapi", "main:app", ".", False)),
    ],
)
def test_the_application_to_run_is_found(
    tmp_path: Path, files: dict[str, str], expected: tuple[str, str, str, bool]
) -> None:
    found = find_app(write(tmp_path, **files))
    assert found is not None
    assert (found.framework, str(found), found.app_dir, found.factory) == expected


def test_what_flask_app_names_wins(tmp_path: Path) -> None:
    write(tmp_path, app=APP, other=APP.replace("app =", "site =").replace("app.", "site."))
    (tmp_path / ".flaskenv").write_text("FLASK_APP=other.py\n")
    assert str(find_app(tmp_path)) == "other:site"


def test_the_reason_names_the_framework(tmp_path: Path) -> None:
    found = find_app(write(tmp_path, app=APP))
    assert found is not None
    assert found.reason == 'Flask app "app" found in app.py'


def test_a_usual_factory_that_wants_arguments_shows_its_routes(tmp_path: Path) -> None:
    text = (
        "from flask import Flask\ndef create_app(config):\n  app = Flask(__name__)\n  app.config.from_object(config)\n"
    )
    write(tmp_path, shop__init__=text + "  app.add_url_rule('/a', 'a')\n  return app\n")
    assert routes(tmp_path) == ["GET /a"]


def test_routes_that_only_the_program_registers_are_shown_where_there_are_no_others(tmp_path: Path) -> None:
    text = "def main():\n  app.add_url_rule('/a', 'a')\n  app.run()\nif __name__ == '__main__':\n  main()\n"
    assert routes(write(tmp_path, app="from flask import Flask\napp = Flask(__name__)\n" + text)) == ["GET /a"]


def test_a_package_hides_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text(FACTORY)
    (tmp_path / "app.py").write_text("from app import create_app\napp = create_app()\n")
    target = find_app(tmp_path)
    assert target is not None
    assert (target.module, target.attribute, target.factory) == ("app", "create_app", True)
