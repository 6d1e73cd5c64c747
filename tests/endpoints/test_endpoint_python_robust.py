from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_project_kit import routes, write

from preview.endpoints import extract

APP = "from fastapi import APIRouter, FastAPI\napp = FastAPI()\n"
FLASK = "from flask import Flask, Blueprint, request\nfrom flask.views import MethodView\napp = Flask(__name__)\n"


@pytest.mark.parametrize(
    "text",
    [
        "type Ids = list[int]\n",
        "def first[T](items: list[T]) -> T: ...\n",
        "class Page[T](BaseModel):\n    items: list[T]\n",
        "try:\n    pass\nexcept ValueError, KeyError:\n    pass\n",
        'def name(row): return f"{row["name"]}"\n',
    ],
)
def test_newer_syntax_takes_no_route_away(tmp_path: Path, text: str) -> None:
    assert routes(write(tmp_path, main=APP + text + "@app.get('/x')\ndef h(): ...\n")) == ["GET /x"]


def test_a_broken_statement_takes_only_itself_away_and_is_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        main=APP
        + ("@app.get('/a')\ndef a(: ...\n@app.get('/b')\ndef b():\n    x = 3 +* 4\n@app.get('/c')\ndef c(): ...\n"),
    )
    found = extract(tmp_path)
    assert [item.path for item in found.endpoints] == ["/b", "/c"]
    assert found.skipped["main.py"].startswith("line 4")


def test_a_function_that_calls_itself_twice_hides_no_route(tmp_path: Path) -> None:
    text = "def f(): return f() + f()\nx = f()\n@app.get('/x')\ndef h(): ...\n"
    assert routes(write(tmp_path, main=APP + text)) == ["GET /x"]


@pytest.mark.parametrize(
    "text",
    [
        (
            "a, b = Blueprint('a', 'a'), Blueprint('b', 'b')\na.register_blueprint(b)\n"
            "b.register_blueprint(a)\napp.register_blueprint(a)\n"
        ),
        "x = {}\nfor i in range(99): x[i] = x\nx.update(x)\n",
        "x = ['a']\nfor i in range(100): x.extend(x)\n",
        "x = 'a'\nfor i in range(100): x = x.join([x, x])\n",
        "x = 'a' * 10\nfor i in range(100): x = x.replace('a', x)\n",
        "x = '{}{}'\nfor i in range(100): x = x.format(x, x)\n",
        "x = [[a for a in range(100)] for b in range(100) for c in range(100) for d in range(100)]\n",
        "class A(A): ...\nA().x\nsuper().x\n",
        "x = '%s' % ('a',) * 5\ny = 'a'[::0]\nz = [1][9]\nw = {}['a']\n",
        "import main\nfrom . import *\nfrom .main import app\n",
        "x = lambda: x()\nx()\n",
        "def f(*a, **k): return f(*a, **k)\nf(*[1] * 3, **{'a': 1})\n",
        "while True:\n    app.register_blueprint(Blueprint('x', 'x'))\n",
        "app.route(**{'rule': 3})(None)\napp.add_url_rule()\napp.register_blueprint()\napp.config[app] = app\n",
    ],
)
def test_hostile_flask_source_ends_soon_and_never_raises(tmp_path: Path, text: str) -> None:
    write(tmp_path, main=FLASK + text)
    begun = time.process_time()
    extract(tmp_path)
    assert time.process_time() - begun < 3


_TEXT = st.text(max_size=200) | st.text("()[]{}:=.,@\n abdefrpt'\"*%<>", max_size=200)


@given(_TEXT)
def test_any_text_in_a_flask_project_is_survived(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "flask-text"
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_bytes((FLASK + text).encode("utf-8", "surrogatepass"))
    extract(folder)


_NAMES = st.sampled_from(
    ["app", "b", "Flask", "Blueprint", "MethodView", "x", "request", "super", "getattr", "dir", "str"]
)
_MEMBERS = st.sampled_from(
    ["get", "register_blueprint", "config", "as_view", "format", "append", "items", "add_url_rule"]
)
_EXPRESSIONS = st.recursive(
    _NAMES | st.sampled_from(["'/p'", "1", "None", "[]", "{}", "f'/{x}'", "'{}'", "__file__"]),
    lambda inner: st.one_of(
        st.tuples(inner, _MEMBERS).map(".".join),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}({pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}(*{pair[1]}, **{pair[0]})"),
        st.tuples(inner, st.sampled_from(["+", "-", "%", "/", "|", "or", "and", "==", "in", "is"]), inner).map(
            lambda three: f"({three[0]} {three[1]} {three[2]})"
        ),
        st.tuples(inner, inner).map(lambda pair: f"{pair[0]}[{pair[1]}]"),
        st.tuples(inner, inner).map(lambda pair: f"[{pair[0]} for x in {pair[1]} if x]"),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} if {three[1]} else {three[2]})"),
    ),
    max_leaves=10,
)
_STATEMENTS = st.one_of(
    st.tuples(_NAMES, _EXPRESSIONS).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.tuples(_EXPRESSIONS, _EXPRESSIONS).map(lambda pair: f"x[{pair[0]}] = {pair[1]}"),
    _EXPRESSIONS,
    st.tuples(_EXPRESSIONS, _NAMES).map(lambda pair: f"@{pair[0]}\ndef {pair[1]}(x={pair[0]}, *a, **k): return x"),
    st.tuples(_NAMES, _EXPRESSIONS).map(
        lambda pair: f"class {pair[0]}({pair[1]}):\n    def __init__(self): super().__init__({pair[1]})"
    ),
    st.tuples(_EXPRESSIONS, _EXPRESSIONS).map(lambda pair: f"for b in {pair[0]}:\n    {pair[1]}\n    if b: continue"),
)


@pytest.mark.timed
@settings(deadline=None, max_examples=40)  # the budget is what bounds it; see the hostile cases
@given(st.lists(_STATEMENTS, max_size=10))
def test_any_flask_program_is_survived(tmp_path_factory: pytest.TempPathFactory, statements: list[str]) -> None:
    folder = tmp_path_factory.getbasetemp() / "flask-programs"
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(FLASK + "\n".join(statements))
    extract(folder)


@pytest.mark.timed
def test_two_thousand_files_are_read_within_seconds(tmp_path: Path) -> None:
    head = "from flask import Blueprint\nfrom .other import helper\nbp = Blueprint(__name__, __name__)\n"
    views = "".join(f"@bp.get('/{n}')\ndef h{n}(): return request.args['q']\n" for n in range(4))
    helper = "def helper(x):\n    return [item for item in x if item]\n" * 10
    for number in range(200):
        folder = tmp_path / "shop" / f"part{number}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "views.py").write_text(head + views)
        for name in ("other", "models", "forms", "tasks", "utils", "tests", "services", "errors"):
            (folder / f"{name}.py").write_text(helper)
    loads = "".join(
        (f"from shop.part{n}.views import bp as b{n}\napp.register_blueprint(b{n}, url_prefix='/{n}')\n")
        for n in range(200)
    )
    write(tmp_path, main=FLASK + loads)
    begun = time.process_time()
    found = extract(tmp_path)
    assert len(found.endpoints) == 800
    # 3 s is what is promised; a busy machine has its share of this too.
    assert time.process_time() - begun < 3
