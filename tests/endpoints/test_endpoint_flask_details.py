from __future__ import annotations

from pathlib import Path

import pytest
from python_project_kit import only, write

HEAD = """
from flask import Flask, request
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, StringField, SubmitField
from flask_restful import reqparse
from marshmallow import Schema, fields
from webargs.flaskparser import use_args, use_kwargs
app = Flask(__name__)
class Login(FlaskForm):
    name = StringField("Name")
    age = IntegerField("Age")
    stay = BooleanField("Stay")
    submit = SubmitField("Go")
class Owner(Schema):
    id = fields.Int(dump_only=True)
class Pet(Schema):
    name = fields.Str(required=True)
    weight = fields.Float()
    owner = fields.Nested(Owner)
    tags = fields.List(fields.String())
parser = reqparse.RequestParser()
parser.add_argument("price", type=float, required=True)
parser.add_argument("page", type=int, location="args")
parser.add_argument("X-Token", location="headers")
"""


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ("return request.args.get('page', 1, type=int)", {"page": "integer"}),
        ("return request.args['q']", {"q": "string"}),
        ("return request.args.getlist('ids')", {"ids": "array"}),
        ("args = request.args\n    return args.get('size', type=float)", {"size": "number"}),
        ("a = request.args.to_dict()\n    return a['flag']", {"flag": "string"}),
        ("return parser.parse_args()", {"page": "integer"}),
        ("return other.args.get('x')", {}),
        ("return request.headers.get('x')", {}),
    ],
)
def test_the_query_is_what_the_view_reads(tmp_path: Path, body: str, query: dict[str, str]) -> None:
    write(tmp_path, app=HEAD + f"@app.get('/a')\ndef h():\n    {body}\n")
    assert only(tmp_path).query == query


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return request.json['name']", {"name": "string"}),
        ("data = request.get_json() or {}\n    return data.get('a'), data['b']", {"a": "string", "b": "string"}),
        ("return request.form.get('n', type=int), request.files['f']", {"n": "integer", "f": "file"}),
        ("form = Login()\n    return form", {"name": "string", "age": "integer", "stay": "boolean"}),
        ("return parser.parse_args()", {"price": "number"}),
        ("return 1", None),
    ],
)
def test_the_body_is_what_the_view_reads(tmp_path: Path, body: str, expected: object) -> None:
    write(tmp_path, app=HEAD + f"@app.post('/a')\ndef h():\n    {body}\n")
    assert only(tmp_path).request_body == expected


PET = {"name": "string", "weight": "number", "owner": {"id": "integer"}, "tags": ["string"]}


@pytest.mark.parametrize(
    ("decorator", "expected"),
    [
        ("use_args(Pet())", PET),
        ("use_args(Pet(many=True))", [PET]),
        ("use_kwargs({'a': fields.Int(), 'b': fields.Str()})", {"a": "integer", "b": "string"}),
    ],
)
def test_schemas_are_shown_as_bodies(tmp_path: Path, decorator: str, expected: object) -> None:
    write(tmp_path, app=HEAD + f"@app.post('/a')\n@{decorator}\ndef h(args): ...\n")
    assert only(tmp_path).request_body == expected


def test_a_schema_for_the_query_is_the_query(tmp_path: Path) -> None:
    write(tmp_path, app=HEAD + "@app.get('/a')\n@use_args({'n': fields.Int()}, location='query')\ndef h(args): ...\n")
    assert only(tmp_path).query == {"n": "integer"}
