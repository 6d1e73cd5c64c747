"""Node servers in files without a suffix, and in folders without a package.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from detection_kit import plan_of, values_of

from preview.detection import Server, ServiceKind, Toolchain
from preview.errors import InvalidGeneration

WWW = """#!/usr/bin/env node
var app = require('../app');
var http = require('http');
var mongoose = require('mongoose');
mongoose.connect(process.env.MONGODB_URI);
if (!process.env.SESSION_SECRET) throw new Error('SESSION_SECRET');
var server = http.createServer(app);
server.listen(process.env.PORT || '3000');
"""
APP = "var express = require('express');\nvar app = express();\napp.get('/users', f);\nmodule.exports = app;\n"
SEED = "const mongoose = require('mongoose');\nmongoose.connect(process.argv[2]);\n"
DEPENDENCIES = {"express": "4", "mongoose": "5"}
HTTP = "const http = require('http');\nhttp.createServer((q, a) => a.end('x')).listen(3000);\n"


@pytest.mark.parametrize("start", ["node ./bin/www", "DEBUG=app:* nodemon bin/www"])
def test_a_file_without_a_suffix_is_read(tmp_path: Path, start: str) -> None:
    package = json.dumps({"scripts": {"start": start}, "dependencies": DEPENDENCIES})
    plan = plan_of(tmp_path, {"package.json": package, "app.js": APP, "bin/www": WWW, "populatedb.js": SEED})
    assert (plan.framework, plan.command) == ("express", ("bin/www",))
    (need,) = plan.services
    assert (need.kind, need.setting, need.where) == (ServiceKind.MONGODB, "MONGODB_URI", "bin/www:5")
    assert "SESSION_SECRET" in values_of(plan)


@pytest.mark.parametrize("seed", ["populatedb.js", "seed.js", "scripts/fill.js", "seeds/index.js", "src/db-seeder.js"])
def test_a_script_that_fills_the_database_is_no_need_of_the_application(tmp_path: Path, seed: str) -> None:
    package = json.dumps({"scripts": {"start": "node app.js"}, "dependencies": DEPENDENCIES})
    plan = plan_of(tmp_path, {"package.json": package, "app.js": APP + "app.listen(3000);\n", seed: SEED})
    assert plan.services == ()
    assert plan.command == ("app.js",)


@pytest.mark.parametrize(
    ("file", "text", "folder", "command"),
    [
        ("index.js", HTTP, ".", ("index.js",)),
        ("server.mjs", "import http from 'http';\nhttp.createServer().listen(3000);\n", ".", ("server.mjs",)),
        ("src/app.js", "const Koa = require('koa');\nnew Koa().listen(3000);\n", ".", ("src/app.js",)),
        ("web/main.js", "const fastify = require('fastify')();\nfastify.listen({port: 3000});\n", "web", ("main.js",)),
    ],
)
def test_a_script_that_listens_starts_without_a_package(
    tmp_path: Path, file: str, text: str, folder: str, command: tuple[str, ...]
) -> None:
    plan = plan_of(tmp_path, {file: text})
    assert (plan.toolchain, plan.server) == (Toolchain.NODE, Server.NODE)
    assert (plan.directory, plan.manifests, plan.command) == (folder, folder, command)


def test_what_a_script_without_a_package_connects_to_is_known(tmp_path: Path) -> None:
    text = "const m = require('mongoose');\nm.connect(process.env.MONGO_URL).then(() => 1);\n" + HTTP
    plan = plan_of(tmp_path, {"server.js": text})
    assert [(one.kind, one.setting) for one in plan.services] == [(ServiceKind.MONGODB, "MONGO_URL")]


@pytest.mark.parametrize(
    "files",
    [
        {"index.js": "document.querySelector('a').addEventListener('click', f);\n"},
        {"index.js": "socket.listen(3);\n"},
        {"tests/server.js": HTTP},
        {"client/index.js": HTTP},
        {"package.json": '{"dependencies": {"react": "18"}}', "index.js": "import React from 'react';\n"},
    ],
)
def test_what_is_no_server_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(InvalidGeneration):
        plan_of(tmp_path, files)
