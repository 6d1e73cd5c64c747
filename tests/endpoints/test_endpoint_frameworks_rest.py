# ruff: noqa: E501  sources stand as they would be written
"""What is written seldom, and still read, in projects of each framework."""

from __future__ import annotations

from pathlib import Path

import pytest
from express_project_kit import in_app, of, one
from python_project_kit import named, only, routes, write

EXPRESS_REGISTERED = {
    "a loader of another package": ("const m = require('@x/y'); m(() => app.get('/a', h))", ["GET /a"]),
    "a group": ("app.group('/x', r => { r.get('/a', h) })", ["GET /x/a"]),
    "a setting as a path": ("app.set('base', '/x'); app.get(app.get('base') + '/a', h)", ["GET /x/a"]),
    "locals as a path": ("app.locals.base = '/x'; app.get(app.locals.base + '/a', h)", ["GET /x/a"]),
    "when it is ready": ("app.on('ready', () => app.get('/a', h))", ["GET /a"]),
    "once it listens": ("app.listen(1, () => app.get('/a', h))", ["GET /a"]),
    "a function put on it": ("app.add = p => app.get(p, h); app.add('/a')", ["GET /a"]),
    "regular expressions and texts": ("app.get(['/a', '/b'], h)", ["GET /a", "GET /b"]),
    "the old name of delete": ("app.del('/a', h)", ["DELETE /a"]),
    "a bound listener": ("const r = express.Router(); r.get('/a', h); app.use(r.bind(r))", ["GET /a"]),
    "a module's default": ("const r = express.Router(); r.get('/a', h); app.use({ default: r })", ["GET /a"]),
    "lists of routers": ("const r = express.Router(); r.get('/a', h); app.use('/x', [[r], h])", ["GET /x/a"]),
    "a table": (("const m = require('express-routes-mapper');\n"
                "app.use('/x', m({ 'GET /a/:id': 'A.one', 'broken': 'A.no' }, 'controllers/'))"), ["GET /x/a/{id}"]),
    "checked variables": (("const { cleanEnv, str } = require('envalid');\n"
                          "const env = cleanEnv(process.env, { PREFIX: str({ default: '/x' }), OTHER: str() });\n"
                          "app.get(env.PREFIX + '/a', h)"), ["GET /x/a"]),
    "a wrapped application": ("const http = require('http'); http.createServer(app).listen(1); app.get('/a', h)", ["GET /a"]),
    "a router called": ("app(1, 2); app.get('/a', h)", ["GET /a"]),
    "what another framework has": ("const R = require('koa-router'); const r = new R.Router(); r.get('/a', h); app.use(r)", []),
}  # fmt: skip


@pytest.mark.parametrize("case", EXPRESS_REGISTERED)
def test_express_registers_by(tmp_path: Path, case: str) -> None:
    source, expected = EXPRESS_REGISTERED[case]
    assert in_app(tmp_path, source) == expected


HEAD = "const express = require('express'); const app = express();\n"
EXPRESS_FILES: dict[str, dict[str, str]] = {
    "a .env file named": {
        "app.js": HEAD + "require('dotenv').config({ path: './settings.env' });\napp.get(process.env.BASE + '/a', h)",
        "settings.env": "BASE=/x\nEMPTY=\n"},
    "a configuration file": {
        "app.js": HEAD + "const config = require('config');\napp.get(config.get('api.base') + '/a', h)",
        "config/default.json": '{"api": {"base": "/x"}}'},
    "express-load": {
        "app.js": HEAD + "require('express-load')('routes').into(app);",
        "routes/a.js": "module.exports = app => app.get('/x/a', h)"},
    "consign of modules with a default": {
        "app.js": HEAD + "require('consign')({ cwd: 'src' }).include('routes').then('gone').into(app);",
        "src/routes/a.js": "exports.default = app => app.get('/x/a', h)",
        "src/routes/b.js": "exports.other = 1"},
}  # fmt: skip


@pytest.mark.parametrize("case", EXPRESS_FILES)
def test_express_takes_from(tmp_path: Path, case: str) -> None:
    assert of(tmp_path, EXPRESS_FILES[case]) == ["GET /x/a"]


ROOT = '{"scripts": {"start": "tsx src/main.ts"}, "dependencies": {"express": "4", "%s": "1"}}'
NEST = "import { NestFactory } from '@nestjs/core'; import { Controller, Get, All, Module } from '@nestjs/common';\n"
CONTROLLERS: dict[str, tuple[str, str, list[str]]] = {
    "a version and a path": ("@nestjs/core", NEST + """
        @Controller({ path: 'cats', version: '1' }) class Cats { @Get(['a', 'b']) list() {} @Other() no() {} @All('c') any() {} }
        @Module({ controllers: [Cats] }) class App {}
        async function start() { const app = await NestFactory.create(App); app.get(Service).go(); app.setGlobalPrefix(read()); app.enableVersioning(); await app.listen(1) }
        start()""", ["* /api/v1/cats/c", "GET /api/v1/cats/a", "GET /api/v1/cats/b"]),
    "a dynamic module": ("@nestjs/core", NEST + """
        @Controller('x') class X { @Get('a') list() {} }
        @Module({}) class Inner { static forRoot() { return { module: Inner, controllers: [X] } } }
        @Module({ imports: [Inner.forRoot(), [Inner]] }) class App {}
        NestFactory.create(App).then(app => app.listen(1))""", ["GET /x/a"]),
    "a method that is written again": ("@nestjs/core", NEST + """
        class Base { @Get('old') list() {} @Get('field') value = 1 }
        @Controller(unknown) class X extends Base { @Get('new') list() {} }
        @Mark() class Plain { @Get('never') list() {} }
        @Module({ controllers: [X, Plain] }) class App {}
        NestFactory.create(App).then(app => app.listen(1))""", ["GET /new"]),
    "an empty list of controllers": ("@nestjs/core", NEST + """
        @Module({ controllers: [] }) class App {}
        NestFactory.create(App).then(app => app.listen(1))""", []),
    "braces in paths": ("tsoa", """
        import express from 'express'; import { RegisterRoutes } from '../build/routes'; import { Get, Route } from 'tsoa';
        @Route('x') export class X { @Get('{id}') one() {} }
        const app = express(); RegisterRoutes(app); app.listen(1)""", ["GET /x/{id}"]),
    "inversify given an application": ("inversify-express-utils", """
        import express from 'express'; import { InversifyExpressServer, controller, httpGet } from 'inversify-express-utils';
        @controller('/x') class X { @httpGet('/a') list() {} }
        const server = new InversifyExpressServer(null, null, null, express()); server.setErrorConfig(1); server.build().listen(1)""", ["GET /x/a"]),
    "a container of values": ("inversify", """
        import express from 'express'; import { Container } from 'inversify';
        const app = express(); const box = new Container();
        box.bind('base').toConstantValue('/x'); box.bind('router').toDynamicValue(() => { const r = express.Router(); r.get('/a', h); return r });
        app.use(box.get('base'), box.get('router')); box.unbind('base').load(1); box.bind('x').inSingletonScope(); app.listen(1)""", ["GET /x/a"]),
    "a container of factories": ("tsyringe", """
        import express from 'express'; import { container } from 'tsyringe';
        const app = express(); class Users { router = express.Router(); constructor() { this.router.get('/a', h) } }
        container.register('base', { useValue: '/x' }); container.registerSingleton(Users);
        app.use(container.resolve('base'), container.resolve(Users).router); use(container.resolve('none')); app.listen(1)""", ["GET /x/a"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTROLLERS)
def test_controllers_with(tmp_path: Path, case: str) -> None:
    package, source, expected = CONTROLLERS[case]
    assert sorted(of(tmp_path, {"package.json": ROOT % package, "src/main.ts": source})) == expected


REQUESTS: dict[str, tuple[str, dict[str, str], object]] = {
    "quoted and defaulted names": ("app.post('/a', (req, res) => { const { 'a': x = true, b: y = [], c = 1, ...rest } = req.query })",
                                   {"a": "boolean", "b": "array", "c": "integer"}, None),
    "an assignment": ("app.post('/a', (req, res) => { ({ a } = req.body); let b; b = req.query })", {}, {"a": "string"}),
    "an error handler's request": ("app.post('/a', (err, req, res, next) => { use(req.query.a) })", {"a": "string"}, None),
    "a list in the body": ("app.post('/a', (req, res) => { const { ids = [] } = req.body; req.body.map(h) })", {}, {"ids": ["string"]}),
    "one parameter without brackets": ("app.post('/a', req => use(Number.parseInt(req.query.a), -req.query.b, f(req.query.c)))",
                                       {"a": "integer", "b": "string", "c": "string"}, None),
    "no parameter": ("app.post('/a', () => use(req.query.a))", {"a": "string"}, None),
    "a casting of a default": ("app.post('/a', (req, res) => { use(parseInt((req.query.a || 1), 10), Boolean(req.query.b)) })",
                               {"a": "integer", "b": "boolean"}, None),
    "types of express-validator": (("const { body, query } = require('express-validator');\n"
                                   "app.post('/a', [body('n').isInt(), body('t').isArray(), query('f').isFloat()], h)"),
                                   {"f": "number"}, {"n": "integer", "t": ["string"]}),
    "joi below a key": (("const Joi = require('joi');\nconst s = { add: Joi.object({ n: Joi.number(), l: Joi.array(), o: Joi.object() }), no: 1 };\n"
                        "app.post('/a', validate(s), h)"), {}, {"n": "number", "l": ["string"], "o": "object"}),
    "zod that is extended": (("const { z } = require('zod');\nconst s = z.object({ n: z.number(), raw: { k: 1 } }).extend({ m: z.array(z.object({ b: z.boolean() })) }).strict();\n"
                             "app.post('/a', validate(s), h)"), {}, {"n": "number", "raw": {"k": "string"}, "m": [{"b": "boolean"}]}),
    "a query that is deep": (("const { z } = require('zod');\nconst s = z.object({ query: z.object({ l: z.array(z.string()), n: z.number() }), params: z.object({}) });\n"
                             "app.post('/a', validate(s), h)"), {"l": "string", "n": "number"}, None),
    "a validator without a name": ("const { body, param } = require('express-validator');\napp.post('/a', [body(), param('x')], h)", {}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_of_express_is_known_by(tmp_path: Path, case: str) -> None:
    source, query, body = REQUESTS[case]
    endpoint = one(tmp_path, source)
    assert (dict(endpoint.query), endpoint.request_body) == (query, body)


@pytest.mark.parametrize(
    ("source", "summary", "description"),
    [
        ("app.get('/a', [auth, users.list])", "list", ""),
        ("app.get('/a', pipe(1)(users.list))", "list", ""),
        ("app.get('/a', makeList())", "makeList", ""),
        (
            "/**\n * @swagger\n * /a:\n *   get:\n *     description: All users\n */\napp.get('/a', list)",
            "All users",
            "",
        ),
        ("/**\n * @openapi\n * /a:\n */\napp.get('/a', list)", "list", ""),
    ],
)
def test_a_route_of_express_is_summed_up(tmp_path: Path, source: str, summary: str, description: str) -> None:
    endpoint = one(tmp_path, source)
    assert (endpoint.summary, endpoint.description) == (summary, description)


FLASK = """
from flask import Flask, Blueprint, request
from flask.views import MethodView, View
from flask_restful import Api, Resource, reqparse
from marshmallow import Schema, fields
from webargs.flaskparser import use_args
app = Flask(__name__)
"""
FLASK_ROUTES = [
    ("@app.route('/a', methods='put')\ndef h(): ...", ["PUT /a"]),
    ("@app.get(unknown)\ndef h(): ...", []),
    ("@app.route('/a', websocket=True)\ndef h(): ...", []),
    ("class V(MethodView):\n  def get(self): ...\napp.add_url_rule('/a', view_func=exempt(login(V.as_view('v'))))", ["GET /a"]),
    ("class V(MethodView):\n  def post(self): ...\napp.route('/a')(exempt(V.as_view('v')))", ["POST /a"]),
    ("def h(): ...\napp.add_url_rule('/a', view_func=exempt(1)(exempt(h)))", ["GET /a"]),
    ("def h(): ...\napp.add_url_rule('/a', view_func=limit(h, other))", ["GET /a"]),
    ("app.add_url_rule('/a', view_func=limit())", ["GET /a"]),
    ("app.add_url_rule('/a', view_func=gone.as_view('x'))", ["GET /a"]),
    ("class V(MethodView):\n  def put(self): ...\nv = V.as_view('v')\nv2 = v.view_class\napp.add_url_rule('/a', view_func=v2.as_view('x'))", ["PUT /a"]),
    ("b = Blueprint('b', __name__, url_prefix='/p')\nb.url_prefix = '/q'\n@b.get('/a')\ndef h(): ...\napp.register_blueprint(b)", ["GET /q/a"]),
    ("b = Blueprint('b', __name__)\n@b.get('/a')\ndef h(): ...\napp.register_blueprint(b, url_prefix='/' + b.name)", ["GET /b/a"]),
    ("b = Blueprint('b', __name__, url_prefix='/p')\n@app.get(b.url_prefix + '/a')\ndef h(): ...", ["GET /p/a"]),
    ("app.base = '/x'\n@app.get(app.base + '/a')\ndef h(): ...", ["GET /x/a"]),
    ("if app.debug:\n  app.get('/no')(h)\nelse:\n  app.add_url_rule('/a', 'a', lambda: 1)", ["GET /a"]),
    ("with app.app_context():\n  app.add_url_rule('/a', 'a', lambda: 1)", ["GET /a"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), FLASK_ROUTES)
def test_flask_registers(tmp_path: Path, source: str, expected: list[str]) -> None:
    assert routes(write(tmp_path, app=FLASK + source)) == expected


@pytest.mark.parametrize(
    "fill",
    [
        "app.config.from_object('config.Live')",
        "app.config.from_object('config:Live')",
        "from config import Live\napp.config.from_object(Live())",
        "app.config.from_pyfile('config.py')",
        "app.config.update({'BASE': '/x'}, OTHER=1)",
        "app.config.from_envvar('SETTINGS')\napp.config['BASE'] = '/x'",
        "app.config.from_pyfile('gone.cfg')\napp.config.from_pyfile('gone.py')\napp.config['BASE'] = app.config.get('NONE', '/x')",
    ],
)
def test_flask_knows_its_configuration(tmp_path: Path, fill: str) -> None:
    config = "BASE = '/x'\nclass Base:\n  BASE = '/x'\nclass Live(Base):\n  def __init__(self):\n    self.MORE = 1\n"
    text = f"{FLASK}{fill}\n@app.get(app.config['BASE'] + '/a')\ndef h(): ...\n"
    assert routes(write(tmp_path, app=text, config=config)) == ["GET /x/a"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("{'n': fields.Int(), 'o': {'k': fields.Float}, 'x': 1}", {"n": "integer", "o": {"k": "number"}, "x": "string"}),
        ("{'l': fields.List(fields.Nested('Self')), 'd': fields.DelimitedList(fields.Int())}", {"l": ["object"], "d": ["integer"]}),
        ("{'m': fields.Nested({'a': fields.Bool()}, many=True), 'l': fields.List(unknown)}", {"m": [{"a": "boolean"}], "l": ["string"]}),
        ("Own(many=True)", [{"a": "integer"}]),
        ("Plain()", None),
    ],
)  # fmt: skip
def test_schemas_of_flask_become_bodies(tmp_path: Path, schema: str, expected: object) -> None:
    classes = "class Own(Schema):\n  a = fields.Int()\n  b = fields.Method('x')\nclass Plain: ...\n"
    write(tmp_path, app=f"{FLASK}{classes}@app.post('/a')\n@use_args({schema})\ndef h(args): ...\n")
    assert only(tmp_path).request_body == expected


PARSED = """
base = reqparse.RequestParser()
base.add_argument('gone', type=int)
base.add_argument('n', type=inputs.positive)
parser = base.copy()
parser.remove_argument('gone')
parser.add_argument('f', type=werkzeug.FileStorage, location='files')
parser.add_argument('--l', action='append', location=['args', 'json'])
parser.add_argument('d', type=range_of(1))
class Users(Resource):
    own = parser
    def post(self):
        return self.own.parse_args()
api = Api(app)
api.add_resource(Users, '/a')
"""


def test_parsers_of_flask_can_be_copied_and_changed(tmp_path: Path) -> None:
    endpoint = only(write(tmp_path, app=FLASK + PARSED))
    assert endpoint.query == {"l": "array"}
    assert endpoint.request_body == {"n": "integer", "f": "file", "d": "string"}


RESTX = """
from flask import Flask
from flask_restx import Api, Namespace, Resource, fields
app = Flask(__name__)
api = Api(prefix='/no')
small = api.model('Small', {'id': fields.Integer})
large = api.inherit('Large', small, {'ok': fields.Boolean})
other = large.clone('Other', {'tags': fields.List(fields.String)})
ns = api.namespace('one', path='/one')
@ns.route('/a')
class A(Resource):
    @ns.expect(other)
    def post(self): ...
two = Namespace('two')
@two.route('/a')
class B(Resource):
    def get(self): ...
api.add_namespace(two, path='/second')
api.add_namespace(unknown)
api.init_app(app, prefix='/x')
"""


def test_restx_has_models_namespaces_and_a_late_application(tmp_path: Path) -> None:
    found = named(write(tmp_path, app=RESTX))
    assert sorted(found) == ["GET /x/second/a", "POST /x/one/a"]
    assert found["POST /x/one/a"].request_body == {"id": "integer", "ok": "boolean", "tags": ["string"]}
