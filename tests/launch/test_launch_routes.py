"""Real applications report their own routes: those of loops, of libraries and of start-up included."""

from __future__ import annotations

import os
import signal

import pytest
import trio
from launch_kit import ANN, Rig, ask, story, target
from launch_projects import NODE, PLAIN

from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.endpoints import RouteTable, read_route_table
from preview.runtime.kernel import proctree
from preview.supervisor import FilesChange, LivePreview

FASTAPI_APP = """
from contextlib import asynccontextmanager
from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

async def page(request): return PlainTextResponse("page")
class Things(HTTPEndpoint):
    async def get(self, request): ...
    async def put(self, request): ...

@asynccontextmanager
async def lifespan(app):
    app.add_api_route("/late", late)
    yield
def late(): return "late"

app = FastAPI(lifespan=lifespan)
router = APIRouter(prefix="/loop")
for name in ("apples", "pears"):
    router.add_api_route(f"/{name}/{{item_id}}", late, methods=["GET", "DELETE"])
app.include_router(router, prefix="/api")
@app.get("/hidden", include_in_schema=False)
def hidden(): ...
@app.websocket("/socket")
async def socket(websocket): ...
app.mount("/old", Starlette(routes=[Route("/page/{name:path}", page), Route("/things", Things)]))
async def raw(scope, receive, send): ...
app.mount("/raw", raw)
app.mount("/files", StaticFiles(directory="."))
"""
FASTAPI_ROUTES = {
    "GET /late",
    "GET /api/loop/apples/{item_id}",
    "DELETE /api/loop/apples/{item_id}",
    "GET /api/loop/pears/{item_id}",
    "DELETE /api/loop/pears/{item_id}",
    "GET /hidden",
    "GET /old/page/{name}",
    "GET /old/things",
    "PUT /old/things",
}
FASTAPI_PLAN = StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, target("main", "app", framework="fastapi"))

FLASK_APP = """
from flask import Blueprint, Flask
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware
shop = Blueprint("shop", __name__, url_prefix="/shop")
for name in ("apples", "pears"):
    shop.add_url_rule(f"/{name}/<int:item>", name, lambda item: "x", methods=["GET", "POST"])
class Things(MethodView):
    def get(self): return ""
    def patch(self): return ""
def create_app():
    app = Flask(__name__)
    app.register_blueprint(shop)
    app.add_url_rule("/things/<path:name>", view_func=Things.as_view("things"))
    inner = Flask("inner")
    inner.get("/in")(lambda: "")
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/more": inner})
    return app
app = create_app()
"""
FLASK_ROUTES = {
    "GET /shop/apples/{item}",
    "POST /shop/apples/{item}",
    "GET /shop/pears/{item}",
    "POST /shop/pears/{item}",
    "GET /things/{name}",
    "PATCH /things/{name}",
}

DJANGO_SETTINGS = """
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS = "x" * 50, False, "urls", []
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.messages", "django.contrib.sessions", "django.contrib.staticfiles", "rest_framework"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware", "django.contrib.messages.middleware.MessageMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": {
    "context_processors": ["django.contrib.auth.context_processors.auth", "django.template.context_processors.request",
    "django.contrib.messages.context_processors.messages"]}}]
STATIC_URL, ASGI_APPLICATION = "static/", "asgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
DJANGO_URLS = """
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import include, path, re_path
from django.views import View
from django.views.decorators.http import require_http_methods
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.decorators import action, api_view
from rest_framework.viewsets import ViewSet

def home(request): return HttpResponse("home")
@login_required
@require_http_methods(["GET", "POST"])
def form(request): return HttpResponse("form")
class Page(View):
    def get(self, request, year): return HttpResponse("page")
@api_view(["PUT"])
def put(request): return Response()
class Books(ViewSet):
    def list(self, request): return Response()
    def destroy(self, request, pk): return Response()
    @action(detail=True, methods=["post"])
    def lend(self, request, pk): return Response()
router = DefaultRouter()
router.register("books", Books, basename="book")
urlpatterns = [
    path("", home), path("form/", form), re_path(r"^page/(?P<year>[0-9]{4})/$", Page.as_view()), path("put", put),
    path("api/<int:version>/", include((router.urls, "api"))), path("admin/", admin.site.urls),
    path("shop/", include("shop")), path("empty/", include("empty")),
    re_path(r"^schema(?P<format>\\.json|\\.yaml)$", put),
]
"""
DJANGO_SHOP = """
from django.urls import include, path
import urls
urlpatterns = [path("put", urls.put), path("shop/", include("shop"))]
"""
DJANGO_APP = {
    # A module that includes itself, and one without patterns.
    "shop.py": DJANGO_SHOP,
    "empty.py": "",
    "requirements.txt": "django\ndjangorestframework\n",
    "manage.py": "",
    "settings.py": DJANGO_SETTINGS,
    "urls.py": DJANGO_URLS,
    "asgi.py": "import os\nfrom django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
}
DJANGO_ROUTES = {
    "* /",
    "GET /form/",
    "POST /form/",
    "GET /page/{year}/",
    "PUT /put",
    "GET /api/{version}/books/",
    "DELETE /api/{version}/books/{pk}/",
    "POST /api/{version}/books/{pk}/lend/",
    # A part named like the suffix of the REST framework, whose copies are left out.
    "PUT /schema{format}",
    "PUT /shop/put",
}

EXPRESS_APP = """
const express = require('express');
const app = express();
const users = express.Router();
for (const name of ['apples', 'pears']) users.get(`/${name}/:id`, (request, response) => response.end());
users.route('/').post((request, response) => response.end());
const sub = express();
sub.delete('/gone', (request, response) => response.end());
app.use('/users', users);
app.use('/sub', sub);
app.use('/assets', (request, response) => response.end());
app.all('/', (request, response) => response.end('express'));
app.listen(3000);
"""
EXPRESS_ROUTES = {"GET /users/apples/{id}", "GET /users/pears/{id}", "POST /users", "DELETE /sub/gone", "* /"}


async def reported(preview: LivePreview) -> RouteTable:
    assert preview.record.state is State.RUNNING, story(preview)
    assert preview.control is not None
    report = await preview.control.ask_routes()
    assert report is not None
    return read_route_table(report)


def shown(table: RouteTable) -> set[str]:
    return {f"{one.method} {one.path}" for one in table.endpoints}


def python_files(text: str, requirements: str) -> dict[str, str]:
    return {"requirements.txt": requirements, "main.py": text}


async def test_fastapi_lists_what_loops_mounts_and_the_lifespan_add(rig: Rig) -> None:
    table = await reported(await rig.start(python_files(FASTAPI_APP, "fastapi\n"), FASTAPI_PLAN))
    assert shown(table) == FASTAPI_ROUTES
    assert table.unknown == ("/raw",)


async def test_flask_lists_rules_of_blueprints_and_views(rig: Rig) -> None:
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, target("main", "app", framework="flask"))
    table = await reported(await rig.start(python_files(FLASK_APP, "flask\n"), plan))
    assert shown(table) == FLASK_ROUTES
    assert {one.path: dict(one.path_parameters) for one in table.endpoints}["/shop/apples/{item}"] == {
        "item": "integer"
    }


@pytest.mark.parametrize("server", [Server.DJANGO, Server.ASGI])
async def test_django_lists_the_admin_site_and_the_actions_of_the_rest_framework(rig: Rig, server: Server) -> None:
    plan = StartPlan("django", Toolchain.PYTHON, server, target("settings", "", framework="django"))
    table = await reported(await rig.start(DJANGO_APP, plan))
    found = shown(table)
    admin = {one for one in found if " /admin/" in one}
    assert found - admin == DJANGO_ROUTES
    assert "* /admin/login/" in admin
    assert table.unknown == ("/shop/shop/", "/empty/")


@pytest.mark.parametrize("version", ["^5.1.0", "^4.18.0"])
async def test_express_lists_routers_and_applications_below_it(rig: Rig, version: str) -> None:
    package = f'{{"name": "shop", "main": "server.js", "dependencies": {{"express": "{version}"}}}}'
    plan = StartPlan("express", Toolchain.NODE, Server.NODE, None, command=("server.js",))
    table = await reported(await rig.start({"package.json": package, "server.js": EXPRESS_APP}, plan))
    assert shown(table) == EXPRESS_ROUTES
    assert table.unknown == ("/assets",)


FASTIFY_APP = """
import fastify from 'fastify';
const app = fastify();
app.register(async (api) => {
  for (const name of ['apples', 'pears']) api.get(`/${name}/:id`, async () => name);
  api.route({ method: ['PUT', 'PATCH'], url: '/', handler: async () => 1 });
}, { prefix: '/api' });
app.get('/', async () => 'fastify');
await app.listen({ port: 3000 });
"""
KOA_APP = """
import Koa from 'koa';
import Router from '@koa/router';
const app = new Koa();
const router = new Router({ prefix: '/api' });
for (const name of ['apples', 'pears']) router.get(`/${name}/:id`, (context) => { context.body = name; });
app.use(router.routes());
app.use((context) => { context.body = 'koa'; });
app.listen(3000);
"""
# Middleware below a path may answer there; that of the whole application answers nothing.
HONO_APP = """
import { Hono } from 'hono';
import { serve } from '@hono/node-server';
const app = new Hono();
const users = new Hono();
app.use('*', async (context, next) => { await next(); });
users.use('*', async (context, next) => { await next(); });
for (const name of ['apples', 'pears']) users.get(`/${name}/:id{[0-9]+}`, (context) => context.text(name));
users.post('/', async (context, next) => next(), (context) => context.text('made'));
users.onError((error, context) => context.text('error'));
app.route('/api/users', users);
app.use('/admin/*', async (context, next) => { await next(); });
app.all('/any', (context) => context.text('any'));
app.on(['PUT', 'PATCH'], '/both/:name?', (context) => context.text('both'));
app.get('/', (context) => context.text('hono'));
serve({ fetch: app.fetch, port: 3000 });
"""


@pytest.mark.parametrize(
    ("packages", "text", "routes", "unknown"),
    [
        (
            '{"fastify": "^5.0.0"}',
            FASTIFY_APP,
            {"GET /", "GET /api/apples/{id}", "GET /api/pears/{id}", "PUT /api", "PATCH /api"},
            (),
        ),
        (
            '{"koa": "^2.0.0", "@koa/router": "^13.0.0"}',
            KOA_APP,
            {"GET /api/apples/{id}", "GET /api/pears/{id}"},
            ("/",),
        ),
        pytest.param(
            '{"hono": "^4.6.0", "@hono/node-server": "^1.13.0"}',
            HONO_APP,
            {
                *("GET /", "GET /api/users/apples/{id}", "GET /api/users/pears/{id}", "POST /api/users"),
                *("* /any", "PUT /both/{name}", "PATCH /both/{name}"),
            },
            ("/api/users", "/admin"),
            marks=pytest.mark.long,
        ),
    ],
    ids=["fastify", "koa", "hono"],
)
async def test_other_frameworks_of_node_in_modules(
    rig: Rig, packages: str, text: str, routes: set[str], unknown: tuple[str, ...]
) -> None:
    package = f'{{"name": "shop", "type": "module", "main": "server.js", "dependencies": {packages}}}'
    plan = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("server.js",))
    table = await reported(await rig.start({"package.json": package, "server.js": text}, plan))
    assert shown(table) == routes
    assert table.unknown == unknown


CLUSTER_APP = """
const cluster = require('cluster');
if (cluster.isPrimary) {
  cluster.fork();
  cluster.fork();
} else {
  const express = require('express');
  const app = express();
  for (const name of ['apples', 'pears']) app.get(`/${name}/:id`, (request, response) => response.end());
  app.get('/', (request, response) => response.end('worker'));
  app.listen(3000);
}
"""


async def test_the_workers_of_a_cluster_list_their_routes(rig: Rig) -> None:
    package = '{"name": "shop", "main": "server.js", "dependencies": {"express": "^5.1.0"}}'
    plan = StartPlan("express", Toolchain.NODE, Server.NODE, None, command=("server.js",))
    preview = await rig.start({"package.json": package, "server.js": CLUSTER_APP}, plan)
    for _ in range(2):
        table = await reported(preview)
        assert shown(table) == {"GET /apples/{id}", "GET /pears/{id}", "GET /"}
        assert table.unknown == ()


async def test_a_program_without_a_framework_is_unknown(rig: Rig) -> None:
    table = await reported(
        await rig.start(NODE, StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("server.mjs",)))
    )
    assert (table.endpoints, table.unknown) == ((), ("/",))


async def test_a_program_that_does_not_use_the_channel_is_not_asked(rig: Rig) -> None:
    plan = StartPlan(
        "command", Toolchain.PYTHON, Server.COMMAND, None, command=("python", "serve.py", "$PORT"), health_path="/"
    )
    preview = await rig.start(PLAIN, plan)
    assert preview.control is not None
    with trio.fail_after(0.1):
        assert await preview.control.ask_routes() is None


async def test_after_a_reload_the_new_process_reports(rig: Rig) -> None:
    files = python_files("from fastapi import FastAPI\napp = FastAPI()\n@app.get('/old')\ndef f(): ...\n", "fastapi\n")
    preview = await rig.start(files, FASTAPI_PLAN)
    assert shown(await reported(preview)) == {"GET /old"}
    for path in ("/new", "/newer"):
        text = files["main.py"].replace("/old", path)
        await rig.service.previews.reload(ANN, "g1", FilesChange({"main.py": text.encode()}))
        assert shown(await reported(preview)) == {f"GET {path}"}


async def test_a_report_and_a_drain_at_once_lose_nothing(rig: Rig) -> None:
    loop = "for n in range(3000):\n    app.add_api_route(f'/r{n}', lambda: n)\n"
    files = python_files(f"from fastapi import FastAPI\napp = FastAPI(openapi_url=None)\n{loop}", "fastapi\n")
    preview = await rig.start(files, FASTAPI_PLAN)
    control = preview.control
    assert control is not None
    found: list[bytes | None] = []

    async def report() -> None:
        found.append(await control.ask_routes())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(report)
        await rig.service.previews.restart(ANN, "g1")
    with trio.fail_after(10):
        await control.drained.wait()
    assert found[0] is None or found[0].count(b"\n") == 3000


async def test_a_stopped_process_is_not_waited_for_long(rig: Rig) -> None:
    files = python_files("from fastapi import FastAPI\napp = FastAPI()\n", "fastapi\n")
    preview = await rig.start(files, FASTAPI_PLAN)
    assert preview.control is not None
    assert preview.record.pid is not None
    tree = [preview.record.pid, *proctree.descendants(preview.record.pid)]
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    try:
        with trio.fail_after(3):
            assert await preview.control.ask_routes() is None
    finally:
        for pid in tree:
            os.kill(pid, signal.SIGCONT)
    assert (await ask(preview, "/nothing")).status_code == 404
