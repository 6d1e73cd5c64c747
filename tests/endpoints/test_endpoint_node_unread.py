# ruff: noqa: E501  JavaScript stands as it would be written
"""Routes that are not read are named, and make an extraction incomplete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from express_project_kit import project

from preview.detection import detect
from preview.detection.overrides.given import Overrides
from preview.endpoints import Extraction, extract

FASTIFY = "const app = require('fastify')();\napp.get('/a', h);\n"
KOA = "const Koa = require('koa'); const Router = require('@koa/router'); const app = new Koa(); const r = new Router();\n"
HONO = "const { Hono } = require('hono'); const app = new Hono();\napp.get('/a', h);\n"
ELYSIA = "const { Elysia } = require('elysia'); const app = new Elysia();\napp.get('/a', h);\n"
EXPRESS = "const express = require('express'); const app = express();\napp.get('/a', h);\n"
HAPI = "const server = require('@hapi/hapi').server();\nserver.route({ method: 'GET', path: '/a', handler: h });\n"
NEST = """import { NestFactory } from '@nestjs/core'; import { Controller, Get, Module } from '@nestjs/common';
@Controller() class A { @Get('a') a() {} }
@Module({ imports: [GraphQLModule.forRoot({})], controllers: [A] }) class App {}
"""
UNREAD = {
    "a path of Fastify": (FASTIFY + "app.get(process.env.PLACE, h)", "app.js:3: the path of a route"),
    "a route of Fastify": (FASTIFY + "app.route({ method: 'GET', url: find(), handler: h })", "app.js:3: the path of a route"),
    "a plugin of Fastify": (FASTIFY + "app.register(plugins[process.env.NAME])", "app.js:3: a plugin"),
    "a prefix of Fastify": (FASTIFY + "app.register(async (i) => { i.get('/b', h) }, { prefix: process.env.BASE })", "app.js:3: the prefix"),
    "a package's routes in Fastify": (FASTIFY + "app.register(require('@fastify/swagger-ui'), {})", "app.js:3: the routes that @fastify/swagger-ui adds"),
    "a loader's folder": (FASTIFY + "app.register(require('@fastify/autoload'), { dir: process.env.DIR })", "app.js:3: the folder"),
    "a path of Koa": (KOA + "r.get('/a', h); r.get(config.path, h); app.use(r.routes())", "app.js:2: the path of a route"),
    "a middleware of Koa": (KOA + "r.get('/a', h); app.use(r.routes());\napp.use(async (ctx) => { if (ctx.path === '/b') ctx.body = 1 })", "app.js:3: a middleware"),
    "a path of Hono": (HONO + "app.get(`/${name}`, m, h)", "app.js:3: the path of a route"),
    "an application in Hono": (HONO + "app.route('/x', make())", "app.js:3: the application at a path"),
    "an application of another framework in Hono": (HONO + "app.mount('/x', handler)", "app.js:3: the application at a path"),
    "a path of Elysia": (ELYSIA + "app.get(where(), h)", "app.js:3: the path of a route"),
    "a plugin of Elysia": (ELYSIA + "app.use(plugins.first)", "app.js:3: a plugin"),
    "a path of Express": (EXPRESS + "app.get(where(), h)", "app.js:3: the path of a route"),
    "a part of a path of Express": (EXPRESS + "app.get(`${process.env.BASE}/b`, h)", "app.js:3: the path of a route"),
    "a router of Express": (EXPRESS + "app.use('/x', require(process.env.ROUTES))", "app.js:3: routes that are added here"),
    "a prefix of Express": (EXPRESS + "const r = express.Router();\nr.get('/b', h);\napp.use(readPrefix(), r)", "app.js:5: the prefix of a router"),
    "routers of a loop": (EXPRESS + "for (const one of load())\n  app.use(one.prefix, one.router)", "app.js:4: routes that are added here"),
    "routers of forEach": (EXPRESS + "load().forEach((file) => app.use('/x', require(file)))", "app.js:3: routes that are added here"),
    "a folder that is not known": (EXPRESS + "require('fs').readdirSync(process.env.DIR).forEach((one) => require('./r/' + one)(app))", "app.js:3: routes that are added here"),
    "a folder router of Express": (EXPRESS + "const { router } = require('express-file-routing');\nrouter().then((r) => app.use('/', r))", "app.js:4: the routes that express-file-routing adds"),
    "a wrapper of Express": (EXPRESS + "require('express-file-routing').default(app)", "app.js:3: the routes that express-file-routing adds"),
    "a loader that gets a folder": (EXPRESS + "require('magic')(app, { dir: __dirname + '/routes' })", "app.js:3: the routes that magic adds"),
    "a description in Express": (EXPRESS + "require('express-openapi').initialize({ app, paths: './p' })", "app.js:3: the routes that express-openapi adds"),
    "a folder router of Koa": (KOA + "r.get('/a', h); app.use(r.routes());\napp.use(require('koa-file-router')())", "app.js:3: the routes that koa-file-router adds"),
    "a folder router of Hono": (HONO + "require('hono-file-routing').createRoutes(app)", "app.js:3: the routes that hono-file-routing adds"),
    "a folder router of Fastify": (FASTIFY + "app.register(require('fastify-file-routes'), {})", "app.js:3: the routes that fastify-file-routes adds"),
    "a folder router of Elysia": (ELYSIA + "app.use(require('elysia-autoload').autoload())", "app.js:3: the routes that elysia-autoload adds"),
    "a path of hapi": (HAPI + "server.route({ method: 'GET', path: where(), handler: h })", "app.js:3: the path of a route"),
    "a plugin of hapi": (HAPI + "server.register(plugins[process.env.NAME])", "app.js:3: a plugin"),
}  # fmt: skip


def read(folder: Path, text: str, *packages: str, **files: str) -> Extraction:
    package = {"main": "app.js", "dependencies": dict.fromkeys(packages, "*")}
    return extract(project(folder, {"package.json": json.dumps(package), "app.js": text, **files}))


@pytest.mark.parametrize("case", UNREAD)
def test_it_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    text, expected = UNREAD[case]
    found = read(tmp_path, text, "fastify", "koa", "hono", "elysia", "express", "@hapi/hapi", **{"routes/b.js": ""})
    assert not found.complete
    assert [sentence for sentence in found.unread if sentence.startswith(expected)], found.unread
    assert "/a" in [item.path for item in found.endpoints]


def test_packages_that_add_no_routes_leave_a_list_complete(tmp_path: Path) -> None:
    used = ["cors", "helmet", "express-list-endpoints", "express-ws", "express-openapi-validator"]
    text = EXPRESS + "".join(f"require('{name}')(app);" for name in used) + "app.use(express.static('./api'))"
    found = read(tmp_path, text, "express", **{"api/b.js": ""})
    assert (found.complete, found.unread) == (True, ())


def test_paths_of_controllers_that_are_not_known_are_named(tmp_path: Path) -> None:
    text = (
        "import { createExpressServer, Controller, Get, Method } from 'routing-controllers';\n"
        "@Controller(process.env.WHERE) class A { @Get('/a') a() {}\n@Method('put', '/b') b() {}\n@Get(/c/) c() {} }\n"
        "createExpressServer({ controllers: [A] }).listen(1)"
    )
    package = '{"main": "app.ts", "dependencies": {"routing-controllers": "0"}}'
    found = extract(project(tmp_path, {"package.json": package, "app.ts": text}))
    assert [(item.method, item.path) for item in found.endpoints] == [("GET", "/a"), ("PUT", "/b")]
    assert found.unread == (
        "the path of the controller A is only known at run time",
        "app.ts:4: the path of a route is only known at run time",
    )


def test_a_module_of_nest_that_adds_routes_is_named(tmp_path: Path) -> None:
    text = f"import {{ GraphQLModule }} from '@nestjs/graphql';\n{NEST}NestFactory.create(App).then((app) => app.listen(1))"
    package = '{"scripts": {"start": "nest start"}, "dependencies": {"@nestjs/core": "11"}}'
    found = extract(project(tmp_path, {"package.json": package, "src/main.ts": text}))
    assert found.unread == ("the routes that GraphQLModule adds are not read",)
    assert not found.complete
    assert [item.path for item in found.endpoints] == ["/a"]


def test_koa_without_a_router_is_incomplete(tmp_path: Path) -> None:
    text = "const Koa = require('koa');\nconst app = new Koa();\napp.use((ctx) => { ctx.body = 1 });\napp.listen(1)"
    found = read(tmp_path, text, "koa")
    assert (found.complete, found.unread) == (False, ("a Koa application without a router is not read",))


def test_a_server_of_nodes_own_module_is_incomplete(tmp_path: Path) -> None:
    text = (
        "const http = require('http');\nhttp.createServer((req, res) => { if (req.url === '/a') res.end() }).listen(1)"
    )
    found = read(tmp_path, text)
    assert (found.complete, found.unread) == (False, ("app.js: a server without a framework is not read",))


@pytest.mark.parametrize(("package", "name"), [("@adonisjs/core", "AdonisJS"), ("sails", "Sails"), ("h3", "h3")])
def test_a_framework_without_a_reader_is_named(tmp_path: Path, package: str, name: str) -> None:
    found = read(tmp_path, "start().listen(1)", package)
    assert (found.complete, found.unread) == (False, (f"the routes of {name} are not read",))


def test_an_application_without_routes_beside_another_framework_is_incomplete(tmp_path: Path) -> None:
    text = "const app = require('express')(); new ApolloServer({}).applyMiddleware({ app }); app.listen(1)"
    found = read(tmp_path, text, "express", "apollo-server-express")
    assert (found.complete, found.unread) == (False, ("the routes of Apollo Server are not read",))


def test_a_framework_whose_application_is_not_found_is_named(tmp_path: Path) -> None:
    found = read(tmp_path, "const make = require(process.env.MAKER); make().listen(1)", "fastify")
    assert (found.complete, found.unread) == (False, ("no application of Fastify was found",))


@pytest.mark.parametrize("files", [{}, {"package.json": '{"dependencies": {"react": "18"}}', "index.js": "render()"}])
def test_a_project_without_a_server_is_complete(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert extract(tmp_path).complete


def test_a_project_that_exhausts_the_budget_is_still_started(tmp_path: Path) -> None:
    text = EXPRESS + "app.get('/health', h);\nfor (;;) { for (;;) { for (;;) { app.use(h) } } }\napp.listen(1)"
    text += "\nconst f = () => { f(); f(); f(); f() }; f();\n" * 40
    plan = detect(project(tmp_path, {"app.js": text}))
    assert plan.framework == "express"


@pytest.mark.parametrize("framework", [None, "node", "fastify"])
def test_a_plan_names_the_framework(tmp_path: Path, framework: str | None) -> None:
    package = '{"main": "app.js", "dependencies": {"fastify": "5"}}'
    folder = project(tmp_path, {"package.json": package, "app.js": FASTIFY + "app.listen({ port: 1 })"})
    plan = detect(folder, Overrides(framework=framework))
    assert (plan.framework, plan.command) == ("fastify", ("app.js",))
    assert plan.target is not None
    assert plan.target.reason == 'Fastify app found in app.js (package.json "main")'


@pytest.mark.parametrize("framework", [None, "node", "express", "nestjs"])
def test_nest_is_called_nest_and_may_be_named_as_before(tmp_path: Path, framework: str | None) -> None:
    package = '{"scripts": {"start": "nest start"}, "dependencies": {"@nestjs/core": "11"}}'
    text = NEST + "NestFactory.create(App).then((app) => app.listen(1))"
    folder = project(tmp_path, {"package.json": package, "src/main.ts": text})
    plan = detect(folder, Overrides(framework=framework))
    assert plan.framework == "nestjs"
    assert plan.target is not None
    assert plan.target.reason.startswith("NestJS app found in src/main.ts")


def test_a_python_application_beside_a_node_server_starts_as_before(tmp_path: Path) -> None:
    package = '{"scripts": {"start": "node app.js"}, "dependencies": {"fastify": "5"}}'
    python = "from flask import Flask\napp = Flask(__name__)\n@app.get('/p')\ndef p(): return ''\n"
    folder = project(tmp_path, {"package.json": package, "app.js": FASTIFY + "app.listen()", "main.py": python})
    assert detect(folder).framework == "flask"


def test_the_routes_of_a_plugin_that_fastify_cli_starts(tmp_path: Path) -> None:
    package = {
        "scripts": {"start": "fastify start -l info app.js"},
        "dependencies": {"fastify": "*", "fastify-cli": "*"},
    }
    plugin = "module.exports = async (app) => {\n  app.get('/a', h); app.register(async (i) => i.get('/c', h), { prefix: '/b' })\n}\n"
    files = {"package.json": json.dumps(package), "app.js": plugin}
    found = extract(project(tmp_path, files))
    assert ([item.path for item in found.endpoints], found.complete) == (["/a", "/b/c"], True)
    assert detect(tmp_path).command[-3:] == ("node_modules/fastify-cli/cli.js", "start", "app.js")


NEXT = {
    "app/api/users/route.ts": "export async function GET() {}\nexport const POST = async (r: Request) => save(r)\n",
    "app/(shop)/api/users/[id]/route.js": "const handler = () => {}\nexport { handler as GET, handler as DELETE }\n",
    "app/files/[[...path]]/route.js": "export function GET() {}\n",
    "app/_lib/route.js": "export function GET() {}\n",
    "app/page.tsx": "export default function Page() { return null }\n",
    "pages/api/index.ts": "export default function handler(req, res) { res.json({}) }\n",
    "pages/api/posts/[slug].js": "export default (req, res) => req.method === 'PUT' ? res.json(1) : res.status(405).end()\n",
    "next.config.js": "module.exports = { basePath: '/shop' }\n",
}


def test_route_handlers_of_next(tmp_path: Path) -> None:
    package = {"scripts": {"start": "next start"}, "dependencies": {"next": "*", "react": "*"}}
    found = extract(project(tmp_path, {"package.json": json.dumps(package), **NEXT}))
    assert {f"{item.method} {item.path} {item.line}" for item in found.endpoints} == {
        "GET /shop/api/users 1",
        "POST /shop/api/users 2",
        "GET /shop/api/users/{id} 1",
        "DELETE /shop/api/users/{id} 1",
        "GET /shop/files/{path} 1",
        "* /shop/api 1",
        "PUT /shop/api/posts/{slug} 1",
    }
    assert (found.complete, found.target and found.target.framework) == (True, "next")


def test_a_server_beside_next_is_what_starts(tmp_path: Path) -> None:
    package = {"scripts": {"start": "node app.js"}, "dependencies": {"next": "*", "express": "*"}}
    files = {"package.json": json.dumps(package), "app.js": EXPRESS + "app.listen(3000)", **NEXT}
    assert str(detect(project(tmp_path, files)).target) == "app.js"


def test_next_is_built_and_started_by_its_own_program(tmp_path: Path) -> None:
    package = {
        "scripts": {"build": "next build", "start": "next start"},
        "dependencies": {"next": "*", "react-dom": "*"},
    }
    plan = detect(project(tmp_path, {"package.json": json.dumps(package), **NEXT}))
    assert (plan.framework, plan.command) == (
        "next",
        ("--no-preserve-symlinks", "node_modules/next/dist/bin/next", "start"),
    )
    (build,) = plan.steps
    assert (build.argv, (build.variables or {})["NODE_PRESERVE_SYMLINKS"]) == (("npm", "run", "build"), "0")
