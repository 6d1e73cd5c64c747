"""Which application is started, where, and by what."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, MANAGE, plan_of

from preview.detection import Server, detect
from preview.errors import InvalidGeneration

ROUTE = '@app.get("/{}")\ndef {}(): ...\n'
SETTINGS = 'ROOT_URLCONF = "shop.urls"\nINSTALLED_APPS = []\n'
DJANGO = {
    "manage.py": MANAGE,
    "shop/__init__.py": "",
    "shop/urls.py": "urlpatterns = []\n",
    "shop/settings.py": SETTINGS,
}


def chosen(folder: Path, files: dict[str, str]) -> str:
    target = plan_of(folder, files).target
    assert target is not None
    return f"{target.app_dir} {target}"


def test_a_fastapi_app_is_served_as_asgi(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"app/main.py": FASTAPI})
    assert (plan.framework, plan.server, str(plan.target)) == ("fastapi", Server.ASGI, "app.main:app")


def test_a_flask_app_is_served_as_wsgi(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"app.py": FLASK})
    assert (plan.framework, plan.server) == ("flask", Server.WSGI)


def test_an_application_with_more_routes_than_are_read_starts(tmp_path: Path) -> None:
    # Each router twice in the one above: a million routes.
    routers = [f"r{number} = APIRouter()\n" for number in range(20)]
    nested = [
        f"r{number}.include_router(r{number + 1}, prefix='/{one}')\n" for number in reversed(range(19)) for one in "ab"
    ]
    main = [
        "from fastapi import APIRouter, FastAPI\napp = FastAPI()\n@app.get('/health')\ndef health(): ...\n",
        *routers, "@r19.get('/x')\ndef x(): ...\n", *nested, "app.include_router(r0)\n",
    ]  # fmt: skip
    plan = plan_of(tmp_path, {"main.py": "".join(main)})
    assert (str(plan.target), plan.health_path) == ("main:app", "/health")


@pytest.mark.parametrize(("module", "folder"), [("shop.asgi", "."), ("news.asgi", "pages"), ("gone.asgi", ".")])
def test_of_two_django_projects_that_of_the_commands_module_starts(tmp_path: Path, module: str, folder: str) -> None:
    pages = {f"pages/{name.replace('shop', 'news')}": text.replace("shop", "news") for name, text in DJANGO.items()}
    files = DJANGO | pages | {"pages/requirements.txt": "django\n", "pages/package.json": "{}"}
    files |= {"shop/asgi.py": "application = 1\n", "pages/news/asgi.py": "application = 1\n"}
    files["Dockerfile"] = f'FROM python\nCMD ["uvicorn", "{module}:application"]\n'
    target = plan_of(tmp_path, files).target
    assert target is not None
    assert target.app_dir == folder


def test_a_django_project_is_migrated_and_served(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, DJANGO | {"shop/migrations/0001_initial.py": ""})
    assert (plan.server, plan.target and plan.target.module) == (Server.DJANGO, "shop.settings")
    assert [step.argv for step in plan.steps] == [("python", "manage.py", "migrate", "--noinput")]


@pytest.mark.parametrize("mark", ["", "# "])
def test_settings_that_manage_py_names_in_a_comment_alone_are_set(tmp_path: Path, mark: str) -> None:
    manage = MANAGE.replace("os.environ", f"{mark}os.environ")
    plan = plan_of(tmp_path, DJANGO | {"manage.py": manage, "shop/wsgi.py": MANAGE})
    step = next(one for one in plan.steps if one.name == "migrations")
    assert dict(step.variables or {}) == ({"DJANGO_SETTINGS_MODULE": "shop.settings"} if mark else {})


def test_django_without_migrations_of_its_own_makes_its_tables(tmp_path: Path) -> None:
    assert plan_of(tmp_path, DJANGO).steps[0].argv[-1] == "--run-syncdb"


def test_django_with_channels_is_served_as_asgi(tmp_path: Path) -> None:
    settings = SETTINGS + 'ASGI_APPLICATION = "shop.asgi.application"\n'
    files = DJANGO | {"shop/settings.py": settings, "shop/asgi.py": "from channels.routing import ProtocolTypeRouter\n"}
    assert plan_of(tmp_path, files).server is Server.ASGI


def test_django_without_the_module_of_its_asgi_application_is_served_as_wsgi(tmp_path: Path) -> None:
    settings = SETTINGS + 'ASGI_APPLICATION = "shop.asgi.application"\n'
    routing = {"asgi.py": "from channels.routing import ProtocolTypeRouter\n"}
    files = DJANGO | {"shop/settings.py": settings, "shop/__init__.py": "import channels\n", **routing}
    assert plan_of(tmp_path, files).server is Server.DJANGO


@pytest.mark.parametrize(
    ("framework", "text", "server"),
    [
        ("quart", "from quart import Quart\napp = Quart(__name__)\n", Server.ASGI),
        ("falcon", "import falcon\napp = falcon.App()\n", Server.WSGI),
        ("litestar", "from litestar import Litestar\napp = Litestar([])\n", Server.ASGI),
        ("bottle", "from bottle import Bottle\napp = Bottle()\n", Server.WSGI),
    ],
)
def test_an_application_without_a_reader_of_its_routes_is_served_too(
    tmp_path: Path, framework: str, text: str, server: Server
) -> None:
    plan = plan_of(tmp_path, {"web.py": text})
    assert (plan.framework, plan.server, str(plan.target)) == (framework, server, "web:app")


def test_what_a_command_names_is_served_though_it_is_not_known_what_it_is(tmp_path: Path) -> None:
    files = {"pkg/web.py": "app = wrap(make())\n", "Procfile": "web: uvicorn pkg.web:app --port $PORT\n"}
    plan = plan_of(tmp_path, files)
    assert (plan.server, str(plan.target)) == (Server.ASGI, "pkg.web:app")


@pytest.mark.parametrize(
    "text",
    [
        "from aiohttp.web import run_app\nfrom shop import app\nrun_app(app, port=8080)\n",
        "from aiohttp import web\nasync def main(app):\n    site = web.TCPSite(web.AppRunner(app), port=8080)\n",
        "import uvicorn\nfrom shop import app\nuvicorn.Server(uvicorn.Config(app)).run()\n",
        "from hypercorn.trio import serve\nimport trio\ntrio.run(serve, app)\nserve(app, None)\n",
        "from gevent.pywsgi import WSGIServer\nWSGIServer(('', 80), app).serve_forever()\n",
    ],
)
def test_a_script_that_opens_its_own_socket_is_found_by_its_call(tmp_path: Path, text: str) -> None:
    assert plan_of(tmp_path, {"entry.py": text, "shop.py": "app = object()\n"}).command == ("python", "entry.py")


def test_a_script_with_a_server_of_its_own_has_migrations_too(tmp_path: Path) -> None:
    files = {
        "entry.py": "from aiohttp.web import Application, run_app\nimport sqlalchemy\nrun_app(Application())\n",
        "alembic.ini": "[alembic]\nscript_location = migrations\n",
        "migrations/env.py": "from alembic import context\n",
        "migrations/versions/1_tables.py": "revision = '1'\n",
    }
    assert [step.name for step in plan_of(tmp_path, files).steps] == ["migrations"]


def test_a_script_that_serves_by_itself_is_a_command(tmp_path: Path) -> None:
    text = 'import os\nfrom aiohttp import web\nweb.run_app(web.Application(), port=int(os.environ["PORT"]))\n'
    plan = plan_of(tmp_path, {"server.py": text})
    assert (plan.server, plan.command, plan.warnings) == (Server.COMMAND, ("python", "server.py"), ())


def test_a_package_that_serves_by_itself_is_run_as_one(tmp_path: Path) -> None:
    text = 'import os\nfrom aiohttp import web\nweb.run_app(web.Application(), port=int(os.environ["PORT"]))\n'
    plan = plan_of(tmp_path, {"shop/__main__.py": text, "shop/__init__.py": ""})
    assert (plan.command, plan.directory) == (("python", "-m", "shop"), ".")


def test_a_script_that_does_not_read_port_is_warned_of(tmp_path: Path) -> None:
    text = 'from http.server import HTTPServer\nHTTPServer(("0.0.0.0", 8123), None).serve_forever()\n'
    assert "listens on 8123" in plan_of(tmp_path, {"server.py": text}).warnings[0]


def test_a_project_that_is_nothing_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidGeneration, match=r"manage\.py") as caught:
        detect(tmp_path)
    assert "with a FastAPI or Flask application" in caught.value.message
    assert caught.value.details["missing_files"] == ["main.py"], "paths only; what must be in them is the message's"


def test_a_file_that_cannot_be_parsed_is_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidGeneration, match=r"main\.py cannot be read \(line 1"):
        plan_of(tmp_path, {"main.py": "from fastapi import FastAPI; app = FastAPI(\n"})


# Several candidates


def test_the_procfile_decides(tmp_path: Path) -> None:
    files = {"a/one.py": FASTAPI, "b/two.py": FASTAPI, "Procfile": "web: uvicorn b.two:app --port $PORT\n"}
    assert chosen(tmp_path, files) == ". b.two:app"


def test_a_worker_of_the_procfile_is_no_server(tmp_path: Path) -> None:
    files = {"a/one.py": FASTAPI, "b/two.py": FASTAPI}
    files["Procfile"] = "worker: uvicorn a.one:app\nweb: uvicorn b.two:app\n"
    assert chosen(tmp_path, files) == ". b.two:app"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("Dockerfile", 'CMD ["uvicorn", "b.two:app", "--host", "0.0.0.0"]\n'),
        ("Dockerfile", "CMD gunicorn -w 2 \\\n  -k uvicorn.workers.UvicornWorker b.two:app\n"),
        ("docker/Dockerfile.prod", 'ENTRYPOINT ["python", "-m", "uvicorn", "b.two:app"]\n'),
        ("docker-compose.yml", "services:\n  web:\n    command:\n      - uvicorn\n      - b.two:app\n"),
        ("render.yaml", "services:\n  - startCommand: hypercorn b.two:app\n"),
        ("Makefile", "run:\n\tuvicorn b.two:app --reload\n"),
        ("scripts/start.sh", "exec uvicorn b.two:app\n"),
        ("README.md", "Run `uvicorn b.two:app --reload`.\n"),
        ("justfile", "dev:\n  python -m uvicorn --app-dir . b.two:app\n"),
    ],
)
def test_any_file_that_starts_it_decides(tmp_path: Path, file: str, text: str) -> None:
    assert chosen(tmp_path, {"a/one.py": FASTAPI, "b/two.py": FASTAPI, file: text}).endswith("two:app")


def test_a_script_that_is_started_leads_to_the_application_that_it_imports(tmp_path: Path) -> None:
    files = {
        "a.py": FLASK,
        "b.py": FLASK,
        "start.py": "from b import app\napp.run()\n",
        "Procfile": "web: python start.py",
    }
    assert chosen(tmp_path, files).endswith(("b:app", "start:app"))


def test_one_with_a_manifest_beats_one_without(tmp_path: Path) -> None:
    files = {"snippets/main.py": FASTAPI, "service/main.py": FASTAPI, "service/requirements.txt": "fastapi\n"}
    assert "service" in chosen(tmp_path, files)


def test_the_one_that_offers_most_is_taken_where_nothing_else_tells(tmp_path: Path) -> None:
    files = {"a/main.py": FASTAPI, "b/main.py": FASTAPI + ROUTE.format("x", "x") + ROUTE.format("y", "y")}
    assert "b" in chosen(tmp_path, files).split(":", maxsplit=1)[0]


def test_examples_and_tests_are_decoys(tmp_path: Path) -> None:
    many = FASTAPI + "".join(ROUTE.format(name, name) for name in "abcdef")
    assert chosen(tmp_path, {"examples/main.py": many, "tests/app.py": many, "pkg/web.py": FASTAPI}).endswith("web:app")


def test_the_applications_that_were_not_taken_are_named(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"main.py": FASTAPI, "pkg/web.py": FASTAPI})
    assert any("one more application found" in sentence and "preview.toml" in sentence for sentence in plan.decisions)


# Folders


def test_a_backend_in_a_subfolder_runs_in_it(tmp_path: Path) -> None:
    files = {"backend/main.py": "from core import x\n" + FASTAPI, "backend/core.py": "x = 1\n", "backend/.env": "A=1\n"}
    plan = plan_of(tmp_path, files | {"backend/requirements.txt": "fastapi\n", "frontend/package.json": "{}"})
    assert (plan.directory, plan.manifests, plan.python_path) == ("backend", "backend", ("backend",))


def test_a_src_layout_runs_in_the_folder_of_its_manifest(tmp_path: Path) -> None:
    files = {
        "src/shop/__init__.py": "",
        "src/shop/main.py": "from shop import x\n" + FASTAPI,
        "pyproject.toml": "[project]\n",
    }
    plan = plan_of(tmp_path, files)
    assert (plan.directory, plan.python_path[0]) == (".", "src")


def test_relative_paths_tell_the_working_folder(tmp_path: Path) -> None:
    text = (
        "from web import x\n"
        + FASTAPI
        + 'from fastapi.templating import Jinja2Templates\nt = Jinja2Templates("templates")\n'
    )
    files = {"src/main.py": text, "src/web.py": "x = 1\n", "src/templates/a.html": "", "requirements.txt": "fastapi\n"}
    plan = plan_of(tmp_path, files)
    assert plan.directory == "src"
    assert any('"templates"' in sentence for sentence in plan.decisions)


def test_a_package_beside_the_backend_is_importable(tmp_path: Path) -> None:
    files = {"backend/app/main.py": "from common.models import M\n" + FASTAPI, "libs/common/__init__.py": ""}
    files |= {"libs/common/models.py": "", "backend/requirements.txt": "fastapi\n"}
    assert "libs" in plan_of(tmp_path, files).python_path


def test_a_folder_that_bears_a_librarys_name_is_not_taken_for_it(tmp_path: Path) -> None:
    files = {
        "app/main.py": "import redis\n" + FASTAPI,
        "core/redis/__init__.py": "",
        "requirements.txt": "redis\nfastapi\n",
    }
    assert "core" not in plan_of(tmp_path, files).python_path


def test_a_folder_of_a_package_that_has_a_librarys_name_is_not_taken_for_it(tmp_path: Path) -> None:
    files = {
        "api/__init__.py": "",
        "api/main.py": "from api.graphql import schema\n" + FASTAPI,
        "api/graphql/__init__.py": "from graphql import GraphQLError\nschema = 1\n",
        "requirements.txt": "graphql-core\nfastapi\n",
    }
    assert "api" not in plan_of(tmp_path, files).python_path


def test_a_package_inside_a_package_is_not_the_library_that_is_imported_by_its_name(tmp_path: Path) -> None:
    files = {
        "api/main.py": "from graphql import GraphQLError\nfrom api.graphql import schema\n" + FASTAPI,
        "api/__init__.py": "",
        "api/graphql/__init__.py": "schema = 1\n",
        "requirements.txt": "fastapi\nstrawberry-graphql\n",
        "Dockerfile": 'CMD ["uvicorn", "api.main:app"]\n',
    }
    assert plan_of(tmp_path, files).python_path == (".",)


def test_a_folder_that_would_hide_a_library_is_no_import_root(tmp_path: Path) -> None:
    files = {
        "run.py": "from fastapi import FastAPI\nimport redis\nimport schemas\napp = FastAPI()\n",
        "app/schemas.py": "",
        "app/redis.py": "",
        "requirements.txt": "fastapi\nredis\n",
    }
    assert "app" not in plan_of(tmp_path, files).python_path


def test_a_folder_that_would_hide_the_standard_library_is_no_import_root(tmp_path: Path) -> None:
    files = {
        "run.py": "from fastapi import FastAPI\nimport schemas\napp = FastAPI()\n",
        "app/schemas.py": "",
        "app/http/__init__.py": "",
    }
    assert "app" not in plan_of(tmp_path, files).python_path


def test_the_module_is_named_as_the_projects_own_files_name_it(tmp_path: Path) -> None:
    files = {"src/app/main.py": "from .db import x\n" + FASTAPI, "src/app/db.py": "x = 1\n", "src/app/__init__.py": ""}
    files["Dockerfile"] = 'CMD ["uvicorn", "src.app.main:app"]\n'
    assert chosen(tmp_path, files) == ". src.app.main:app"


def test_the_projects_own_health_route_is_asked(tmp_path: Path) -> None:
    assert plan_of(tmp_path, {"main.py": FASTAPI + ROUTE.format("healthz", "h")}).health_path == "/healthz"


def test_a_project_without_a_health_route_has_none(tmp_path: Path) -> None:
    assert plan_of(tmp_path, {"main.py": FASTAPI + ROUTE.format("books", "b")}).health_path is None


@pytest.mark.parametrize(
    "app",
    [
        "Flask('shop', template_folder='static/templates')",
        "Flask(__name__, template_folder=os.path.abspath('static/templates'))",
    ],
)
def test_templates_below_static_decide_the_working_folder(tmp_path: Path, app: str) -> None:
    files = {"requirements.txt": "flask\n", "site/app.py": f"import os\nfrom flask import Flask\napp = {app}\n"}
    assert plan_of(tmp_path, {**files, "site/static/templates/a.html": ""}).directory == "site"
