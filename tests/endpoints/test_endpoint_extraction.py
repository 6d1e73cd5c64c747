from __future__ import annotations

import os
import time
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.endpoints import Endpoint, extract, extract_endpoints, find_app, missing_files

EXAMPLES = Path(__file__).parents[2] / "examples"
ROUTERS_IN_CIRCLES = b"""
from fastapi import APIRouter, FastAPI
a = APIRouter()
b = APIRouter()
for x in (1, 2, 3):
    a.include_router(b)
    b.include_router(a)
app = FastAPI()
app.include_router(a)
@a.get("/x")
def f(): ...
"""
CLASS_WITH_ROUTER = """
class B:
    def __init__(self):
        self.router = APIRouter()
        self.router.add_api_route("/m", self.h)
    def h(self, q: int): ...
app.include_router(B().router)
"""
APP = "from fastapi import FastAPI, APIRouter\napp = FastAPI()\n"


def write(folder: Path, **files: str) -> Path:
    """Files by name; ``__`` stands for the slash, and ``app__init__`` is ``app/__init__``."""
    for name, text in files.items():
        path = folder / (name.replace("__init__", "/\0").replace("__", "/").replace("\0", "__init__") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return folder


def routes(folder: Path) -> list[str]:
    return [f"{item.method} {item.path}" for item in extract_endpoints(folder)]


def one(folder: Path, text: str) -> Endpoint:
    (endpoint,) = extract_endpoints(write(folder, main=APP + dedent(text)))
    return endpoint


def test_the_bookshop_has_its_routes() -> None:
    found = {(item.method, item.path): item for item in extract_endpoints(EXAMPLES / "bookshop")}
    assert len(found) == 15
    books = found["GET", "/api/v1/books"]
    assert books.query == {"q": "string", "page": "integer", "per_page": "integer", "in_stock": "boolean"}
    assert (books.summary, books.tags) == ("List Books", ("books",))
    assert books.file == "app/routers/books.py"
    lines = (EXAMPLES / "bookshop" / books.file).read_text().splitlines()
    assert lines[(books.line or 0) - 1].startswith("def list_books")
    order = found["POST", "/api/v1/orders"]
    assert order.request_body == {
        "customer": "string",
        "email": "string",
        "items": [{"book_id": "integer", "quantity": "integer"}],
    }
    assert "session" not in order.query


def test_a_project_that_does_not_start_is_read_all_the_same() -> None:
    assert routes(EXAMPLES / "broken") == ["GET /todos", "GET /todos/{todo_id}", "GET /health"]


def test_prefixes_add_up_over_files_constants_and_nesting(tmp_path: Path) -> None:
    write(
        tmp_path,
        app__init__="",
        app__main="""
            from fastapi import FastAPI
            from app.api import router as api_router
            from app.config import settings
            app = FastAPI()
            app.include_router(api_router, prefix=settings.API_PREFIX)
        """,
        app__config="""
            import os
            from pydantic_settings import BaseSettings
            class Base(BaseSettings):
                API_PREFIX: str = "/api"
            class Settings(Base):
                VERSION: str = os.getenv("VERSION", "v1")
            settings = Settings()
        """,
        app__api__init__="""
            from fastapi import APIRouter
            from . import users
            from .items import endpoints as item_endpoints
            from ..config import settings
            router = APIRouter(prefix=f"/{settings.VERSION}")
            router.include_router(users.router, prefix="/users", tags=["users"])
            router.include_router(item_endpoints.router)
        """,
        app__api__users="""
            import fastapi
            router = fastapi.APIRouter(tags=["people"])
            @router.get("/{user_id:int}", tags=["one"])
            async def read_user(user_id: int): ...
        """,
        app__api__items__endpoints="""
            from fastapi import APIRouter as R
            BASE = "/it" + "ems"
            router = R(prefix=BASE)
            @router.api_route("", methods=["GET", "POST"])
            def items(): ...
            @router.websocket("/live")
            async def live(ws): ...
        """,
    )
    assert routes(tmp_path) == ["GET /api/v1/users/{user_id}", "GET /api/v1/items", "POST /api/v1/items"]
    assert extract_endpoints(tmp_path)[0].tags == ("users", "people", "one")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def h(): ...\napp.add_api_route('/a', h, methods=['PUT'])", ["PUT /a"]),
        ("def h(): ...\napp.get('/a')(h)", ["GET /a"]),
        ("sub = FastAPI()\n@sub.get('/b')\ndef h(): ...\napp.mount('/a/', sub)", ["GET /a/b"]),
        ("def setup(target):\n  @target.post('/a')\n  def h(): ...\nsetup(app)", ["POST /a"]),
        (
            "r = APIRouter()\n@r.get('/x')\ndef h(): ...\nfor p in ('/a', '/b'):\n  app.include_router(r, prefix=p)",
            ["GET /a/x", "GET /b/x"],
        ),
        (
            "if debug():\n  @app.get('/a')\n  def h(): ...\nelse:\n  @app.get('/b')\n  def i(): ...",
            ["GET /a", "GET /b"],
        ),
        (
            "@app.get('/b')\ndef i(): ...\nif __name__ == '__main__':\n  @app.get('/a')\n  def h(): ...",
            ["GET /b"],
        ),
        ("try:\n  @app.get('/a')\n  def h(): ...\nexcept Exception: ...", ["GET /a"]),
        ("with x:\n  @app.get('/a')\n  def h(): ...", ["GET /a"]),
        ("P = {'a': '/d'}\n@app.get(P['a'])\ndef h(): ...", ["GET /d"]),
        ("P = ['/l']\n@app.get(P[0] if P else P[1])\ndef h(): ...", ["GET /l"]),
        ("a, b = '/a', '/b'\n@app.get(b)\ndef h(): ...", ["GET /b"]),
        ("@app.get('/a')\n@app.head('/a')\ndef h(): ...", ["HEAD /a", "GET /a"]),
        ("@app.get(unknown())\ndef h(): ...", []),
        ("class V:\n  @app.get('/a')\n  def h(self): ...", ["GET /a"]),
        ("class R(APIRouter): ...\nr = R(prefix='/p')\n@r.get('')\ndef h(): ...\napp.include_router(r)", ["GET /p"]),
        (CLASS_WITH_ROUTER, ["GET /m"]),
        ("@app.route('/old', methods=['get', 'post'])\ndef h(request): ...", ["GET /old", "POST /old"]),
        ("@app.get('/a')\ndef h(): ...\n@app.get('/a')\ndef i(): ...", ["GET /a"]),
        ("r = APIRouter()\nr.include_router(r)\napp.include_router(r)\n@r.get('/x')\ndef h(): ...", ["GET /x"]),
        ("import m\napp.include_router(m)", []),
    ],
)
def test_each_way_to_register_a_route_is_followed(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert routes(write(tmp_path, main=APP + text)) == expected


def test_starlettes_lists_of_routes_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        main="""
            from starlette.applications import Starlette
            from starlette.routing import Mount, Route, WebSocketRoute
            async def home(request):
                "Home."
            app = Starlette(routes=[
                Route("/", home),
                Mount("/api", routes=[Route("/x", home, methods=["POST"])]),
                WebSocketRoute("/ws", home),
            ])
        """,
    )
    assert routes(tmp_path) == ["GET /", "POST /api/x"]
    assert extract_endpoints(tmp_path)[0].description == "Home."


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ("page: int = 1, size: float = 2", {"page": "integer", "size": "number"}),
        ("q: str | None = None, flag: Optional[bool] = None", {"q": "string", "flag": "boolean"}),
        ("ids: list[int] = Query(...)", {"ids": "array"}),
        ("ids: Annotated[List[str], Query()]", {"ids": "array"}),
        ("name: Annotated[str, Query(alias='as')]", {"as": "string"}),
        ("plain, number=3", {"plain": "string", "number": "integer"}),
        (
            "when: datetime.datetime, id: uuid.UUID, kind: Literal[1, 2]",
            {"when": "string", "id": "string", "kind": "integer"},
        ),
        ("item: int, request: Request, h: str = Header(), c: str = Cookie()", {}),
        ("page=Depends(paging)", {"skip": "integer", "limit": "integer"}),
        ("page: Annotated[Paging, Depends()]", {"cursor": "string"}),
        ("page: PagingDep", {"skip": "integer", "limit": "integer"}),
        ("colour: Colour", {"colour": "string"}),
        ("*, q: 'int | None' = None", {"q": "integer"}),
        ("db: Session = Depends(get_db)", {}),
    ],
)
def test_query_parameters_have_their_json_type(tmp_path: Path, parameters: str, query: dict[str, str]) -> None:
    text = f"""
        import datetime, enum, uuid
        from typing import *
        from fastapi import *
        class Paging:
            def __init__(self, cursor: str = ""): ...
        class Colour(str, enum.Enum):
            RED = "red"
        def paging(skip: int = 0, limit: int = 10): ...
        def get_db(): yield None
        PagingDep = Annotated[dict, Depends(paging)]
        @app.get("/x/{{item}}")
        def h({parameters}): ...
    """
    assert one(tmp_path, text).query == query


@pytest.mark.parametrize(
    ("parameters", "body"),
    [
        ("new: Item", {"name": "string", "price": "number", "tags": ["string"], "owner": {"id": "integer"}}),
        ("a: Owner, b: Owner", {"a": {"id": "integer"}, "b": {"id": "integer"}}),
        ("many: list[Owner]", [{"id": "integer"}]),
        ("data: dict", {}),
        ("one: int = Body(embed=True), owner: Owner = None", {"one": "integer", "owner": {"id": "integer"}}),
        ("file: UploadFile, note: str = Form()", {"file": "file", "note": "string"}),
        ("files: list[UploadFile]", {"files": ["file"]}),
        ("node: Node", {"value": "integer", "next": "object", "more": ["object"]}),
        ("point: Point", {"x": "integer"}),
        ("aliased: Aliased", {"theName": "string", "any": "object", "level": "integer"}),
        ("page: Page[Owner]", {"items": ["object"], "total": "integer"}),
    ],
)
def test_bodies_are_shown_as_skeletons(tmp_path: Path, parameters: str, body: object) -> None:
    text = f"""
        from __future__ import annotations
        import dataclasses, enum
        from typing import Any, ClassVar, Generic, Optional, TypeVar
        from fastapi import Body, Form, UploadFile
        from pydantic import BaseModel, Field
        T = TypeVar("T")
        class Owner(BaseModel):
            id: int
        class Base(BaseModel):
            model_config = {{}}
            count: ClassVar[int] = 0
            name: str
        class Item(Base):
            price: float
            tags: list[str] = []
            owner: "Optional[Owner]" = None
            _private: int = 1
        class Node(BaseModel):
            value: int
            next: Node | None = None
            more: list[Node] = []
        @dataclasses.dataclass
        class Point:
            x: int
        class Level(enum.IntEnum):
            LOW = 1
        class Aliased(BaseModel):
            name: str = Field(alias="theName")
            any: Any
            level: Level
        class Page(BaseModel, Generic[T]):
            items: list[T]
            total: int
        @app.post("/x")
        def h({parameters}): ...
    """
    found = one(tmp_path, text).request_body
    if "Page" in parameters:
        assert isinstance(found, dict)
        assert found["total"] == "integer"
    else:
        assert found == body


def test_the_answer_is_known_from_response_model_or_annotation(tmp_path: Path) -> None:
    text = """
        from pydantic import BaseModel
        class Out(BaseModel):
            id: int
        @app.get("/a", response_model=list[Out], summary="All", description="  Every one.")
        def a(): ...
        @app.get("/b")
        def b() -> Out:
            '''One.

            In detail.
            \f
            Hidden.
            '''
        @app.delete("/c")
        def c() -> None: ...
    """
    a, b, c = extract_endpoints(write(tmp_path, main=APP + dedent(text)))
    assert (a.response_schema, a.summary, a.description) == ([{"id": "integer"}], "All", "Every one.")
    assert (b.response_schema, b.description) == ({"id": "integer"}, "One.\n\nIn detail.")
    assert c.response_schema is None


def target(folder: Path) -> tuple[str, str, bool] | None:
    found = find_app(folder)
    return (str(found), found.app_dir, found.factory) if found else None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"main": APP}, ("main:app", ".", False)),
        ({"app__main": APP, "main": "print()"}, ("app.main:app", ".", False)),
        ({"server": APP.replace("app =", "api =")}, ("server:api", ".", False)),
        ({"app__init__": APP}, ("app:app", ".", False)),
        (
            {"src__shop__init__": "", "src__shop__main": "from shop.db import x\n" + APP, "src__shop__db": "x=1"},
            ("shop.main:app", "src", False),
        ),
        ({"src__main": "from src.db import x\n" + APP, "src__db": "x=1"}, ("src.main:app", ".", False)),
        ({"backend__main": "from db import x\n" + APP, "backend__db": "x=1"}, ("main:app", "backend", False)),
        ({"backend__app__init__": "", "backend__app__main": APP}, ("app.main:app", "backend", False)),
        ({"app__main": "from .db import x\n" + APP, "app__db": "x=1"}, ("app.main:app", ".", False)),
        ({"app__main": "from routers import x\n" + APP, "app__routers": "x=1"}, ("main:app", "app", False)),
        (
            {"main": "from fastapi import FastAPI\ndef create_app(debug=False):\n  return FastAPI()\n"},
            ("main:create_app", ".", True),
        ),
        (
            {"main": "from fastapi import FastAPI\ndef create_app():\n  return FastAPI()\napp = create_app()\n"},
            ("main:app", ".", False),
        ),
        ({"tests__test_x": APP, "shop": APP}, ("shop:app", ".", False)),
        (
            {
                "run": "import uvicorn\nuvicorn.run('web.site:api')",
                "main": APP,
                "web__site": APP.replace("app =", "api ="),
            },
            ("web.site:api", ".", False),
        ),
        ({"main": "from web import app\n", "web": APP}, ("web:app", ".", False)),
        ({"main": APP + "from m import M\napp = M(app)\n"}, ("main:app", ".", False)),
        ({"main": "print('no app')"}, None),
        ({"main": "from fastapi import FastAPI\ndef make(x): return FastAPI()"}, None),
        ({}, None),
    ],
)
def test_the_application_to_run_is_found(
    tmp_path: Path, files: dict[str, str], expected: tuple[str, str, bool] | None
) -> None:
    assert target(write(tmp_path, **files)) == expected


def test_what_a_procfile_starts_wins(tmp_path: Path) -> None:
    write(tmp_path, main=APP, other__entry=APP)
    (tmp_path / "Procfile").write_text("web: gunicorn -k uvicorn.workers.UvicornWorker other.entry:app --bind :80\n")
    assert target(tmp_path) == ("other.entry:app", ".", False)


def test_the_reason_is_a_sentence_for_the_log(tmp_path: Path) -> None:
    found = find_app(write(tmp_path, app__main=APP))
    assert found is not None
    assert found.reason == 'FastAPI app "app" found in app/main.py'


def test_missing_files_are_named_only_where_nothing_can_be_run(tmp_path: Path) -> None:
    assert missing_files(tmp_path) == ["main.py"]
    assert missing_files(write(tmp_path, main=APP)) == []


def test_a_file_that_cannot_be_parsed_is_skipped_and_named(tmp_path: Path) -> None:
    write(tmp_path, main=APP + "from bad import router\n@app.get('/x')\ndef h(): ...\n", bad="def (:\n")
    found = extract(tmp_path)
    assert [item.path for item in found.endpoints] == ["/x"]
    assert found.skipped["bad.py"].startswith("line 1")
    assert found.target is not None
    assert found.complete


@pytest.mark.timed
@pytest.mark.parametrize(
    "source",
    [
        b"\x00",
        b"# coding: nonsense\n",
        b"x = " + b"(" * 5000 + b")" * 5000,
        b"x = " + b"-" * 50_000 + b"1",
        b"x = " + b"1" * 100_000,
        b"x = " + b"+".join([b"'a'"] * 3000),
        b"app = FastAPI()\n" + b"f(" * 80 + b")" * 80,
        b"from main import *\nimport main\nclass A(A): ...\n",
        b"x = 'a'\nfor i in [1] * 9:\n    x = x + x\n",
        b"x = [1]\n" + b"x = [*x, *x]\n" * 60,
        b"def f(): return f()\nx = f()\n",
        b"def f(): return f() + f()\nx = f()\n",
        ROUTERS_IN_CIRCLES,
        b"x" * (1024 * 1024 + 1),
        b"s = '\\d'\n",
    ],
    ids=lambda source: repr(source[:20]),
)
def test_hostile_source_ends_soon_and_never_raises(tmp_path: Path, source: bytes) -> None:
    (tmp_path / "main.py").write_bytes(b"from fastapi import FastAPI\n" + source + b"\napp = FastAPI()\n")
    begun = time.process_time()
    extract(tmp_path)
    assert time.process_time() - begun < 5


@pytest.mark.timed
def test_models_that_multiply_are_cut(tmp_path: Path) -> None:
    models = "".join(
        f"class M{n}(BaseModel):\n" + "".join(f"    f{m}: M{n + 1}\n" for m in range(12)) for n in range(7)
    )
    text = f"from pydantic import BaseModel\n{models}class M7(BaseModel):\n    x: int\n"
    write(tmp_path, main=APP + text + "@app.get('/a')\ndef a(): ...\n@app.post('/b')\ndef b(m: M0): ...\n")
    begun = time.process_time()
    found = extract(tmp_path)
    assert time.process_time() - begun < 5
    assert found.endpoints[0].path == "/a"
    assert not found.complete


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(project, main="from fastapi import FastAPI\nfrom linked import *\nfrom piped import *\napp = FastAPI()\n")
    write(tmp_path, outside=APP)
    (project / "linked.py").symlink_to(tmp_path / "outside.py")
    os.mkfifo(project / "piped.py")
    assert set(extract(project).skipped) == {"linked.py", "piped.py"}


def test_the_number_of_files_and_bytes_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.sources.files._MAX_FILES", 2)
    monkeypatch.setattr("preview.sources.files._MAX_TOTAL_BYTES", 60)
    write(tmp_path, a="x = 1" * 9, b="FastAPI" * 9, c="")
    skipped = extract(tmp_path).skipped
    assert "." in skipped
    assert "b.py" in skipped


def test_routers_without_an_application_are_shown_all_the_same(tmp_path: Path) -> None:
    write(
        tmp_path,
        users="from fastapi import APIRouter\nrouter = APIRouter(prefix='/u')\n@router.get('/x')\ndef h(): ...\n",
        all="from fastapi import *\nimport users\nr = APIRouter()\nr.include_router(users.router,prefix='/v1')",
    )
    assert routes(tmp_path) == ["GET /v1/u/x"]


@given(st.text(max_size=300) | st.text("()[]{}:=.,@\n abdefrpt'\"", max_size=300))
def test_any_text_as_source_is_survived(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "hostile"
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_bytes((APP + text).encode("utf-8", "surrogatepass"))
    extract(folder)


_NAMES = st.sampled_from(["app", "r", "FastAPI", "APIRouter", "x", "main", "os"])
_EXPRESSIONS = st.recursive(
    _NAMES | st.sampled_from(["'/p'", "1", "None", "[]", "f'/{x}'"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["get", "include_router", "mount", "router", "prefix"])).map(".".join),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}({pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} + {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}[{pair[1]}]"),
    ),
    max_leaves=8,
)
_STATEMENTS = st.one_of(
    st.tuples(_NAMES, _EXPRESSIONS).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    _EXPRESSIONS,
    st.tuples(_EXPRESSIONS, _NAMES).map(lambda pair: f"@{pair[0]}\ndef {pair[1]}(x: {pair[1]} = {pair[0]}): return x"),
    st.tuples(_NAMES, _EXPRESSIONS).map(lambda pair: f"class {pair[0]}({pair[1]}):\n    x: x"),
    _NAMES.map(lambda name: f"from {name} import *"),
)


@settings(deadline=None, max_examples=40)  # the budget is what bounds it; see the hostile cases
@given(st.lists(_STATEMENTS, max_size=12))
def test_any_program_is_survived(tmp_path_factory: pytest.TempPathFactory, statements: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp() / "programs"
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(APP + "\n".join(statements))
    extract(folder)


@pytest.mark.timed
def test_a_large_project_is_read_within_half_a_second(tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(100)]
    body = "\n".join(
        f"class M{n}(BaseModel):\n    a: int\n    b: list[str]\n"
        f"@router.post('/x{n}')\ndef h{n}(m: M{n}, q: int = 1) -> M{n}: ..."
        for n in range(10)
    )
    head = "from fastapi import APIRouter\nfrom pydantic import BaseModel\nrouter = APIRouter()\n"
    write(tmp_path, **{f"routers__{name}": head + body for name in names})
    includes = "".join(f"app.include_router({name}.router, prefix='/{name}')\n" for name in names)
    write(tmp_path, main=APP + f"from routers import {', '.join(names)}\n{includes}")
    begun = time.process_time()
    found = extract(tmp_path)
    assert len(found.endpoints) == 1000
    # 0.5 s is what is promised for a project; this is ten times a large one, and the machine may be busy.
    assert time.process_time() - begun < 5


def test_half_a_character_in_a_route_is_replaced(tmp_path: Path) -> None:
    write(tmp_path, main=APP + '@app.get("/a\\ud800", tags=["\\udfff"], summary="\\ud800")\ndef f(): ...\n')
    (endpoint,) = extract_endpoints(tmp_path)
    assert (endpoint.path, endpoint.tags, endpoint.summary) == ("/a?", ("?",), "?")
