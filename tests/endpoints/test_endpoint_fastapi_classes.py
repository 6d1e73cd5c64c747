from __future__ import annotations

from pathlib import Path

import pytest
from python_project_kit import named, routes, write

from preview.endpoints import extract_endpoints

APP = "from fastapi import APIRouter, FastAPI\napp = FastAPI()\n"
CBV = """
from fastapi_utils.cbv import cbv
from fastapi_utils.inferring_router import InferringRouter
router = InferringRouter(prefix="/items")
@cbv(router)
class Items:
    user: User = Depends(current_user)
    @router.get("/{id}")
    def get(self, id: int, q: str = ""): ...
    @router.delete("/{id}")
    def delete(self, id: int): ...
app.include_router(router)
"""
ROUTABLE = """
from classy_fastapi import Routable, get, delete
class Users(Routable):
    def __init__(self, store):
        super().__init__(prefix="/users")
    @get("/{name}")
    def one(self, name: str): ...
    @delete("/{name}")
    def gone(self, name: str): ...
app.include_router(Users(store).router)
"""
SUBCLASS = """
class Shop(FastAPI):
    def __init__(self, **options):
        super().__init__(**options)
        self.add_api_route("/in", self.inside)
        self.more()
    def more(self):
        router = APIRouter(prefix="/r")
        router.add_api_route("/x", self.inside, methods=["POST"])
        self.include_router(router)
    def inside(self): ...
app = Shop(title="x")
"""
GENERATED = """
import inspect
class Resource:
    @classmethod
    def make_router(cls):
        router = APIRouter()
        me = cls()
        for name in sorted(n for n in dir(cls) if callable(getattr(cls, n)) and n[0] != "_" and n != "make_router"):
            method = getattr(me, name)
            parameters = list(inspect.signature(method).parameters.keys())
            if name == "index":
                router.add_api_route("/", method, methods=["GET"])
            elif name in {"get", "delete"}:
                router.add_api_route(f"/{{{parameters[0]}}}", method, methods=[name.upper()])
            else:
                continue
        return router
class Users(Resource):
    def get(self, user_id: int): ...
    def index(self): ...
    def helper(self): ...
app.include_router(Users.make_router(), prefix="/users")
"""
ENDPOINTS = """
from starlette.endpoints import HTTPEndpoint
class Home(HTTPEndpoint):
    async def get(self, request): ...
    async def post(self, request): ...
app.add_route("/home", Home)
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CBV, ["GET /items/{id}", "DELETE /items/{id}"]),
        (ROUTABLE, ["GET /users/{name}", "DELETE /users/{name}"]),
        (SUBCLASS, ["GET /in", "POST /r/x"]),
        (GENERATED, ["GET /users/{user_id}", "GET /users/"]),
        (ENDPOINTS, ["GET /home", "POST /home"]),
    ],
    ids=["cbv", "routable", "subclass", "generated", "endpoints"],
)
def test_classes_with_routes_are_followed(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert routes(write(tmp_path, main=APP + text)) == expected


def test_self_is_no_parameter_of_a_method(tmp_path: Path) -> None:
    found = named(write(tmp_path, main=APP + CBV))["GET /items/{id}"]
    assert (found.query, found.path_parameters) == ({"q": "string"}, {"id": "integer"})


STARTED = [
    "@app.on_event('startup')\ndef begin():\n  app.include_router(router)\n",
    "app.add_event_handler('startup', lambda: app.include_router(router))\n",
    "async def begin(app):\n  app.include_router(router)\n  yield\napp = FastAPI(lifespan=begin)\n",
]


@pytest.mark.parametrize("text", STARTED)
def test_what_is_registered_when_the_application_starts_is_there(tmp_path: Path, text: str) -> None:
    head = APP + "router = APIRouter()\n@router.get('/late')\ndef h(): ...\n"
    assert routes(write(tmp_path, main=head + text)) == ["GET /late"]


@pytest.mark.parametrize(
    "prefix",
    [
        "settings.PREFIX",
        "settings.prefix",
        "get_settings().PREFIX",
        "settings.FIELD",
        "settings.FROM_FILE",
        "settings.UNUSED or '/api'",
    ],
)
def test_a_prefix_may_come_from_settings(tmp_path: Path, prefix: str) -> None:
    write(
        tmp_path,
        settings="""
            from functools import lru_cache
            from pydantic import Field
            from pydantic_settings import BaseSettings
            class Settings(BaseSettings):
                PREFIX: str = "/api"
                FIELD: str = Field(default="/api", description="Where")
                FROM_FILE: str
                UNUSED: str = ""
                @property
                def prefix(self) -> str:
                    return f"{self.PREFIX}"
            settings = Settings()
            @lru_cache
            def get_settings():
                return Settings()
        """,
        main=APP + "from settings import *\nrouter = APIRouter()\n@router.get('/x')\ndef h(): ...\n"
        f"app.include_router(router, prefix={prefix})\n",
    )
    (tmp_path / ".env.example").write_text("FROM_FILE=/api\n")
    assert routes(tmp_path) == ["GET /api/x"]


def test_routers_of_all_modules_of_a_package_are_included_by_a_loop(tmp_path: Path) -> None:
    module = "from fastapi import APIRouter\nrouter = APIRouter()\n@router.get('/{0}')\ndef h(): ...\n"
    loop = """
        from importlib import import_module
        from pathlib import Path
        from fastapi import APIRouter
        routers = [import_module(f"{__name__}.{path.stem}").router
                   for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")]
        api = APIRouter(prefix="/api")
        for router in routers:
            api.include_router(router)
    """
    write(tmp_path, app__routes__init__=loop, app__routes__a=module.replace("{0}", "a"))
    write(
        tmp_path,
        app__routes__b=module.replace("{0}", "b"),
        app__main=APP + ("from app.routes import api\napp.include_router(api)\n"),
    )
    assert routes(tmp_path) == ["GET /api/a", "GET /api/b"]


def test_arguments_behind_stars_are_read(tmp_path: Path) -> None:
    text = "router = APIRouter()\n@router.get('/x')\ndef h(): ...\ngiven = [router]\nmore = {'prefix': '/p'}\n"
    assert routes(write(tmp_path, main=APP + text + "app.include_router(*given, **more)\n")) == ["GET /p/x"]


def test_a_known_condition_decides_and_an_unknown_one_shows_both(tmp_path: Path) -> None:
    text = """
MODE = "simple"
if MODE == "full":
    @app.get("/full")
    def a(): ...
else:
    @app.get("/simple")
    def b(): ...
for name in ("x", "y", "z"):
    if name == "y":
        continue
    if name == "z":
        break
    @app.get(f"/{name}")
    def c(): ...
if unknown():
    @app.get("/yes")
    def d(): ...
else:
    @app.get("/no")
    def e(): ...
"""
    assert routes(write(tmp_path, main=APP + text)) == ["GET /simple", "GET /x", "GET /yes", "GET /no"]


def test_a_return_ends_a_function_and_one_that_may_be_skipped_does_not(tmp_path: Path) -> None:
    text = """
def build(full):
    app = FastAPI()
    app.add_api_route("/a", build)
    if unknown():
        return app
    if not full:
        return app
    app.add_api_route("/b", build)
    return app
app = build(False)
"""
    assert routes(write(tmp_path, main=APP + text)) == ["GET /a"]


def test_the_largest_of_several_applications_is_the_one(tmp_path: Path) -> None:
    route = "@app.get('/{0}')\ndef h{0}(): ...\n"
    write(tmp_path, basics__main=APP + route.format(1), shop__main=APP + "".join(route.format(n) for n in range(5)))
    write(tmp_path, quickstart__main=APP + route.format(2))
    assert [item.file for item in extract_endpoints(tmp_path)] == ["shop/main.py"] * 5


def test_a_folder_put_on_the_path_is_imported_from(tmp_path: Path) -> None:
    write(
        tmp_path,
        main="import sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent / 'lib'))\n"
        + APP
        + "from routers import router\napp.include_router(router)\n",
        lib__routers="from fastapi import APIRouter\nrouter = APIRouter()\n@router.get('/x')\ndef h(): ...\n",
    )
    assert routes(tmp_path) == ["GET /x"]


def test_the_import_that_works_is_taken(tmp_path: Path) -> None:
    text = (
        "try:\n    from backend.api import router\nexcept ImportError:\n"
        "    from api import router\napp.include_router(router)\n"
    )
    api = "from fastapi import APIRouter\nrouter = APIRouter()\n@router.get('/x')\ndef h(): ...\n"
    assert routes(write(tmp_path, main=APP + text, api=api)) == ["GET /x"]


def test_what_the_projects_own_env_file_says_decides(tmp_path: Path) -> None:
    text = "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n"
    text += "  MODE: str | None = None\n  DEBUG: bool = True\ns = S()\n"
    text += "if s.MODE == 'local':\n  @app.get('/local')\n  def a(): ...\n"
    text += "if s.DEBUG:\n  @app.get('/debug')\n  def b(): ...\n"
    write(tmp_path, main=APP + text)
    (tmp_path / ".env").write_text("MODE=local\nDEBUG=false\n")
    assert routes(tmp_path) == ["GET /local"]
