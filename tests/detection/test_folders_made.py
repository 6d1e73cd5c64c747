"""Folders that version control does not keep: the preview makes them where the application would fail without."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from preview.detection import detect

APP = "from flask import Flask\napp = Flask(__name__)\n"
DJANGO = {
    "backend/manage.py": 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings.dev")\n',
    "backend/site1/settings/base.py": "from pathlib import Path\nROOT_URLCONF = 'site1.urls'\n"
    "BASE_DIR = Path(__file__).resolve().parent.parent.parent\n"
    "LOGGING = {'version': 1, 'handlers': {'file': {'class': 'logging.handlers.RotatingFileHandler',\n"
    "    'filename': BASE_DIR / 'logs' / 'django.log'}}}\n",
    "backend/site1/settings/dev.py": "from .base import *\n",
    "backend/site1/urls.py": "urlpatterns = []\n",
}


def folders(root: Path, files: dict[str, str]) -> tuple[str, ...]:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    steps = {step.name: step for step in detect(root).steps}
    return steps["folders"].argv[3:] if "folders" in steps else ()


def test_the_log_folder_of_django(tmp_path: Path) -> None:
    assert folders(tmp_path, DJANGO) == ("backend/logs",)


@pytest.mark.parametrize(
    ("lines", "made"),
    [
        ("logging.FileHandler('logs/app.log')", ("logs",)),
        ("logging.handlers.TimedRotatingFileHandler(filename='a/b/app.log', when='D')", ("a/b",)),
        (
            "HERE = os.path.dirname(os.path.abspath(__file__))\nlogging.FileHandler(os.path.join(HERE, 'logs', 'x'))",
            ("logs",),
        ),
        ("LOGS = Path(__file__).parents[0] / 'logs'\nlogging.FileHandler(LOGS / 'x')", ("logs",)),
        ("LOGS = 'logs'\nlogging.FileHandler(f'{LOGS}/x.log')", ("logs",)),
        ("logging.FileHandler(Path.cwd().joinpath('logs', 'x'))", ("logs",)),
        ("app.mount('/static', StaticFiles(directory='static'))", ("static",)),
        ("create_engine('sqlite:///data/app.db')", ("data",)),
        ("create_engine('sqlite+aiosqlite:///./data/app.db')", ("data",)),
        ("create_engine(f\"sqlite:///{Path(__file__).parent / 'data' / settings.db_name}\")", ("data",)),
        ("create_engine(f'sqlite:///{os.path.dirname(__file__)}/data/app.db')", ("data",)),
        ("create_engine(f'sqlite:///data/{name}/app.db')", ()),
        ("create_engine(f'sqlite:////{name}.db')", ()),
        ("create_engine(f'sqlite:///{name}')", ()),
        ("create_engine('sqlite:///' + os.path.join(os.path.dirname(__file__), 'data', 'app.db'))", ("data",)),
        ("create_engine('sqlite:///data/' + 'app.db')", ("data",)),
        ("create_engine('sqlite:///' + name)", ()),
        ("print('sqlite' + os.path.join('data', 'app.db'))", ()),
        (
            "BASE = Path(__file__).parent\nD = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE / 'data' / 'db'}",
            ("data",),
        ),
        ("D = {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'a/sqlite'}", ()),
        # Nothing to make: a file beside the application, an absolute path, a folder elsewhere, one that nothing tells.
        ("logging.FileHandler('app.log')", ()),
        ("logging.FileHandler('/var/log/app/app.log')", ()),
        ("logging.FileHandler('../../logs/app.log')", ()),
        ("logging.FileHandler(os.path.join(os.environ['LOGS'], 'x'))", ()),
        ("create_engine('sqlite:////var/data/app.db')", ()),
        ("create_engine('sqlite://')", ()),
        ("logging.FileHandler('kept/app.log')", ()),
        # What no program can be given as an argument.
        ("logging.FileHandler('a\\0b/app.log')", ()),
        ("logging.FileHandler('a\\ud800/app.log')", ()),
        ("logging.FileHandler('a' * 9 + '/app.log')", ()),
        (f"logging.FileHandler('{'a' * 5000}/app.log')", ()),
        ("a = b / 'x'\nb = a / 'y'\nlogging.FileHandler(a)", ()),
    ],
)
def test_expressions(tmp_path: Path, lines: str, made: tuple[str, ...]) -> None:
    files = {"app.py": f"{APP}import logging, os\nfrom pathlib import Path\n{lines}\n", "kept/readme.txt": "there"}
    assert folders(tmp_path, files) == made


def test_names_that_multiply_take_no_time(tmp_path: Path) -> None:
    lines = "".join(f"a{n} = os.path.join({', '.join([f'a{n + 1}'] * 20)})\n" for n in range(11))
    started = time.process_time()
    assert folders(tmp_path, {"app.py": f"{APP}import os\na11 = 'x'\n{lines}FileHandler(a0)\n"}) == ()
    assert time.process_time() - started < 5
