# ruff: noqa: E501  sources stand as they would be written
"""What is written seldom, and still read, in projects of Django and FastAPI."""

from __future__ import annotations

from pathlib import Path

import pytest
from django_project_kit import by_route, django_project, listed
from python_project_kit import only, routes, write

HEAD = """
from django.contrib import admin
from django.conf.urls.i18n import i18n_patterns
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods
from drf_yasg.views import get_schema_view
from rest_framework.decorators import action, api_view
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.routers import DefaultRouter
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet, ViewSet
from rest_framework_extensions.routers import ExtendedSimpleRouter
class Books(ViewSet):
    def list(self, request): ...
class One(ViewSet):
    lookup_field = "slug"
    def retrieve(self, request, slug): ...
"""
ROUTED = [
    (
        "router = DefaultRouter()\nrouter.trailing_slash = ''\nrouter.register('b', Books)\nurlpatterns = router.urls",
        ["GET /b"],
    ),
    ("router = DefaultRouter()\nrouter.register('b', Books)\nurlpatterns = router.get_urls()", ["GET /b/"]),
    (
        (
            "a = DefaultRouter()\na.register('b', Books)\nb = DefaultRouter()\nb.extend(a)\nb.extend(unknown)\n"
            "b.register(unknown, Books)\nurlpatterns = b.urls"
        ),
        ["GET /b/"],
    ),
    (
        (
            "a = DefaultRouter()\na.register('b', Books)\nb = DefaultRouter()\nb.registry.extend(a.registry)\n"
            "urlpatterns = b.urls"
        ),
        ["GET /b/"],
    ),
    ("a = DefaultRouter()\na.register('b', unknown)\nurlpatterns = a.urls", ["* /b/", "* /b/{pk}/"]),
    (
        "class Own(DefaultRouter):\n    trailing_slash = ''\na = Own()\na.register('b', Books)\nurlpatterns = a.urls",
        ["GET /b"],
    ),
    ("a = DefaultRouter()\na.register('', One)\nurlpatterns = a.urls", ["GET /{slug}/"]),
    ("a = DefaultRouter()\na.register('<int:x>/b', Books)\nurlpatterns = a.urls", ["GET /{x}/b/"]),
    (
        (
            "a = ExtendedSimpleRouter()\nn = a.register('b', Books)\n"
            "n.register('one', One, 'x', parents_query_lookups=['book'])\nurlpatterns = a.urls"
        ),
        ["GET /b/", "GET /b/{parent_lookup_book}/one/{slug}/"],
    ),
    (
        "def h(request): ...\nsite = admin.AdminSite()\nurlpatterns = [path('admin/', site.urls), path('a/', h)]",
        ["* /a/"],
    ),
    (
        "def h(request): ...\nurlpatterns = i18n_patterns(path(_('a/'), h), prefix_default_language=False)",
        ["* /a/"],
    ),
    ("def h(request): ...\nurlpatterns = i18n_patterns(path('a/', h))", ["* /en-us/a/"]),
    ("def h(request): ...\nurlpatterns = [path('a/', require_GET(h))]", ["GET /a/"]),
    ("@api_view()\ndef h(request): ...\nurlpatterns = [path('a/', h)]", ["GET /a/"]),
    ("@require_http_methods(['GET'])\n@api_view(['POST'])\ndef h(request): ...\nurlpatterns = [path('a/', h)]", ["GET /a/"]),
    ("def h(request): ...\nurlpatterns = [path('a/', wrap(1)(wrap(h)))]", ["* /a/"]),
    ("urlpatterns = [path('a/', view=wrap()), path('b/', gone()['urls']), path(unknown, wrap)]", ["* /a/", "* /b/"]),
    ("urlpatterns = [path('a/', gone.urls), path('b/', make_urls())]", []),
    ("v = get_schema_view()\nurlpatterns = [path('a/', v.with_ui('x')), path('b/', v.as_view())]", ["GET /a/", "GET /b/"]),
    ("urlpatterns = [path('a/', Books.as_view({'get': 'list'}, http_method_names=['get']))]", ["GET /a/"]),
    ("urlpatterns = [path('a/', gone().as_view())]", ["* /a/"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ROUTED)
def test_django_routes(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert listed(django_project(tmp_path, HEAD + text)) == expected


@pytest.mark.parametrize(
    ("attributes", "query"),
    [
        ("pagination_class = PageNumberPagination", {"page": "integer"}),
        ("pagination_class = Own", {"cursor": "string"}),
        ("pagination_class = None", {}),
        ("search_fields = unknown()\n    ordering_fields = ()\n    pagination_class = None", {"search": "string"}),
        ("search_fields = ['x']", {"search": "string", "limit": "integer", "offset": "integer"}),
        (
            "filterset_fields = {'a': ['exact']}\n    ordering_fields = ['x']\n    pagination_class = None",
            {"a": "string", "ordering": "string"},
        ),
        (
            (
                "pagination_class = None\n    def get_queryset(self):\n        self.request.GET.getlist('ids')\n"
                "        return self.request.query_params['q']"
            ),
            {"ids": "array", "q": "string"},
        ),
    ],
)
def test_a_list_of_django_takes(tmp_path: Path, attributes: str, query: dict[str, str]) -> None:
    text = f"""
class Own(CursorPagination): ...
class Shown(ReadOnlyModelViewSet):
    {attributes}
router = DefaultRouter()
router.register("b", Shown)
urlpatterns = router.urls
"""
    settings = (
        "ROOT_URLCONF = 'config.urls'\nINSTALLED_APPS = ['rest_framework']\n"
        "REST_FRAMEWORK = {'DEFAULT_PAGINATION_CLASS': 'rest_framework.pagination.LimitOffsetPagination'}\n"
    )
    assert by_route(django_project(tmp_path, HEAD + text, config__settings=settings))["GET /b/"].query == query


NINJA = """
from ninja import NinjaAPI, Router
from ninja_extra import NinjaExtraAPI, api_controller, http_generic
api = NinjaExtraAPI()
def first(request): ...
api.get("/called")(first)
api.add_api_operation("/added", ["PUT"], first)
@api.get("/one")
@api.post("/two")
def both(request): ...
@api_controller
class Bare: ...
@api_controller("/c")
class Own:
    @http_generic("/x", methods=["PATCH"])
    def x(self): ...
@api_controller("/no")
def wrong(): ...
api.register_controllers(Own)
outer = Router()
inner = Router(tags=["own"])
@inner.get("/in")
def h(request): ...
@outer.get("/out")
def g(request): ...
outer.add_router("/deep", inner)
api.add_router("/o", outer, tags=["outer"])
api.add_router("/gone", "nowhere.router")
api.add_router("/gone", 1)
urlpatterns = [path("api/", api.urls)]
"""


def test_ninja_registers_in_all_its_ways(tmp_path: Path) -> None:
    found = by_route(django_project(tmp_path, NINJA))
    assert sorted(found) == [
        "GET /api/called",
        "GET /api/o/deep/in",
        "GET /api/o/out",
        "GET /api/one",
        "PATCH /api/c/x",
        "POST /api/two",
        "PUT /api/added",
    ]
    assert (found["GET /api/o/deep/in"].tags, found["GET /api/o/out"].tags) == (("own",), ("outer",))


FASTAPI = """
from enum import Enum, IntEnum
from typing import Annotated, ClassVar, Generic, List, Literal, Optional
from fastapi import APIRouter, Body, Cookie, Depends, FastAPI, File, Form, Query, UploadFile
from pydantic import BaseModel, Field
app = FastAPI()
class Level(IntEnum):
    one = 1
class Colour(str, Enum):
    red = "r"
class Item(BaseModel):
    model_config = {}
    kind: ClassVar[int] = 1
    name: str = Field(alias="title")
    level: Level
    again: Optional["Item"] = None
class Filter(BaseModel):
    q: str
    n: int = 1
class Pages:
    def __init__(self, page: int = 1): ...
def limits(limit: int = 10, c: str = Cookie()): ...
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("@app.on_event('startup')\ndef start():\n  app.add_api_route('/a', start)", ["GET /a"]),
        ("def start():\n  app.add_api_route('/a', start)\napp.add_event_handler('startup', start)", ["GET /a"]),
        ("r = APIRouter()\nr.prefix = '/x'\n@r.get('/a')\ndef h(): ...\napp.include_router(r)", ["GET /x/a"]),
        ("app.base = '/x'\n@app.get(app.base + '/a')\ndef h(): ...", ["GET /x/a"]),
        ("sub = FastAPI()\n@sub.get('/a')\ndef h(): ...\napp.mount('/x', sub)\napp.mount('/y', app)", ["GET /x/a"]),
        ("@app.get(unknown)\ndef h(): ...\napp.add_api_route(unknown, h)", []),
        ("def h(): ...\napp.get('/a')(h)\napp.post('/a')()", ["GET /a", "POST /a"]),
        ("app.include_router(unknown)\napp.include_router(app)\n@app.api_route('/a', methods=['PUT'])\ndef h(): ...", ["PUT /a"]),
    ],
)  # fmt: skip
def test_fastapi_registers(tmp_path: Path, source: str, expected: list[str]) -> None:
    assert routes(write(tmp_path, app=FASTAPI + source)) == expected


ITEM = {"title": "string", "level": "integer", "again": "object"}
SIGNATURES: list[tuple[str, dict[str, str], object]] = [
    ("p: Pages = Depends()", {"page": "integer"}, None),
    ("p: Annotated[Pages, Depends()]", {"page": "integer"}, None),
    ("f: Filter = Depends()", {"q": "string", "n": "integer"}, None),
    ("f: Annotated[dict, Depends(limits)]", {"limit": "integer"}, None),
    ("f=Depends(unknown)", {}, None),
    ("x=Query(alias='the-x'), y=1.5, z=None", {"the-x": "string", "y": "number", "z": "string"}, None),
    ("f: UploadFile, g: List[UploadFile], n: str = Form()", {}, {"f": "file", "g": ["file"], "n": "string"}),
    ("f: Unread = File(), a: int = Body()", {}, {"f": "file", "a": "integer"}),
    ("f = File()", {}, {"f": "file"}),
    ("f: bytes = File(), g: list[bytes] = File()", {}, {"f": "file", "g": ["file"]}),
    ("f = Form(), a = Body()", {}, {"f": "string", "a": "string"}),
    ("a: Item, b: Annotated[Filter, Body()]", {}, {"a": ITEM, "b": {"q": "string", "n": "integer"}}),
    ("a: 'Item'", {}, ITEM),
    ("c: Colour, l: Literal[1], t: Literal[True], s: Literal['x']",
     {"c": "string", "l": "integer", "t": "boolean", "s": "string"}, None),
    ("a: int | None, b: None | str = None, c: list[int] = Query()", {"a": "integer", "b": "string", "c": "array"}, None),
    ("a: 'not valid(', b: dict[str, int]", {"a": "string"}, {}),
    ("*, a: int, b: list", {"a": "integer"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "query", "body"), SIGNATURES)
def test_a_function_of_fastapi_takes(tmp_path: Path, parameters: str, query: dict[str, str], body: object) -> None:
    endpoint = only(write(tmp_path, app=f"{FASTAPI}@app.post('/a')\ndef h({parameters}): ...\n"))
    assert (dict(endpoint.query), endpoint.request_body) == (query, body)


FLASK = """
from flask import Flask
from flask.views import View
from flask_restx import Api, Model, Resource, fields
app = Flask(__name__)
api = Api(app)
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("small = Model('Small', {'a': fields.Integer})", {"a": "integer"}),
        ("small = [Model('Small', {'a': fields.Integer})]", [{"a": "integer"}]),
        (
            "small = api.model('Small', {'n': fields.Nested(api.model('B', {'b': fields.Float}))})",
            {"n": {"b": "number"}},
        ),
    ],
)
def test_models_of_restx_become_bodies(tmp_path: Path, source: str, expected: object) -> None:
    used = "@api.route('/a')\nclass A(Resource):\n    @api.expect(small)\n    def post(self): ...\n"
    assert only(write(tmp_path, app=f"{FLASK}{source}\n{used}")).request_body == expected


def test_what_is_only_in_headers_or_cookies_is_no_field(tmp_path: Path) -> None:
    used = """
parser = api.parser()
parser.add_argument('X-Token', location='headers')
parser.add_argument('n', type=int, location='form')
@api.route('/a')
class A(Resource):
    @api.expect(parser)
    def post(self): ...
"""
    assert only(write(tmp_path, app=FLASK + used)).request_body == {"n": "integer"}


def test_routers_within_each_other_end(tmp_path: Path) -> None:
    source = "a = APIRouter(prefix='/x')\nb = APIRouter()\n@b.get('/a')\ndef h(): ...\na.include_router(b)\n"
    found = routes(write(tmp_path, app=f"{FASTAPI}{source}b.include_router(a)\napp.include_router(a)\n"))
    assert found[0] == "GET /x/a"
    assert len(found) < 100
