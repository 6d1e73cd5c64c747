from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.imports.names import DISTRIBUTIONS, DRIVERS, FEATURES, distribution_of, read_offered
from preview.environments.imports.removed_apis import find_relics
from preview.environments.imports.scan import find_imports
from preview.environments.python.reading import read_request
from preview.environments.store.eviction import RequestMemory
from preview.sources import Sources


def project(folder: Path, **files: str) -> Sources:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Sources(folder)


def wanted(folder: Path, entry: str = "main.py", **files: str) -> list[str]:
    return sorted(one.distribution for one in find_imports(project(folder, **files), entry).wanted)


def test_imports_are_followed_through_the_projects_own_modules(tmp_path: Path) -> None:
    found = wanted(
        tmp_path,
        "app/main.py",
        app__main="import os\nfrom app import api\nfrom .core.db import engine\nimport fastapi\n",
        app__api="from jose import jwt\n",
        app__core__db="import sqlalchemy.orm\n",
        app__unused="import torch\n",
    )
    assert found == ["fastapi", "python-jose", "sqlalchemy"]


def test_a_module_named_after_its_package_hides_only_what_it_can(tmp_path: Path) -> None:
    for folder in ("app", "app/adapters"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "__init__.py").touch()
    files = {
        "main": "import app.adapters.redis\nimport lone\n",
        "app__adapters__redis": "import redis\nimport ours\nimport stripe\n",
        "app__adapters__ours": "",
        "scripts__stripe": "",
        "lone": "import redis\n",
    }
    assert wanted(tmp_path, **files) == ["redis"]


def test_a_module_of_urls_that_is_included_by_its_name_is_needed(tmp_path: Path) -> None:
    text = (
        "from django.urls import include, path\nfrom django.conf import settings\n"
        "urlpatterns = [path('', include('shop.urls')), path('accounts/', include(('allauth.urls', 'a')))]\n"
        "if settings.DEBUG:\n    urlpatterns += [path('__debug__/', include('debug_toolbar.urls'))]\n"
        "try:\n    urlpatterns += [path('silk/', include('silk.urls'))]\nexcept ImportError:\n    pass\n"
        "print('nothing.urls')\n"
    )
    found = wanted(tmp_path, "web/urls.py", web__urls=text, shop__urls="")
    assert found == ["django", "django-allauth", "django-debug-toolbar"]


@pytest.mark.parametrize(
    ("text", "requires"),
    [
        ("type Pair = tuple[int, int]\n", ">=3.12"),
        ("class Box:\n    def put[T](self, one: T) -> T: return one\n", ">=3.12"),
        ("class Box[T]: pass\n", ">=3.12"),
        # Only Pythons before 3.12 refuse it, and only such a service has to ask for another one.
        ('URL = f"sqlite:///{folder / "shop.db"}"\n', ">=3.12" if sys.version_info < (3, 12) else None),
        ("URL = f'{a}, {b['c']}'\n", ">=3.12" if sys.version_info < (3, 12) else None),
        ('URL = f"{(query or "").strip()}"\n', ">=3.12" if sys.version_info < (3, 12) else None),
        ('URL = f"{row["name"]}"\n', ">=3.12" if sys.version_info < (3, 12) else None),
        ('URL = f"{folder}/{{shop" + "}}"\n', None),
        ("type = 1\nBox = dict[str, int]\n# def put[T]\n", None),
    ],
)
def test_the_syntax_of_a_newer_python_requires_it(tmp_path: Path, text: str, requires: str | None) -> None:
    asked = read_request(EnvironmentRequest(tmp_path, entry="main.py"), project(tmp_path, main=text))
    assert asked.required.requires_python == requires


@pytest.mark.parametrize(
    ("stated", "requires"), [(">=3.9", ">=3.9,>=3.12"), (">=3.9,<3.12", ">=3.9,<3.12"), ("==3.11.*", "==3.11.*")]
)
def test_the_syntax_of_a_newer_python_narrows_what_a_manifest_allows(
    tmp_path: Path, stated: str, requires: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "shop"\nversion = "1"\nrequires-python = "{stated}"\ndependencies = ["flask"]\n'
    )
    sources = project(tmp_path, main="type Pair = tuple[int, int]\n")
    assert read_request(EnvironmentRequest(tmp_path, entry="main.py"), sources).required.requires_python == requires


def test_an_import_whose_handler_raises_again_is_needed(tmp_path: Path) -> None:
    """``manage.py``, as Django writes it, and a folder of settings without ``__init__.py``."""
    found = wanted(
        tmp_path,
        "manage.py",
        manage="import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings')\n"
        "try:\n    from django.core.management import execute_from_command_line\n"
        "except ImportError as exc:\n    raise ImportError('Is it installed?') from exc\n",
        config__settings__base="import environ\n",
        config__settings__local="from .base import *\n",
    )
    assert found == ["django", "django-environ"]


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import ujson\nexcept ImportError:\n    ujson = None\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ujson\n",
        "if __name__ == '__main__':\n    import ujson\n",
        "import sys\nif sys.version_info < (3,):\n    import urlparse\n",
        "import config\nfrom settings import x\nfrom utils.db import y\n",
        "import main\nimport json\nfrom __future__ import annotations\n",
        "import _private\n",
    ],
)
def test_what_may_be_missing_or_is_somebody_elses_is_not_asked_for(tmp_path: Path, text: str) -> None:
    assert wanted(tmp_path, main=text) == []


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("from pydantic import BaseModel, EmailStr", ["email-validator", "pydantic"]),
        ("from fastapi import FastAPI, UploadFile", ["fastapi", "python-multipart"]),
        ("from starlette.middleware.sessions import SessionMiddleware", ["itsdangerous", "starlette"]),
        ("from google.cloud import storage", ["google-cloud-storage"]),
        ("URL = 'postgresql+asyncpg://localhost/x'", ["asyncpg"]),
        ("URL = f'postgresql://{1}'", ["psycopg2-binary"]),
        ("ENGINE = 'django.db.backends.postgresql'", ["psycopg2-binary"]),
        ("c = X(schemes=['bcrypt'])", ["bcrypt"]),
        ("from flask_bootstrap import Bootstrap5", ["bootstrap-flask"]),
        ("from flask.ext.wtf import Form\nfrom flask.ext import login", ["flask-login", "flask-wtf"]),
        (
            "INSTALLED_APPS = ['background_task', 'bootstrapform', 'dal_select2']",
            ["django-autocomplete-light", "django-background-tasks", "django-bootstrap-form"],
        ),
        ("import pandas as pd\nx = pd.read_excel('a.xlsx')", ["openpyxl", "pandas"]),
        ("x = BeautifulSoup(page.text, 'lxml')", ["lxml"]),
        ("CACHES = {'default': {'BACKEND': 'django_redis.cache.RedisCache'}}", ["django-redis"]),
        ("c = Celery('shop', broker='redis://localhost')", ["redis"]),
        ("def f():\n    import flask_cors", ["flask-cors"]),
        ("match 1:\n    case 1:\n        import yaml", ["pyyaml"]),
    ],
)
def test_what_a_name_needs_beside_its_package_is_known(tmp_path: Path, text: str, packages: list[str]) -> None:
    assert wanted(tmp_path, main=text) == packages


@pytest.mark.parametrize(
    ("lines", "added"),
    [("keras\n", ["tensorflow"]), ("keras==3.1\nJAX\n", []), ("", ["keras", "tensorflow"])],
)
def test_what_a_module_needs_and_does_not_require_is_added(tmp_path: Path, lines: str, added: list[str]) -> None:
    project(tmp_path, main="from keras.models import load_model\n")
    (tmp_path / "requirements.txt").write_text(lines)
    asked = read_request(EnvironmentRequest(tmp_path, entry="main.py"), Sources(tmp_path))
    assert [one.distribution for one in asked.wanted] == added


def test_modules_that_are_named_by_a_text_are_followed(tmp_path: Path) -> None:
    for package in ("proj", "blog"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    found = wanted(
        tmp_path,
        "manage.py",
        manage="import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'proj.settings')\n",
        proj__settings="INSTALLED_APPS = ['rest_framework', 'blog.apps.BlogConfig']\nMIDDLEWARE = []\n"
        "MIDDLEWARE += ['whitenoise.middleware.WhiteNoise']\nROOT_URLCONF = 'proj.urls'\n"
        "LOGGING = {'formatters': {'json': {'class': 'pythonjsonlogger.jsonlogger.JsonFormatter'}}}\n",
        proj__urls="include('blog.urls')\nimport debug_toolbar\n",
        blog__apps="",
        blog__models="from PIL import Image\n",
        blog__urls="from decouple import config\n",
    )
    assert found == [
        *("django-debug-toolbar", "djangorestframework", "pillow", "python-decouple", "python-json-logger"),
        "whitenoise",
    ]


def test_classes_that_settings_name_are_followed_to_their_packages(tmp_path: Path) -> None:
    settings = (
        "REST_FRAMEWORK = {'DEFAULT_THROTTLE_RATES': {'anon': '10/day'}, 'DEFAULT_AUTHENTICATION_CLASSES':\n"
        " ('rest_framework_simplejwt.authentication.JWTAuthentication', 'proj.auth.Own')}\n"
        "AUTHENTICATION_BACKENDS = ['django.contrib.auth.backends.ModelBackend', 'axes.backends.AxesBackend']\n"
    )
    found = wanted(tmp_path, "settings.py", settings=settings, proj__auth="")
    assert {"djangorestframework-simplejwt", "django-axes"} <= set(found)
    assert not [name for name in found if name.startswith(("proj", "10"))]


def test_drivers_that_a_program_puts_its_address_together_from_are_wanted(tmp_path: Path) -> None:
    drivers = "DRIVERS = {'postgresql': 'asyncpg', \"sqlite\": \"aiosqlite\"}\n"
    engine = "from sqlalchemy.ext.asyncio import create_async_engine\n"
    assert {"aiosqlite", "asyncpg"} <= set(wanted(tmp_path, "main.py", main=engine + drivers))
    assert wanted(tmp_path, "logs.py", logs=drivers) == []


@given(st.text(max_size=300))
def test_any_source_is_scanned(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("source")
    (folder / "main.py").write_bytes(text.encode("utf-8", "surrogatepass"))
    for one in find_imports(Sources(folder), "main.py").wanted:
        assert Requirement(one.distribution).name


def test_the_table_of_names_holds_requirements() -> None:
    for line in (*DISTRIBUTIONS.values(), *DRIVERS.values(), *FEATURES.values()):
        assert Requirement(line).name == Requirement(line).name.lower()
    assert distribution_of("google.cloud.storage.blob") == ("google.cloud.storage", "google-cloud-storage")
    assert distribution_of("flask_cors") == ("flask_cors", "flask-cors")


def install(environment: Path, name: str, **modules: str) -> None:
    site = environment / "lib" / "python3.11" / "site-packages"
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = []
    for module, text in modules.items():
        path = site / f"{module.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        lines.append(f"{path.relative_to(site)},sha256=x,1")
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,", "../../../bin/tool,,"]))


def test_what_an_environment_offers_is_read_from_its_records(tmp_path: Path) -> None:
    install(tmp_path, "google_cloud_storage", google__cloud__storage__blob="")
    install(tmp_path, "six", six="")
    offered = read_offered(tmp_path)
    assert offered.has("google.cloud.storage", "google-cloud-storage")
    assert not offered.has("google.cloud.vision", "google-cloud-vision")
    assert offered.has("six", "other")
    assert offered.has("", "Six>=1")
    assert not offered.has("", "email-validator")


def test_packages_that_use_what_this_python_lacks_are_found(tmp_path: Path) -> None:
    install(tmp_path, "old", old__a="import asyncio\nclass X:\n    @asyncio.coroutine\n    def f(self): ...\n")
    install(tmp_path, "older", older__a="from collections import OrderedDict, Mapping\n")
    install(tmp_path, "good", good__a="try:\n    from collections import Mapping\nexcept ImportError: ...\n")
    install(tmp_path, "tests", tests__a="from collections import Mapping\n")
    install(tmp_path, "resources", resources__a="import pkg_resources\n")
    found = {(one.package, one.uses) for one in find_relics(tmp_path, "3.11.7")}
    assert found == {
        ("old", "asyncio.coroutine"),
        ("older", "collections.Mapping"),
        ("resources", "pkg_resources"),
    }
    assert {one.package for one in find_relics(tmp_path, "3.9.1")} == {"resources"}


def test_a_request_for_the_same_files_is_answered_from_memory(tmp_path: Path) -> None:
    project(tmp_path, main="import jose\n", other="x = 1\n")
    (tmp_path / "requirements.txt").write_text("six\n")
    memory, request = RequestMemory(), EnvironmentRequest(tmp_path, entry="main.py")
    first = memory.read(request)
    assert memory.read(request) is first
    (tmp_path / "requirements.txt").write_text("idna\n")
    assert memory.read(request).required != first.required
    (tmp_path / "Pipfile").write_text("[packages]\nflask = '*'\nidna = '*'\n")
    (tmp_path / "requirements.txt").write_text("flask\n")
    (tmp_path / "Readme.rst").write_text("")
    before = memory.read(request)
    (tmp_path / "Readme.rst").write_text("pipenv install\n")
    assert memory.read(request).required.source != before.required.source
    (tmp_path / "main.py").write_text("import yaml\n")
    assert [one.distribution for one in memory.read(request).wanted] == ["pyyaml"]


@pytest.mark.timed
def test_reading_a_known_project_takes_a_few_milliseconds(tmp_path: Path) -> None:
    for number in range(100):
        project(tmp_path, **{f"app__m{number}": "import jose\n" * 200})
    project(tmp_path, main="\n".join(f"import app.m{number}" for number in range(100)))
    memory, request = RequestMemory(), EnvironmentRequest(tmp_path, entry="main.py")
    memory.read(request)
    best = 1.0
    for _ in range(10):
        started = time.perf_counter()
        memory.read(request)
        best = min(best, time.perf_counter() - started)
    assert best < 0.05
