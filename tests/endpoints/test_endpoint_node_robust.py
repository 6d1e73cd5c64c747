# ruff: noqa: E501  JavaScript stands as it would be written
"""Hostile sources of Node's frameworks are read within bounds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from express_project_kit import project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preview.endpoints import Extraction, extract

# Not proof against everything, but far more than any of these may take.
SOON_S = 30.0
PACKAGES = ("fastify", "koa", "@koa/router", "hono", "elysia", "@hapi/hapi", "restify", "@nestjs/core")
HEADS = {
    "fastify": "const app = require('fastify')(); app.get('/a', h);\n",
    "koa": "const Koa = require('koa'), Router = require('@koa/router'); const app = new Koa(); const r = new Router(); r.get('/a', h); app.use(r.routes());\n",
    "hono": "const { Hono } = require('hono'); const app = new Hono(); app.get('/a', h);\n",
    "elysia": "const { Elysia } = require('elysia'); const app = new Elysia(); app.get('/a', h);\n",
    "hapi": "const app = require('@hapi/hapi').server(); app.route({ method: 'GET', path: '/a', handler: h });\n",
    "restify": "const app = require('restify').createServer(); app.get('/a', h);\n",
}  # fmt: skip
HOSTILE = {
    "a plugin that registers itself": ("fastify", "const p = async (i) => { i.register(p); i.register(p, { prefix: '/x' }) };\napp.register(p)"),
    "a shared plugin that registers itself": ("fastify", "const fp = require('fastify-plugin'); const p = fp(async (i) => { i.register(p); i.register(p) });\napp.register(p)"),
    "a plugin in a plugin without an end": ("fastify", "const fp = require('fastify-plugin'); let p = fp(f); p.function = p;\nfor (let i = 0; i < 99; i++) p = fp(p);\napp.register(p)"),
    "a loader that loads its loader": ("fastify", "module.exports = async (i) => { i.register(require('@fastify/autoload'), { dir: __dirname }) };\napp.register(module.exports)"),
    "a loader above the project": ("fastify", "app.register(require('@fastify/autoload'), { dir: '/etc' });\napp.register(require('@fastify/autoload'), { dir: '/project/../..' })"),
    "a loader with a wild expression": ("fastify", "app.register(require('@fastify/autoload'), { dir: __dirname, ignorePattern: /(a+)+$/ })"),
    "a prefix that doubles itself": ("fastify", "let s = '/b'; for (let i = 0; i < 99; i++) s += s;\napp.register(async (i) => i.get(s, h), { prefix: s })"),
    "a decorator that calls itself": ("fastify", "app.decorate('x', () => app.x());\napp.x()"),
    "a Koa router in itself": ("koa", "for (let i = 0; i < 99; i++) r.use('/x', r.routes())"),
    "a Koa prefix that grows": ("koa", "for (let i = 0; i < 99; i++) { r.prefix('/x'.repeat(9)); r.use('/long/path', r.routes()) }"),
    "compositions of themselves": ("koa", "const compose = require('koa-compose'); let c = r; for (let i = 0; i < 99; i++) c = compose([c, c]);\napp.use(c)"),
    "mounts in mounts": ("koa", "const mount = require('koa-mount'); let c = app; for (let i = 0; i < 99; i++) { c = mount('/x', c); app.use(c) }"),
    "a Hono application in itself": ("hono", "const s = new Hono(); s.get('/s', h); for (let i = 0; i < 99; i++) { s.route('/x', s); app.route('/y', s); app.route('/z', app) }"),
    "base paths without an end": ("hono", "let b = app; for (let i = 0; i < 999; i++) { b = b.basePath('/some/long/path'); b.get('/x', h) }"),
    "lists of methods and paths": ("hono", "const l = []; for (let i = 0; i < 199; i++) l.push('/r' + i);\napp.on(l, l, h)"),
    "braces in braces": ("hono", "app.get('/:a{' + '{'.repeat(99) + '}'.repeat(99), h); app.get('/:x{aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', h)"),
    "an Elysia instance in itself": ("elysia", "const s = new Elysia({ prefix: '/s' }).get('/', h); for (let i = 0; i < 99; i++) { s.use(app); app.use(s) }"),
    "a group in itself": ("elysia", "const g = (a) => a.group('/x', g).group('/y', g);\napp.group('/g', g)"),
    "a plugin that uses itself": ("elysia", "const p = (a) => a.use(p).use(p);\napp.use(p)"),
    "a hapi plugin in itself": ("hapi", "const p = { register: async (s) => { s.register(p); s.register({ plugin: p, routes: { prefix: '/x' } }) } };\napp.register(p)"),
    "a hapi plugin of plugins": ("hapi", "const p = {}; p.plugin = p; p.default = p;\napp.register(p)"),
    "a Restify router in itself": ("restify", "const { Router } = require('restify-router'); const r = new Router(); r.add('/x', r); r.applyRoutes(app); r.applyRoutes(r)"),
}  # fmt: skip
NEST = """import { NestFactory, RouterModule } from '@nestjs/core'; import { Controller, Get, Module, applyDecorators } from '@nestjs/common';
%s
@Controller() class A { @Get('a') a() {} }
@Module({ imports: [%s], controllers: [A] }) class App {}
NestFactory.create(App).then((app) => { %s; app.listen(1) })
"""
HOSTILE_NEST = {
    "a tree of paths in itself": ("const t = []; t.push({ path: 'x', children: t }, { path: 'y', children: t });", "RouterModule.register(t)", ""),
    "decorators of decorators": ("const d = () => applyDecorators(d(), d()); @d() class B { @d() b() {} }", "B", ""),
    "a module that makes modules": ("class M { static make() { return { module: M, imports: [M.make(), M.make()] } } }", "M.make()", ""),
    "wild exclusions": ("", "", "app.setGlobalPrefix('', { exclude: ['*'.repeat(150), '(.*)(.*)(.*)(.*)x', '/:a:b:c:d', 7, null, {}] })"),
    "versions without an end": ("", "", "const v = []; v.push(v); app.enableVersioning({ defaultVersion: v, prefix: {} })"),
}  # fmt: skip


def read(folder: Path, text: str, name: str = "app.js") -> Extraction:
    package = json.dumps({"main": name, "dependencies": dict.fromkeys(PACKAGES, "*")})
    return extract(project(folder, {"package.json": package, name: text}))


@pytest.mark.parametrize("case", HOSTILE)
def test_an_end_is_found_with(tmp_path: Path, case: str) -> None:
    framework, text = HOSTILE[case]
    started = time.process_time()
    found = read(tmp_path, HEADS[framework] + text)
    assert time.process_time() - started < SOON_S
    assert "/a" in [item.path for item in found.endpoints]
    assert all(len(item.path) < 5_000 for item in found.endpoints)


@pytest.mark.parametrize(
    "text",
    ["app.get('/b', (c) => c.json(c.req.query()))", "app.post('/b', async (c) => { await /* all */ c.req.json(); use(await ) })",
     "export { };\napp.get('/b', (c) => c.json((/* none */)))"],
)  # fmt: skip
def test_nothing_between_parentheses_is_read(tmp_path: Path, text: str) -> None:
    assert {"/a", "/b"} <= {item.path for item in read(tmp_path, HEADS["hono"] + text).endpoints}


@pytest.mark.parametrize("case", HOSTILE_NEST)
def test_an_end_is_found_in_nest_with(tmp_path: Path, case: str) -> None:
    started = time.process_time()
    found = read(tmp_path, NEST % HOSTILE_NEST[case], "main.ts")
    assert time.process_time() - started < SOON_S
    assert "/a" in [item.path for item in found.endpoints]


WORDS = st.sampled_from(
    ["app", "r", "new Hono()", "new Elysia()", "new Router()", "app", "(", ")", "{", "}", "[", "]", "=>", "'/a'", "'/:x{'", "null", "h", "x",
     ".get", ".use", ".route", ".register", ".group", ".guard", ".on", ".basePath", ".mount", ".prefix", ".routes()", ".listen", ".openapi",
     ".decorate", ".all", ".then", "prefix:", "method:", "url:", "path:", "handler:", "async", ",", ";", "...", "this", "require", "'GET'", "1"]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(framework=st.sampled_from(sorted(HEADS)), words=st.lists(WORDS, max_size=40))
def test_any_source_is_read(framework: str, words: list[str]) -> None:
    with TemporaryDirectory() as folder:
        found = read(Path(folder), HEADS[framework] + " ".join(words))
    assert all(item.path.startswith("/") and item.method for item in found.endpoints)


@settings(max_examples=100, deadline=None)
@given(path=st.text(alphabet="/:*{}()?+\\^$.abz0-é ", max_size=30), framework=st.sampled_from(sorted(HEADS)))
def test_any_path_is_shown(path: str, framework: str) -> None:
    with TemporaryDirectory() as folder:
        given_path = json.dumps(path)
        text = f"app.get({given_path}, h)" if framework != "koa" else f"r.get({given_path}, h)"
        text = f"app.route({{ method: 'GET', path: {given_path}, handler: h }})" if framework == "hapi" else text
        found = read(Path(folder), HEADS[framework] + text)
    assert all(item.path.startswith("/") for item in found.endpoints)
    assert found.complete
