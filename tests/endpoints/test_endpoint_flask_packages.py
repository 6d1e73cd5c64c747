from __future__ import annotations

from pathlib import Path

import pytest
from python_project_kit import named, routes, write

RESTFUL = """
from flask import Blueprint, Flask
from flask_restful import Api, Resource
app = Flask(__name__)
class Item(Resource):
    def get(self, id=None): ...
    def put(self, id): ...
"""
RESTX = """
from flask import Blueprint, Flask
from flask_restx import Api, Namespace, Resource, fields, reqparse
app = Flask(__name__)
class Items(Resource):
    def get(self): ...
"""
SMOREST = """
from flask import Flask
from flask.views import MethodView
from flask_smorest import Api, Blueprint
from marshmallow import Schema, fields
app = Flask(__name__)
class Pet(Schema):
    id = fields.Integer()
    name = fields.String()
blp = Blueprint("pets", __name__, url_prefix="/pets")
"""
CLASSFUL = """
from flask import Flask
from flask_classful import FlaskView, route
app = Flask(__name__)
class QuotesView(FlaskView):
    def index(self): ...
    def get(self, id): ...
    def post(self): ...
    def random(self): ...
    def _hidden(self): ...
    @route("/word/<x>", methods=["PUT"])
    def word(self, x): ...
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            ("api = Api(app)\napi.add_resource(Item, '/a', '/a/<id>')"),
            ["GET /a", "PUT /a", "GET /a/{id}", "PUT /a/{id}"],
        ),
        ("api = Api(app, prefix='/v1')\napi.add_resource(Item, '/a')", ["GET /v1/a", "PUT /v1/a"]),
        ("api = Api()\napi.add_resource(Item, '/a')\napi.init_app(app)", ["GET /a", "PUT /a"]),
        (
            (
                "b = Blueprint('b', __name__, url_prefix='/b')\napi = Api(b, prefix='/v1')\n"
                "api.add_resource(Item, '/a')\n"
                "app.register_blueprint(b)"
            ),
            ["GET /b/v1/a", "PUT /b/v1/a"],
        ),
        ("api = Api(app)\n@api.resource('/a')\nclass X(Resource):\n  def delete(self): ...", ["DELETE /a"]),
        ("class Mine(Api): ...\napi = Mine(app)\napi.add_resource(Item, '/a')", ["GET /a", "PUT /a"]),
        ("api = Api(app)\nfor c, u in [(Item, '/a')]:\n  api.add_resource(c, u)", ["GET /a", "PUT /a"]),
    ],
)
def test_restful_resources_are_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert routes(write(tmp_path, app=RESTFUL + text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api = Api(app, doc='/docs')\n@api.route('/a')\nclass X(Items): ...", ["GET /a"]),
        ("api = Api(app)\nns = api.namespace('todos')\nns.route('/')(Items)", ["GET /todos/"]),
        (
            ("api = Api(app)\nns = Namespace('n', path='/x')\nns.add_resource(Items, '/a')\napi.add_namespace(ns)"),
            ["GET /x/a"],
        ),
        (
            ("api = Api(app)\nns = Namespace('n')\nns.add_resource(Items, '/a')\napi.add_namespace(ns, path='/y')"),
            ["GET /y/a"],
        ),
        (
            (
                "b = Blueprint('b', __name__, url_prefix='/api')\napi = Api(b, version='1')\nns = Namespace('n')\n"
                "@ns.route('', '/<int:id>')\nclass X(Items): ...\n"
                "api.add_namespace(ns, '/n')\napp.register_blueprint(b)"
            ),
            ["GET /api/n", "GET /api/n/{id}"],
        ),
    ],
)
def test_restx_namespaces_are_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert routes(write(tmp_path, app=RESTX + text)) == expected


def test_restx_models_and_parsers_are_read(tmp_path: Path) -> None:
    text = """
api = Api(app)
base = api.model("Base", {"id": fields.Integer})
model = api.inherit("Item", base, {"price": fields.Float, "tags": fields.List(fields.String)})
parser = api.parser()
parser.add_argument("page", type=int, location="args")
@api.route("/a")
class X(Resource):
    @api.expect(parser)
    @api.marshal_list_with(model)
    def get(self):
        '''All items'''
    @api.expect(model)
    @api.marshal_with(model, code=201)
    def post(self): ...
"""
    shape = {"id": "integer", "price": "number", "tags": ["string"]}
    found = named(write(tmp_path, app=RESTX + text))
    assert (found["GET /a"].query, found["GET /a"].response_schema) == ({"page": "integer"}, [shape])
    assert found["GET /a"].summary == "All items"
    assert (found["POST /a"].request_body, found["POST /a"].response_schema) == (shape, shape)


def test_smorest_blueprints_are_found_with_their_schemas(tmp_path: Path) -> None:
    text = """
api = Api(app)
@blp.route("/")
class Pets(MethodView):
    @blp.response(200, Pet(many=True))
    def get(self): ...
    @blp.arguments(Pet)
    @blp.response(201, Pet)
    def post(self, new): ...
@blp.route("/<int:id>", methods=["DELETE"])
@blp.response(204)
def gone(id): ...
api.register_blueprint(blp, url_prefix="/v1/pets")
"""
    found = named(write(tmp_path, app=SMOREST + text))
    shape = {"id": "integer", "name": "string"}
    assert list(found) == ["GET /v1/pets/", "POST /v1/pets/", "DELETE /v1/pets/{id}"]
    assert found["GET /v1/pets/"].response_schema == [shape]
    assert (found["POST /v1/pets/"].request_body, found["POST /v1/pets/"].tags) == (shape, ("pets",))


def test_a_smorest_api_may_get_its_application_last(tmp_path: Path) -> None:
    text = "api = Api()\n@blp.get('/x')\ndef h(): ...\napi.register_blueprint(blp)\napi.init_app(app)"
    assert routes(write(tmp_path, app=SMOREST + text)) == ["GET /pets/x"]


def test_apiflask_is_flask_with_schemas(tmp_path: Path) -> None:
    text = """
from apiflask import APIBlueprint, APIFlask, Schema
from apiflask.fields import Integer, String
app = APIFlask(__name__)
bp = APIBlueprint("b", __name__, url_prefix="/b")
class In(Schema):
    name = String()
class Out(In):
    id = Integer()
@bp.post("/a")
@bp.input(In, location="json")
@bp.output(Out, status_code=201)
def h(json_data): ...
app.register_blueprint(bp)
"""
    found = named(write(tmp_path, app=text))["POST /b/a"]
    assert found.request_body == {"name": "string"}
    assert found.response_schema == {"name": "string", "id": "integer"}


@pytest.mark.parametrize(
    ("how", "base"), [("", "/quotes"), (", route_base='/q'", "/q"), (", route_prefix='/p'", "/p/quotes")]
)
def test_classful_views_are_found(tmp_path: Path, how: str, base: str) -> None:
    expected = [f"GET {base}/", f"GET {base}/{{id}}/", f"POST {base}/", f"GET {base}/random/", f"PUT {base}/word/{{x}}"]
    assert routes(write(tmp_path, app=CLASSFUL + f"QuotesView.register(app{how})")) == expected
