from __future__ import annotations

from pathlib import Path

import pytest
from python_project_kit import named, routes, write

from preview.endpoints import extract_endpoints

APP = """
from flask import Flask, Blueprint, request
from flask.views import MethodView, View
app = Flask(__name__)
"""
ITEM_VIEW = "class V(MethodView):\n  def get(self, id): ...\n  def delete(self, id): ...\n"
INHERITED = "class B(MethodView):\n  def get(self): ...\nclass V(B):\n  def post(self): ...\n"
OWN_METHODS = "class V(View):\n  methods = ['GET', 'POST']\n  def dispatch_request(self): ...\n"
NESTED = """
parent = Blueprint('parent', __name__, url_prefix='/parent')
child = Blueprint('child', __name__, url_prefix='/child')
@child.get('/x')
def h(): ...
parent.register_blueprint(child)
"""
WRAPPED = """
from functools import wraps
def admin(view):
    @wraps(view)
    def inner(*args): return view(*args)
    return inner
class V(MethodView):
    def get(self): ...
    def post(self): ...
app.add_url_rule('/a', view_func=admin(V.as_view('v')))
"""
OWN_DECORATOR = """
def page(path):
    def register(view):
        app.add_url_rule(path, view_func=view)
        return view
    return register
@page('/a')
def h(): ...
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@app.route('/a')\ndef h(): ...", ["GET /a"]),
        ("@app.route('/a', methods=['post', 'PUT'])\ndef h(): ...", ["POST /a", "PUT /a"]),
        ("@app.route('/a', methods=('GET', 'OPTIONS', 'HEAD'))\ndef h(): ...", ["GET /a"]),
        ("@app.patch('/a')\ndef h(): ...", ["PATCH /a"]),
        ("@app.route('/')\n@app.route('/index')\ndef h(): ...", ["GET /index", "GET /"]),
        ("def h(): ...\napp.add_url_rule('/a', 'a', h, methods=['DELETE'])", ["DELETE /a"]),
        ("app.add_url_rule('/a', view_func=lambda: 'x')", ["GET /a"]),
        ("app.add_url_rule('/a', endpoint='later')", ["GET /a"]),
        ("app.add_url_rule('/a', endpoint='later', build_only=True)", []),
        ("@app.route('/a/<int:id>/<path:rest>/')\ndef h(id, rest): ...", ["GET /a/{id}/{rest}/"]),
        ("@app.route('/<any(a, b):x>/<regex(\"[a-z]+\"):y>')\ndef h(x, y): ...", ["GET /{x}/{y}"]),
        ("for p in ('a', 'b'):\n  app.route(f'/{p}')(lambda: 1)", ["GET /a", "GET /b"]),
        ("b = Blueprint('b', __name__)\n@b.get('/x')\ndef h(): ...\napp.register_blueprint(b)", ["GET /x"]),
        (
            "b = Blueprint('b', __name__, url_prefix='/p')\n@b.get('/')\ndef h(): ...\napp.register_blueprint(b)",
            ["GET /p/"],
        ),
        (
            (
                "b = Blueprint('b', __name__, url_prefix='/p')\n@b.get('/x')\ndef h(): ...\n"
                "app.register_blueprint(b, url_prefix='/q')"
            ),
            ["GET /q/x"],
        ),
        (
            ("b = Blueprint('b', __name__, url_prefix='/p')\n@b.get('')\ndef h(): ...\napp.register_blueprint(b)"),
            ["GET /p"],
        ),
        (
            (
                "b = Blueprint('b', __name__)\n@b.get('/x')\ndef h(): ...\n"
                "app.register_blueprint(b)\napp.register_blueprint(b, name='again', url_prefix='/v2')"
            ),
            ["GET /x", "GET /v2/x"],
        ),
        ("b = Blueprint('b', __name__)\n@b.get('/x')\ndef h(): ...", []),
        (NESTED + "app.register_blueprint(parent)", ["GET /parent/child/x"]),
        (NESTED + "app.register_blueprint(parent, url_prefix='/api')", ["GET /api/child/x"]),
        (ITEM_VIEW + "app.add_url_rule('/a/<id>', view_func=V.as_view('v'))", ["GET /a/{id}", "DELETE /a/{id}"]),
        (ITEM_VIEW + "app.add_url_rule('/a', view_func=V.as_view('v'), methods=['GET'])", ["GET /a"]),
        (ITEM_VIEW + "v = V.as_view('v')\napp.add_url_rule('/a', view_func=v)", ["GET /a", "DELETE /a"]),
        (INHERITED + "app.add_url_rule('/a', view_func=V.as_view('v'))", ["GET /a", "POST /a"]),
        (OWN_METHODS + "app.add_url_rule('/a', view_func=V.as_view('v'))", ["GET /a", "POST /a"]),
        (
            ("from x import auth\n") + ITEM_VIEW + "app.add_url_rule('/a', view_func=auth(V.as_view('v')))",
            ["GET /a", "DELETE /a"],
        ),
        (WRAPPED, ["GET /a", "POST /a"]),
        (OWN_DECORATOR, ["GET /a"]),
        (
            ("class App(Flask):\n  def setup(self):\n    self.add_url_rule('/a', 'a')\napp = App('x')\napp.setup()"),
            ["GET /a"],
        ),
        ("if app.debug:\n  @app.get('/debug')\n  def h(): ...", []),
        (
            ("if settings():\n  @app.get('/a')\n  def h(): ...\nelse:\n  @app.get('/b')\n  def i(): ..."),
            ["GET /a", "GET /b"],
        ),
        ("@app.get('/a')\ndef h(): ...\n@app.get('/a')\ndef i(): ...", ["GET /a"]),
        ("@app.errorhandler(404)\ndef h(e): ...\n@app.before_request\ndef i(): ...", []),
        (
            ("from werkzeug.middleware.proxy_fix import ProxyFix\n@app.get('/a')\ndef h(): ...\napp = ProxyFix(app)"),
            ["GET /a"],
        ),
        (
            (
                "b = Blueprint('b', __name__)\nb.register_blueprint(b)\n"
                "app.register_blueprint(b)\n@b.get('/x')\ndef h(): ..."
            ),
            ["GET /x"],
        ),
    ],
)
def test_each_way_to_register_a_rule_is_followed(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert routes(write(tmp_path, app=APP + text)) == expected


@pytest.mark.parametrize(
    ("setting", "prefix"),
    [
        ("app.config['API'] = '/a'", "app.config['API']"),
        ("app.config.from_object('config.Development')", "app.config['API']"),
        ("app.config.from_object(config.Development)", "app.config.get('API')"),
        ("app.config.from_pyfile('config.py')", "app.config['API']"),
        ("app.config.update(API='/a')", "app.config.get('API', '/other')"),
        ("app.config.from_mapping({'OTHER': 1})", "app.config.get('API', '/a')"),
        ("", "config.Development.API"),
        ("", "os.getenv('API', '/a')"),
        ("", "os.environ.get('NOT_THERE') or '/a'"),
        ("", "'/{}'.format('a')"),
        ("", "'/%s' % 'a'"),
        ("", "'/'.join(['', 'a'])"),
    ],
)
def test_a_prefix_may_come_from_the_configuration(tmp_path: Path, setting: str, prefix: str) -> None:
    text = f"import os\nimport config\n{setting}\nb = Blueprint('b', __name__)\n@b.get('/x')\ndef h(): ...\n"
    config = "API = '/a'\nclass Base:\n  API = '/a'\nclass Development(Base):\n  DEBUG = True\n"
    write(tmp_path, config=config, app=APP + text + f"app.register_blueprint(b, url_prefix={prefix})")
    assert routes(tmp_path) == ["GET /a/x"]


def test_a_factory_with_blueprints_in_packages_is_followed(tmp_path: Path) -> None:
    write(
        tmp_path,
        shop__init__="""
            from flask import Flask
            from importlib import import_module
            def create_app(config=None):
                app = Flask(__name__)
                with app.app_context():
                    from .auth import bp as auth_bp
                    app.register_blueprint(auth_bp, url_prefix="/auth")
                    for name in ("books", "orders"):
                        module = import_module("shop.{}.routes".format(name))
                        app.register_blueprint(module.bp)
                return app
        """,
        shop__auth__init__='from flask import Blueprint\nbp = Blueprint("auth", __name__)\nfrom . import routes\n',
        shop__auth__routes='from . import bp\n@bp.route("/login", methods=["GET", "POST"])\ndef login(): ...\n',
        shop__books__init__="",
        shop__books__routes="""
            from flask import Blueprint
            bp = Blueprint("books", __name__, url_prefix="/books")
            @bp.get("/<int:book_id>")
            def read(book_id): ...
        """,
        shop__orders__init__='from flask import Blueprint\nbp = Blueprint("orders", __name__)\n',
        shop__orders__routes='from shop.orders import bp\n@bp.post("/orders")\ndef order(): ...\n',
    )
    assert routes(tmp_path) == ["GET /auth/login", "POST /auth/login", "GET /books/{book_id}", "POST /orders"]


def test_blueprints_of_all_modules_of_a_package_are_found_by_walking_it(tmp_path: Path) -> None:
    module = 'from flask import Blueprint\nbp = Blueprint("{0}", __name__)\n@bp.get("/{0}")\ndef h(): ...\n'
    walk = """
        import pkgutil
        from importlib import import_module
        def register(app):
            for info in pkgutil.iter_modules(__path__):
                app.register_blueprint(import_module(f"{__name__}.{info.name}").bp)
    """
    write(tmp_path, views__init__=walk, views__a=module.format("a"), views__b=module.format("b"))
    write(tmp_path, app=APP + "import views\nviews.register(app)\n")
    assert routes(tmp_path) == ["GET /a", "GET /b"]


def test_the_package_that_a_module_imports_from_may_still_be_loading(tmp_path: Path) -> None:
    write(tmp_path, site__init__=APP + "from site_ import x\nfrom . import views\n")
    write(tmp_path, site__views='from . import app\n@app.get("/a")\ndef h(): ...\n')
    assert routes(tmp_path) == ["GET /a"]


def test_where_a_rule_stands_and_what_its_parameters_are_is_known(tmp_path: Path) -> None:
    write(tmp_path, app=APP + "@app.get('/a/<int:id>/<float:x>/<name>')\n@decorated\ndef h(id, x, name): ...\n")
    (found,) = extract_endpoints(tmp_path)
    assert (found.file, found.line) == ("app.py", 7)
    assert found.path_parameters == {"id": "integer", "x": "number", "name": "string"}


def test_a_view_of_a_class_is_described_by_its_method(tmp_path: Path) -> None:
    text = (
        "class Items(MethodView):\n  def get(self):\n    '''All of them.\n\n    In order.'''\n  def post(self): ...\n"
    )
    write(tmp_path, app=APP + text + "app.add_url_rule('/i', view_func=Items.as_view('i'))")
    found = named(tmp_path)
    assert (found["GET /i"].summary, found["GET /i"].description) == ("All of them.", "All of them.\n\nIn order.")
    assert (found["POST /i"].summary, found["POST /i"].line) == ("Post Items", 10)
