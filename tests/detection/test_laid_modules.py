"""A module of settings that the project does not have, written from what its files use of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from detection_kit import FASTAPI, plan_of, values_of, write

from preview.detection import ServiceKind, detect

IGNORE = {".gitignore": "*.pyc\nconfig.py\n", "requirements.txt": "flask\nflask-sqlalchemy\npsycopg2-binary\n"}
FACTORY = """from flask import Flask
from flask_sqlalchemy import SQLAlchemy
db = SQLAlchemy()
def create_app():
    app = Flask(__name__)
    app.config.from_object("config.Config")
    app.config["MAPS_KEY"]
    app.config.get("PAGES", 3)
    app.config["UPLOAD_FOLDER"]
    app.config["SEEN"] = 1
    db.init_app(app)
    return app
"""
WSGI = "from app import create_app\napp = create_app()\n"


def laid(folder: Path, files: dict[str, str], name: str = "config.py") -> dict[str, object]:
    """Return the names of the module that the plan's step writes, and the plan's variables under ``variables``."""
    plan = plan_of(folder, files)
    step = next((one for one in plan.steps if one.name == name), None)
    if step is None:
        return {}
    subprocess.run([sys.executable, *step.argv[1:]], cwd=folder, check=True, timeout=60)
    values = {name: one.value for name, one in plan.variables.items()}
    text = (
        (folder / name).read_text().replace("import os\n", "import types\nos = types.SimpleNamespace(environ=given)\n")
    )
    made: dict[str, object] = {"given": values}
    exec(text, made)
    return {**made, "variables": values}


def test_a_class_that_flask_names_has_the_keys_that_are_read_and_what_its_extensions_need(tmp_path: Path) -> None:
    made = laid(tmp_path, {"app/__init__.py": FACTORY, "wsgi.py": WSGI, **IGNORE})
    values = made["variables"]
    assert isinstance(values, dict)
    assert {"SECRET_KEY", "DATABASE_URL", "MAPS_KEY"} <= values.keys()
    config = vars(made["Config"])
    assert {name for name in config if name.isupper()} == {
        "MAPS_KEY", "SECRET_KEY", "SQLALCHEMY_DATABASE_URI", "UPLOAD_FOLDER",
    }  # fmt: skip
    assert config["SQLALCHEMY_DATABASE_URI"] == values["DATABASE_URL"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from config import Config\napp.config.from_object(Config)\n", "Config"),
        ("from config import ProductionConfig as Chosen\napp.config.from_object(Chosen)\n", "ProductionConfig"),
        ("import config\napp.config.from_object(config.DevConfig)\n", "DevConfig"),
        ("from config import Config\nConfig.init_app(app)\n", "Config"),
        ("from config import settings\napp.secret_key = settings.SECRET_KEY\n", "settings"),
        ("from config import config_by_name\napp.config.from_object(config_by_name['dev'])\n", "config_by_name"),
        ("app.config.from_object('config')\n", "SECRET_KEY"),
    ],
)
def test_each_plain_use_is_served(tmp_path: Path, text: str, name: str) -> None:
    assert name in laid(tmp_path, {"app.py": "from flask import Flask\napp = Flask(__name__)\n" + text, **IGNORE})


@pytest.mark.parametrize(
    "text",
    [
        "from config import connect\nconnect()\n",
        "from config import Config\nConfig(app)\n",
        "try:\n    from config import Config\nexcept ImportError:\n    Config = None\n",
        "from configparser import ConfigParser\n",
        "from other import Config\n",
        "app.config.from_object(name)\n",
    ],
)
def test_other_uses_are_left_alone(tmp_path: Path, text: str) -> None:
    files = {"app.py": "from flask import Flask\napp = Flask(__name__)\n" + text, **IGNORE}
    assert [step.name for step in plan_of(tmp_path, files).steps if step.name.startswith("c")] == []


def test_a_module_that_is_there_or_required_is_left_alone(tmp_path: Path) -> None:
    text = "from flask import Flask\nfrom config import Config\napp = Flask(__name__)\napp.config.from_object(Config)\n"
    files = {"app.py": text, **IGNORE}
    assert laid(tmp_path, {**files, "lib/config.py": ""}) == {}
    (tmp_path / "lib" / "config.py").unlink()
    assert laid(tmp_path, {**files, "requirements.txt": "flask\nconfig\n"}) == {}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("from server_secrets import API_TOKEN\nprint(API_TOKEN)\n", ["server_secrets.py"]),
        ("import db_credentials\nprint(db_credentials.PASSWORD)\n", ["db_credentials.py"]),
        # What these do, nobody knows.
        ("from server_secrets import read\nread()\n", []),
        ("from server_secrets import Reader\nprint(Reader.PATH)\n", []),
        ("from secrets import token_hex, CONSTANT\n", []),
        ("from server import API_TOKEN\n", []),
    ],
)
def test_constants_of_a_module_of_secrets_are_laid_whatever_gitignore_says(
    tmp_path: Path, text: str, steps: list[str]
) -> None:
    plan = plan_of(tmp_path, {"app.py": f"from flask import Flask\napp = Flask(__name__)\n{text}"})
    assert [step.name for step in plan.steps if step.name.endswith(".py")] == steps


@pytest.mark.parametrize(
    ("file", "text", "path"),
    [
        ("app/core/main.py", "from app.core.config import settings\n", "app/core/config.py"),
        ("app/main.py", "from .config import settings\n", "app/config.py"),
        ("app/api/main.py", "from ..config import settings\n", "app/config.py"),
        ("backend/main.py", "from config import settings\n", "backend/config.py"),
    ],
)
def test_the_module_is_where_its_import_expects_it(tmp_path: Path, file: str, text: str, path: str) -> None:
    folder = Path(file).parent
    inits = {
        f"{one}/__init__.py": "" for one in [folder, *folder.parents] if one != Path() and folder.parts[0] == "app"
    }
    files = {file: text + FASTAPI + "print(settings.APP_NAME)\n", ".gitignore": "config.py\n", **inits}
    plan = plan_of(tmp_path, files)
    assert path in [step.name for step in plan.steps]
    assert "APP_NAME" in plan.variables


def test_variables_of_a_module_that_flask_imports_by_its_name_are_found(tmp_path: Path) -> None:
    config = 'import os\nclass Config:\n    SECRET_KEY = os.environ["SESSION_SECRET"]\n'
    plan = plan_of(tmp_path, {"app/__init__.py": FACTORY, "wsgi.py": WSGI, "config.py": config})
    assert "SESSION_SECRET" in plan.variables


def test_a_part_of_an_address_that_one_of_two_files_reads_without_a_default_is_set(tmp_path: Path) -> None:
    url = 'f"mysql+pymysql://{os.getenv(%s)}:x@{os.getenv(%s)}/shop"'
    one = (
        "import os\nfrom sqlalchemy import create_engine\nengine = create_engine("
        + url % ("'DB_USER'", "'DB_HOST'")
        + ")\n"
    )
    two = "import os\nhost = os.getenv('DB_HOST', 'db.local')\nuser = os.getenv('DB_USER', 'shop')\n"
    files = {"main.py": "import one\nimport two\n" + FASTAPI, "one.py": one, "two.py": two}
    values = values_of(detect(write(tmp_path, files), supplied=frozenset({ServiceKind.MYSQL})))
    assert (values["DB_HOST"], values["DB_USER"]) == ("localhost", "shop")


@pytest.mark.parametrize(
    "script", ["with app.app_context():\n    print(find())\n", "", "with app.app_context():\n  db.commit()\n"]
)
def test_a_script_that_works_on_the_data_is_not_the_application(tmp_path: Path, script: str) -> None:
    files = {"app/__init__.py": FACTORY, "cleanup.py": WSGI + script, "starting.py": WSGI}
    target = plan_of(tmp_path, files).target
    assert target is not None
    assert target.file == "starting.py"


def test_very_many_uses_are_read_in_bounded_time(tmp_path: Path) -> None:
    many = "".join(f"x = config.NAME_{number}\n" for number in range(20_000))
    files = {"main.py": "import config\n" + many + FASTAPI, **{f"a{number}/b.py": "" for number in range(500)}}
    started = time.thread_time()
    plan_of(tmp_path, files)
    assert time.thread_time() - started < 20


def test_a_file_with_very_many_classes_of_settings_takes_little_time_and_no_long_argument(tmp_path: Path) -> None:
    text = "from flask import Flask\napp = Flask(__name__)\n"
    text += "".join(f"from config import C{one}Config\nC{one}Config.A{one}\n" for one in range(1500))
    started = time.process_time()
    plan = plan_of(tmp_path, {"app.py": text, **IGNORE})
    assert time.process_time() - started < 10
    assert all(len(word) < 100_000 for step in plan.steps for word in step.argv)


def test_very_many_modules_that_are_missing_take_little_time(tmp_path: Path) -> None:
    text = "from flask import Flask\napp = Flask(__name__)\napp.config.from_object(x)\n"
    text += "".join(f"from .a{one}.config import AConfig\n" for one in range(2000))
    started = time.process_time()
    plan_of(tmp_path, {"app.py": text, **IGNORE})
    assert time.process_time() - started < 10


MANY = 12_000


@pytest.mark.parametrize(
    "text",
    [
        # Names of libraries that folders may have, within other folders.
        "".join(f"import n{one}\nfrom a.m{one} import b\n" for one in range(MANY)),
        # Reads among the arguments of one call.
        "app.config.from_object(" + 'os.getenv("A"),' * MANY + ")\n",
    ],
)
def test_very_many_names_are_compared_in_bounded_time(tmp_path: Path, text: str) -> None:
    wanted = "-".join(f"n{one}" for one in range(MANY))
    files = {"main.py": f"import os\n{text}{FASTAPI}", "requirements.txt": f"fastapi\nredis\n{wanted}\n"}
    started = time.thread_time()
    detect(write(tmp_path, files), supplied=frozenset({ServiceKind.REDIS}))
    assert time.thread_time() - started < 20


INSTANCE = """from flask import Flask
def create_app(name="config.py"):
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_object("defaults")
    app.config.from_pyfile({read})
    app.config["MAPS_KEY"]
    return app
"""


@pytest.mark.parametrize("read", ["name", '"config.py"'])
def test_the_file_of_flasks_instance_folder_has_the_keys_that_are_read(tmp_path: Path, read: str) -> None:
    files = {"shop/__init__.py": INSTANCE.replace("{read}", read), "defaults.py": "DEBUG = True\n"}
    run = "from shop import create_app\napp = create_app()\n"
    made = laid(tmp_path, {**files, "run.py": run, "requirements.txt": "flask\n"}, "instance/config.py")
    values = made["variables"]
    assert isinstance(values, dict)
    assert {"SECRET_KEY", "MAPS_KEY"} <= values.keys()
    assert {name for name in made if name.isupper()} == {"SECRET_KEY", "MAPS_KEY"}


@pytest.mark.parametrize(
    ("read", "more"),
    [
        ('"config.py", silent=True', {}),
        ('os.environ["SETTINGS"]', {}),
        ('"../outside.py"', {}),
        ('"config.py"', {"instance/config.py": "SECRET_KEY = 'own'\n"}),
    ],
)
def test_a_file_of_flasks_instance_folder_that_nobody_misses_is_not_written(
    tmp_path: Path, read: str, more: dict[str, str]
) -> None:
    files = {"shop.py": f"import os\n{INSTANCE.replace('{read}', read)}app = create_app()\n", **more}
    plan = plan_of(tmp_path, {**files, "defaults.py": "DEBUG = True\n", "requirements.txt": "flask\n"})
    assert not [one.name for one in plan.steps if one.name.endswith(".py")]


def test_all_names_of_a_module_of_secrets_are_those_that_its_files_do_not_have(tmp_path: Path) -> None:
    config = "import os\nfrom PRIVATE import *\nRATE = 1\nclass Config:\n    SECRET_KEY = MAPS_KEY\n    LIMIT = RATE\n"
    main = f"from PRIVATE import MAIL_KEY\nfrom config import Config\n{FASTAPI}"
    made = laid(tmp_path, {"main.py": main, "config.py": config}, "PRIVATE.py")
    assert {name for name in made if name.isupper()} == {"MAPS_KEY", "MAIL_KEY"}


@pytest.mark.parametrize(("more", "is_made"), [("from shop import *\n", False), ("", True)])
def test_names_that_another_module_may_bring_are_not_made_up(tmp_path: Path, more: str, is_made: bool) -> None:
    text = f"from PRIVATE import *\n{more}{FASTAPI}KEY = MAPS_KEY\n"
    plan = plan_of(tmp_path, {"main.py": text, "shop.py": "MAPS_KEY = 1\n"})
    made = next((one.argv[-1] for one in plan.steps if one.name == "PRIVATE.py"), "")
    assert ("MAPS_KEY" in made) is is_made
