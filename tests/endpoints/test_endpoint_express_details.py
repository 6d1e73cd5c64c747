# ruff: noqa: E501  JavaScript stands as it would be written
from __future__ import annotations

from pathlib import Path

import pytest
from express_project_kit import APP, one, project

from preview.endpoints import extract_endpoints

SUMMARIES = {
    "the handler's name": ("app.get('/a', list)", "list"),
    "a member's name": ("app.get('/a', auth, users.list)", "list"),
    "a name within a wrapper": ("app.get('/a', wrap(users.list))", "list"),
    "a bound method's name": ("app.get('/a', users.list.bind(users))", "list"),
    "a function's own name": ("app.get('/a', function list(req, res) {})", "list"),
    "a comment": ("// All users.\napp.get('/a', list)", "All users."),
    "a comment's first line": ("/**\n * All users.\n * Sorted by name.\n * @access public\n */\napp.get('/a', list)", "All users."),
    "@desc": ("// @route GET /a\n// @desc    All users\n// @access  Public\napp.get('/a', list)", "All users"),
    "@api": ("/**\n * @api {get} /a All users\n * @apiGroup x\n */\napp.get('/a', list)", "All users"),
    "a swagger comment": ("/**\n * @swagger\n * /a:\n *   get:\n *     summary: All users\n */\napp.get('/a', list)", "All users"),
    "a comment above the handler": ("const wrap = require('wrap');\n// All users.\nconst list = wrap(async (req, res) => {});\n\napp.get('/a', list)", "All users."),
    "a comment in a chain": ("app.route('/a')\n  /** All users. */\n  .get(list)", "All users."),
    "no comment that only repeats": ("// GET /a\napp.get('/a', list)", "list"),
    "no comment of the line above": ("const x = 1; // one\napp.get('/a', list)", "list"),
    "nothing": ("app.get('/a', (req, res) => {})", ""),
}  # fmt: skip

READS = {
    "properties": "app.post('/a', (req, res) => { use(req.query.page, req.body.name) })",
    "destructured": "app.post('/a', (req, res) => { const { page } = req.query; const { name, ...rest } = req.body })",
    "another name": "app.post('/a', async function (request, response) { use(request.query.page, request.body.name) })",
    "taken apart at once": "app.post('/a', ({ query, body: b }, res) => { use(query.page, b.name) })",
    "a wrapped handler": "const wrap = fn => (req, res, next) => fn(req, res, next).catch(next);\n"
                         "app.post('/a', wrap(async (req, res) => { use(req.query.page, req.body.name) }))",
    "a handler of another package's wrapper": "const wrap = require('express-async-handler');\n"
                                              "const add = wrap(async (req, res) => { use(req.query.page, req.body.name) });\napp.post('/a', add)",
    "a class's method": "class Users { add(req, res) { use(req.query.page, req.body.name) } }\nconst users = new Users();\napp.post('/a', users.add)",
    "middleware": "app.post('/a', (req, res, next) => { use(req.body.name); next() }, (req, res) => { use(req.query.page) })",
    "joi": "const Joi = require('joi');\nconst schema = { body: Joi.object().keys({ name: Joi.string().required() }),"
           " query: Joi.object({ page: Joi.string() }) };\napp.post('/a', validate(schema), add)",
    "celebrate": "const { celebrate, Joi } = require('celebrate');\n"
                 "app.post('/a', celebrate({ body: { name: Joi.string() }, query: { page: Joi.string() } }), add)",
    "zod": "const { z } = require('zod');\nconst schema = z.object({ body: z.object({ name: z.string().min(1) }),"
           " query: z.object({ page: z.string() }) });\napp.post('/a', validate(schema), add)",
    "express-validator": "const { body, query } = require('express-validator');\n"
                         "const checks = [body('name').notEmpty(), query('page').optional()];\napp.post('/a', checks, add)",
}  # fmt: skip


@pytest.mark.parametrize("case", SUMMARIES)
def test_the_summary_is(tmp_path: Path, case: str) -> None:
    source, expected = SUMMARIES[case]
    assert one(tmp_path, source).summary == expected


@pytest.mark.parametrize("case", READS)
def test_fields_of_the_request_are_known_by(tmp_path: Path, case: str) -> None:
    endpoint = one(tmp_path, READS[case])
    assert (dict(endpoint.query), endpoint.request_body) == ({"page": "string"}, {"name": "string"})


def test_fields_have_types_where_the_source_tells(tmp_path: Path) -> None:
    source = """
    const { z } = require('zod');
    const schema = z.object({ name: z.string(), age: z.number().int(), tags: z.array(z.string()), home: z.object({ ok: z.boolean() }) });
    app.post('/a', validate(schema), (req, res) => { const { limit = 10 } = req.query; use(parseInt(req.query.page), +req.query.x) })
    """
    endpoint = one(tmp_path, source)
    assert endpoint.request_body == {"name": "string", "age": "integer", "tags": ["string"], "home": {"ok": "boolean"}}
    assert endpoint.query == {"limit": "integer", "page": "integer", "x": "number"}


def test_a_get_has_no_body(tmp_path: Path) -> None:
    assert one(tmp_path, "app.get('/a', (req, res) => { use(req.body.name) })").request_body is None


def test_path_parameters_are_named(tmp_path: Path) -> None:
    assert one(tmp_path, "app.get('/a/:id/:part?', h)").path_parameters == {"id": "string", "part": "string"}


def test_file_and_line_are_of_the_registration(tmp_path: Path) -> None:
    files = {
        "app.js": f"{APP}app.use('/x', require('./r'))",
        "r.js": "const r = module.exports = require('express').Router();\n\nr\n  .route('/a')\n  .get(list)\n  .post(add);\n",
    }
    found = extract_endpoints(project(tmp_path, files))
    assert [(item.file, item.line) for item in found] == [("r.js", 5), ("r.js", 6)]


def test_a_heading_above_several_routes_is_no_ones_summary(tmp_path: Path) -> None:
    source = "// User routes.\napp.get('/a', list);\napp.get('/b', one);\n"
    found = extract_endpoints(project(tmp_path, {"app.js": APP + source}))
    assert [item.summary for item in found] == ["list", "one"]
