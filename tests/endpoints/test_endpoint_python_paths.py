"""Path syntaxes of the Python frameworks, and hostile sources of each."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from python_project_kit import named, write

from preview.endpoints import extract
from preview.endpoints.more_python.paths import (
    ReadPath,
    read_angles,
    read_angles_or_colons,
    read_braces,
    read_braces_type_first,
    read_expression,
)

CASES: dict[ReadPath, dict[str, tuple[str, dict[str, str]]]] = {
    read_braces: {
        "/a/{id}": ("/a/{id}", {"id": "string"}),
        "/a/{id:int}/b": ("/a/{id}/b", {"id": "integer"}),
        r"/a/{id:\d{3}}.json": ("/a/{id}.json", {"id": "string"}),
        "/a/{n:int(min=1)}x{m:float}": ("/a/{n}x{m}", {"n": "integer", "m": "number"}),
        "/{tail:.*}": ("/{tail}", {"tail": "string"}),
        "/open/{id": ("/open/{id}", {"id": "string"}),
    },
    read_braces_type_first: {
        "/{int:id}": ("/{id}", {"id": "integer"}),
        "/:id/<kind>": ("/{id}/{kind}", {"id": "string", "kind": "string"}),
        "/files/*": ("/files/{tail}", {"tail": "string"}),
    },
    read_angles: {
        "/<id:int>": ("/{id}", {"id": "integer"}),
        "/<name:[a-z]{2,5}>/": ("/{name}/", {"name": "string"}),
        "/<day:ymd>": ("/{day}", {"day": "string"}),
    },
    read_angles_or_colons: {
        "/<id:re:[a-z]+>/:name": ("/{id}/{name}", {"id": "string", "name": "string"}),
        "/:name#[a-z]+#/x": ("/{name}/x", {"name": "string"}),
    },
    read_expression: {
        r"/x/(\d+)": ("/x/{var}", {"var": "integer"}),
        r"/x/(?P<id>[^/]+)$": ("/x/{id}", {"id": "string"}),
        r"/(?:a|b)\.json": ("/{var}.json", {"var": "string"}),
    },
}


@pytest.mark.parametrize("read", CASES)
def test_a_path_becomes_one_with_named_parameters(read: ReadPath) -> None:
    assert {path: read(path) for path in CASES[read]} == CASES[read]


_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
_KINDS = st.sampled_from(["", "int", "str", "float", "path", "uuid"])


@given(st.lists(st.tuples(_NAMES, _KINDS), max_size=6, unique_by=lambda pair: pair[0]))
def test_each_parameter_keeps_its_place_and_name(parts: list[tuple[str, str]]) -> None:
    wanted = "/x" + "".join(f"/{{{name}}}" for name, _ in parts)
    forms = {
        read_braces: "{{{name}{colon}{kind}}}",
        read_angles: "<{name}{colon}{kind}>",
        read_angles_or_colons: "<{name}{colon}{kind}>",
        read_braces_type_first: "{{{kind}{colon}{name}}}",
    }
    for read, form in forms.items():
        path = "/x" + "".join(
            "/" + form.format(name=name, colon=":" if kind else "", kind=kind) for name, kind in parts
        )
        shown, types = read(path)
        assert shown == wanted
        assert list(types) == [name for name, _ in parts]
    expression = "/x" + "".join(f"/(?P<{name}>[^/]+)" for name, _ in parts)
    assert read_expression(expression)[0] == wanted


@given(st.text(max_size=300) | st.text("{}<>:/*()[]\\?P#ab1", max_size=300))
def test_any_path_is_survived_and_its_parameters_are_in_it(path: str) -> None:
    for read in CASES:
        shown, types = read(path)
        assert len(shown) <= 8 * len(path) + 8
        if read is not read_expression and not set("{}") & set(path):
            assert set(re.findall(r"\{(\w+)\}", shown)) == set(types)


@pytest.mark.timed
@pytest.mark.parametrize("path", ["{" * 200_000, "<" * 200_000, "/:a#" * 50_000, "(" * 200_000, "{a:" + "\\" * 200_000])
def test_a_long_path_takes_little_time(path: str) -> None:
    begun = time.process_time()
    for read in CASES:
        read(path)
    assert time.process_time() - begun < 2


HEADS = {
    "quart": "from quart import Blueprint, Quart\napp = Quart(__name__)\nget = app.get\n",
    "litestar": "from litestar import Controller, Litestar, Router, get\napp = Litestar([])\n",
    "aiohttp": "from aiohttp import web\napp = web.Application()\n",
    "sanic": "from sanic import Blueprint, Sanic\napp = Sanic('x')\n",
    "tornado": "from tornado.web import Application, RequestHandler\napp = Application([])\n",
    "blacksheep": "from blacksheep import Application, Router, get\napp = Application()\n",
    "falcon": "import falcon\napp = falcon.App()\n",
    "bottle": "from bottle import Bottle, get, route\napp = Bottle()\n",
}
# ruff: noqa: ISC004
HOSTILE = [
    "app.mount('/x', app)\napp.add_subapp('/x', app)\napp.blueprint(app)\napp.register(app)\napp.merge(app)\n",
    "a, b = web.Application(), web.Application()\na.add_subapp('/b', b)\nb.add_subapp('/a', a)\napp.add_subapp('/', a)",
    "r = web.RouteTableDef()\nr.get('/x')(f)\nr.add_routes(r)\nfor n in range(99):\n    r.add_routes([r, *r, app])\n"
    "    app.add_routes(r)\n    app.add_routes([app, r])\napp.add_routes(r)",
    "a, b = Blueprint('a'), Blueprint('b')\na.blueprint(b)\nb.blueprint(a)\napp.blueprint(a)\n",
    "g = Blueprint.group(url_prefix='/g')\nfor n in range(99):\n    g.append(g)\napp.blueprint(g)\n",
    "g = Blueprint.group(Blueprint('a'))\nfor n in range(99):\n    g = Blueprint.group(g, g)\napp.blueprint(g)\n",
    "a, b = Bottle(), Bottle()\na.mount('/b', b)\nb.mount('/a', a)\napp.mount('/', a)\n",
    "r = Router('/r')\nr.register(r)\napp.register(r)\nfor n in range(99):\n    r.register(r)",
    "x = []\nfor n in range(99):\n    x.append(x)\napp.register(x)\napp.add_routes(x)\napp.add_handlers('.*', x)\n",
    "x = [('/', app)]\nfor n in range(99):\n    x.append(('/', x))\napp.add_handlers('', x)\n",
    "a = Router()\nb = Router(sub_routers=[a, a])\nfor n in range(99):\n    b = Router(sub_routers=[b, b])\n"
    "app = Application(router=b)\n",
    "for n in range(99):\n    for m in range(99):\n        app.add_route(f'/{n}/{m}', app)\n        app.get('/')(app)",
    "class A(A): ...\nclass C(Controller):\n    path = C\napp.register(C)\napp.add_handlers('', [(1, A)])",
    "app.get()(None)\napp.route(**{'path': 3})\napp.add_route()\napp.add_routes(None)\napp.mount()\napp.blueprint()\n",
    "app.get('/x', version=[1])(lambda r: r)\napp.route('/y', methods={'a': 1})(print)\napp.add_get(1, 2)\n",
    "def main():\n    return main() + main()\ndef run(): main()\nmain()\n",
]


@pytest.mark.timed
@pytest.mark.parametrize("framework", HEADS)
def test_hostile_source_ends_soon_and_never_raises(tmp_path: Path, framework: str) -> None:
    begun = time.process_time()
    for number, text in enumerate(HOSTILE):
        extract(write(tmp_path / str(number), main=HEADS[framework] + text))
    assert time.process_time() - begun < 20


@given(st.sampled_from(sorted(HEADS)), st.text("()[]{}:=.,@\n abdefrpt'\"*%<>/", max_size=200))
def test_any_text_is_survived(tmp_path_factory: pytest.TempPathFactory, framework: str, text: str) -> None:
    folder = tmp_path_factory.mktemp("project")
    extract(write(folder, main=HEADS[framework] + text + "\napp.get('/x')(print)\n"))


@pytest.mark.timed
def test_all_frameworks_in_one_project_share_one_budget(tmp_path: Path) -> None:
    body = "x = [[a for a in range(100)] for b in range(100) for c in range(100) for d in range(100)]\n"
    for framework, head in HEADS.items():
        write(tmp_path, **{framework + "_app": head + body})
    begun = time.process_time()
    extract(tmp_path)
    assert time.process_time() - begun < 8


def test_a_signature_and_a_docstring_become_facts(tmp_path: Path) -> None:
    text = (
        "from dataclasses import dataclass\nfrom litestar import Litestar, post\n"
        "@dataclass\nclass Item:\n    name: str\n"
        "@post('/items/{shop:int}')\nasync def add(shop: int, data: Item, dry: bool = False, state: int = 0) -> Item:\n"
        '    """Add an item.\n\n    It is kept.\n    """\napp = Litestar([add])\n'
    )
    item = named(write(tmp_path, main=text))["POST /items/{shop}"]
    assert (item.summary, item.description) == ("Add an item.", "Add an item.\n\nIt is kept.")
    assert (item.query, item.request_body) == ({"dry": "boolean"}, {"name": "string"})
    assert (item.path_parameters, item.file, item.line) == ({"shop": "integer"}, "main.py", 7)


def test_query_parameters_that_a_handler_reads_are_named(tmp_path: Path) -> None:
    text = (
        "import tornado.web\nclass H(tornado.web.RequestHandler):\n    def get(self, user_id):\n"
        "        return self.get_argument('page'), self.get_query_argument('size', 3)\n"
        "app = tornado.web.Application([(r'/users/(\\d+)', H)])\n"
    )
    item = named(write(tmp_path, main=text))["GET /users/{user_id}"]
    assert (item.query, item.path_parameters) == ({"page": "string", "size": "string"}, {"user_id": "integer"})
