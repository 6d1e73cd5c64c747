# ruff: noqa: E501  JavaScript stands as it would be written
from __future__ import annotations

from pathlib import Path

import pytest
from express_project_kit import in_app

REGISTRATIONS = {
    "verbs": ("app.get('/a', h); app.post('/a', h); app.delete('/b', h)", ["GET /a", "POST /a", "DELETE /b"]),
    "a setting is no route": ("app.set('port', 1); app.get('port'); app.get('/a', h)", ["GET /a"]),
    "all methods": ("app.all('/a', h)", ["* /a"]),
    "del is delete": ("app.del('/a', h)", ["DELETE /a"]),
    "several paths": ("app.get(['/a', '/b'], h)", ["GET /a", "GET /b"]),
    "chained verbs": ("app.get('/a', h).post('/b', h)", ["GET /a", "POST /b"]),
    "a path with several methods": ("app.route('/a').get(h).all(h).put(m, h)", ["GET /a", "* /a", "PUT /a"]),
    "middleware is no route": ("app.use(h); app.use('/a', h); app.use(express.static('x')); app.get('/b', m, h)", ["GET /b"]),
    "a router": ("const r = express.Router(); r.get('/a', h); app.use('/x', r)", ["GET /x/a"]),
    "a router's root": ("const r = express.Router(); r.get('/', h); app.use('/x', r)", ["GET /x"]),
    "a router made with new": ("const r = new express.Router({mergeParams: true}); r.get('/a', h); app.use(r)", ["GET /a"]),
    "routers behind middleware": ("const r = express.Router(); r.get('/a', h); app.use('/x', m, [m, r])", ["GET /x/a"]),
    "a router at several paths": ("const r = express.Router(); r.get('/a', h); app.use(['/x', '/y'], r)", ["GET /x/a", "GET /y/a"]),
    "two routers at a path": (
        "const r = express.Router(), s = express.Router(); r.get('/a', h); s.get('/b', h); app.use('/x', r, s)",
        ["GET /x/a", "GET /x/b"],
    ),
    "nested routers": (
        "const r = express.Router(), s = express.Router(); s.get('/b', h); r.use('/:id/s', s); app.use('/x/', r)",
        ["GET /x/{id}/s/b"],
    ),
    "an application in another": ("const sub = express(); sub.get('/a', h); app.use('/x', sub)", ["GET /x/a"]),
    "a route added after its router is used": (
        "const r = express.Router(); app.use('/x', r); r.get('/a', h)",
        ["GET /x/a"],
    ),
    "a router that uses itself": ("const r = express.Router(); r.use(r); r.get('/a', h); app.use(r)", ["GET /a"]),
    "routers that use each other": (
        "const r = express.Router(), s = express.Router(); r.use(s); s.use(r); r.get('/a', h); app.use(r)",
        ["GET /a"],
    ),
    "the first of two is kept": ("app.get('/a', h); app.get('/a', m)", ["GET /a"]),
    "a computed verb": ("for (const verb of ['get', 'post']) app[verb]('/a', h)", ["GET /a", "POST /a"]),
    "a route handler spread": ("const route = ['/a', h]; app.get(...route)", ["GET /a"]),
    "workers of a cluster": (
        "const cluster = require('cluster'); const r = express.Router(); r.get('/a', h); if (cluster.isMaster) { cluster.fork() } else if (cluster.isWorker) { app.all('/api/*', m); app.use('/api', r); app.listen(1) }",
        ["* /api/*", "GET /api/a"],
    ),
    "a group": ("app.group('/x', r => { r.get('/a', h) })", ["GET /x/a"]),
    "a method taken from its object": ("const get = app.get.bind(app); get('/a', h)", ["GET /a"]),
}  # fmt: skip

PATHS = {
    "/users/:id": "/users/{id}",
    "/users/:id(\\\\d+)": "/users/{id}",
    "/users/:id(\\\\d+)/x": "/users/{id}/x",
    "/users/:id?": "/users/{id}",
    "/flights/:from-:to": "/flights/{from}-{to}",
    "/files/:name.json": "/files/{name}.json",
    "/files/*path": "/files/{path}",
    "/files{/:id}": "/files/{id}",
    "/files/*": "/files/*",
    "*": "/*",
    "/users/": "/users",
    "//users": "/users",
    "/": "/",
    "users": "/users",
}

VALUES = {
    "a constant": "const p = '/a'; app.get(p, h)",
    "a template": "const v = 'a'; app.get(`/${v}`, h)",
    "a sum": "const v = 'a'; app.get('/' + v, h)",
    "an object": "const paths = {list: {all: '/a'}}; app.get(paths.list.all, h)",
    "a destructured object": "const {list: {all = '/b'}} = {list: {all: '/a'}}; app.get(all, h)",
    "a default of the environment": "app.get(process.env.PATH_A || '/a', h)",
    "a default by ??": "const p = process.env.PATH_A ?? '/a'; app.get(p, h)",
    "a default of destructuring": "const {PATH_A = '/a'} = process.env; app.get(PATH_A, h)",
    "a condition on what is known": "app.get(process.env.NODE_ENV === 'production' ? '/b' : '/a', h)",
    "a function's answer": "const at = (name) => '/' + name; app.get(at('a'), h)",
    "joined parts": "app.get(['', 'a'].join('/'), h)",
    "a part that is not known": "app.get(`${process.env.ROOT}/a`, h)",
    "a number in a template": "app.get(`/${'a'}`.slice(0, 1 + 1), h)",
    "an enum of numbers": "const E = Object.freeze({A: '/a'}); app.get(E.A, h)",
    "a reduced array": "app.get(['', 'a'].reduce((sum, part) => sum + '/' + part).replace('//', '/'), h)",
}


@pytest.mark.parametrize("case", REGISTRATIONS)
def test_registration(tmp_path: Path, case: str) -> None:
    source, expected = REGISTRATIONS[case]
    assert (
        in_app(tmp_path, f"const h = (req, res) => res.json({{}}), m = (req, res, next) => next();\n{source}")
        == expected
    )


@pytest.mark.parametrize("path", PATHS)
def test_paths_have_their_parameters_in_braces(tmp_path: Path, path: str) -> None:
    assert in_app(tmp_path, f"app.get('{path}', h)") == [f"GET {PATHS[path]}"]


def test_a_regular_expression_is_shown_as_it_is(tmp_path: Path) -> None:
    assert in_app(tmp_path, "app.get(/.*fly$/, h)") == ["GET /.*fly$/"]


@pytest.mark.parametrize("case", VALUES)
def test_a_path_given_by(tmp_path: Path, case: str) -> None:
    assert in_app(tmp_path, VALUES[case]) == ["GET /a"]


def test_what_runs_in_development_counts(tmp_path: Path) -> None:
    source = """
    if (process.env.NODE_ENV === 'production') { app.get('*', h) } else { app.get('/', h) }
    if (process.env.FEATURE) app.get('/feature', h)
    """
    assert in_app(tmp_path, source) == ["GET /", "GET /feature"]


def test_what_comes_after_a_return_does_not(tmp_path: Path) -> None:
    source = "function add(app) { app.get('/a', h); if (app) { return; } app.get('/b', h) }\nadd(app)"
    assert in_app(tmp_path, source) == ["GET /a"]


@pytest.mark.parametrize(
    "start",
    [
        "mongoose.connect(url).then(() => { app.get('/a', h); app.listen(1) })",
        "mongoose.connection.once('open', function () { app.get('/a', h) })",
        "(async () => { await db.sync(); app.get('/a', h) })()",
        "async function main() { app.get('/a', h) }\nmain().catch(console.error)",
        "try { app.get('/a', h) } catch (e) { }",
        "bootstrap({loaders: [() => { app.get('/a', h) }]})",
        "Promise.all([db.connect()]).then(() => { app.get('/a', h) })",
        "setTimeout(() => { app.get('/a', h) }, 10)",
    ],
)
def test_routes_registered_when_something_is_ready(tmp_path: Path, start: str) -> None:
    assert in_app(tmp_path, f"const mongoose = require('mongoose'), bootstrap = require('loader');\n{start}") == [
        "GET /a"
    ]
