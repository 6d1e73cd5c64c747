# ruff: noqa: E501  JavaScript stands as it would be written
from __future__ import annotations

import json
from pathlib import Path

import pytest
from express_project_kit import APP, project

from preview.endpoints import extract, find_app
from preview.sources import Sources
from preview.sources.node_package import find_entry, read_node_packages
from preview.sources.node_scripts import split_commands

SERVER = f"{APP}app.get('/a', h); app.listen(3000)"
STARTS = {
    "node src/index.js": "src/index.js",
    "node server": "src/server.js",
    "node ./src": "src/index.js",
    "node .": "src/index.js",
    "node -r dotenv/config src/index.js": "src/index.js",
    "node --env-file=.env --import=tsx --watch src/main.ts": "src/main.ts",
    "nodemon --watch src --ext ts,js --exec ts-node src/main.ts": "src/main.ts",
    'nodemon --exec "ts-node -r tsconfig-paths/register" src/main.ts': "src/main.ts",
    "nodemon -x 'babel-node src/index.js'": "src/index.js",
    "NODE_ENV=production node src/index.js": "src/index.js",
    "cross-env NODE_ENV=production PORT=1 pm2 start ./src/index.js --name api -i max": "src/index.js",
    "pm2-runtime start ecosystem.config.js": "src/index.js",
    "ts-node-dev --respawn --transpile-only src/main.ts": "src/main.ts",
    "tsx watch src/main.ts": "src/main.ts",
    "npm run build && node dist/main.js": "src/main.ts",
    "node -r module-alias/register ./dist/main": "src/main.ts",
    "npm run launch": "src/index.js",
    "yarn launch": "src/index.js",
    'concurrently "tsc -w" "npm run launch"': "src/index.js",
    "concurrently npm:launch npm:client": "src/index.js",
    "npm-run-all --parallel launch client": "src/index.js",
    "tsc-watch --onSuccess 'node dist/main.js'": "src/main.ts",
    "cd api && npm start": "api/index.js",
    "npm start --prefix api": "api/index.js",
    "dotenv -e .env -- node src/index.js": "src/index.js",
    "npx nodemon src/index.js": "src/index.js",
    "nest start": "src/main.ts",
}
FILES = {
    "src/index.js": SERVER,
    "src/server.js": SERVER,
    "server.js": "",
    "src/main.ts": SERVER,
    "api/index.js": SERVER,
    "api/package.json": '{"scripts": {"start": "node index.js"}}',
    "ecosystem.config.js": "module.exports = { apps: [{ name: 'api', script: './src/index.js' }] }",
    "tsconfig.json": '{"compilerOptions": {"outDir": "./dist", "rootDir": "./src"}}',
}


def entry(folder: Path) -> str | None:
    sources = Sources(folder)
    found = find_entry(read_node_packages(sources)[0], sources)
    return found.file if found is not None else None


@pytest.mark.parametrize("command", STARTS)
def test_a_script_is_seen_through(tmp_path: Path, command: str) -> None:
    scripts = {"start": command, "launch": "node src/index.js", "client": "vite", "build": "tsc"}
    files = {**FILES, "package.json": json.dumps({"main": "src/index.js", "scripts": scripts})}
    if STARTS[command] == "src/server.js":
        files["src/server.js"], files["server.js"] = "", SERVER
        assert entry(project(tmp_path, files)) == "server.js"
    else:
        assert entry(project(tmp_path, files)) == STARTS[command]


@pytest.mark.parametrize(
    "command", ["react-scripts start", "next dev", "vite", "ng serve", "npm run start", "", "node 'x"]
)
def test_a_script_that_runs_no_file_has_no_entry(tmp_path: Path, command: str) -> None:
    files = {"package.json": json.dumps({"scripts": {"start": command}}), "src/index.js": "ReactDOM.render(x)"}
    assert entry(project(tmp_path, files)) is None


def test_commands_are_split_at_what_a_shell_splits() -> None:
    assert list(split_commands("A=1 a && (b) ; c | d & e 'f && g'")) == [["a"], ["(b)"], ["c"], ["d"], ["e", "f && g"]]


def test_nodemon_without_a_file_asks_its_settings(tmp_path: Path) -> None:
    files = {
        "package.json": '{"scripts": {"dev": "nodemon"}}',
        "nodemon.json": '{"watch": ["src"], "exec": "ts-node src/main.ts"}',
        "src/main.ts": SERVER,
    }
    assert entry(project(tmp_path, files)) == "src/main.ts"


def test_main_is_the_entry_where_no_script_tells(tmp_path: Path) -> None:
    files = {
        "package.json": '{"main": "lib/web.js", "scripts": {"test": "jest"}}',
        "lib/web.js": SERVER,
        "index.js": SERVER,
    }
    assert entry(project(tmp_path, files)) == "lib/web.js"


def test_usual_names_are_the_entry_where_nothing_tells(tmp_path: Path) -> None:
    files = {"package.json": "{}", "src/app.js": APP, "src/server.js": "require('./app').listen(3000)"}
    assert entry(project(tmp_path, files)) == "src/server.js"


def test_a_package_json_that_is_none_is_named(tmp_path: Path) -> None:
    sources = Sources(project(tmp_path, {"package.json": "{", "a/package.json": "[]", "b/package.json": '{"name": 1}'}))
    assert [package.folder for package in read_node_packages(sources)] == ["b"]
    assert set(sources.skipped) == {"package.json", "a/package.json"}


def test_the_target_says_what_runs_and_why(tmp_path: Path) -> None:
    package = '{"scripts": {"start": "node src/index.js"}, "dependencies": {"express": "4"}}'
    target = find_app(project(tmp_path, {"package.json": package, "src/index.js": SERVER}))
    assert target is not None
    assert (target.framework, target.module, target.attribute, target.app_dir, target.file) == (
        "express",
        "src/index.js",
        "",
        ".",
        "src/index.js",
    )
    assert target.reason == 'Express app found in src/index.js (package.json "start")'


def test_a_backend_beside_a_front_end_is_found(tmp_path: Path) -> None:
    files = {
        "package.json": '{"scripts": {"dev": "concurrently \\"npm run dev --prefix server\\" \\"npm run dev --prefix client\\""}}',
        "client/package.json": '{"scripts": {"dev": "vite", "start": "node server.js"}, "dependencies": {"react": "18", "express": "4", "vite": "5"}}',
        "client/server.js": SERVER,
        "server/package.json": '{"scripts": {"dev": "nodemon index.js"}, "dependencies": {"express": "4"}}',
        "server/index.js": f"{APP}app.get('/api', h); app.listen(1)",
    }
    found = extract(project(tmp_path, files))
    assert [item.path for item in found.endpoints] == ["/api"]
    assert found.target is not None
    assert (found.target.app_dir, found.target.module) == ("server", "index.js")


def test_a_project_without_package_json_is_found_by_its_code(tmp_path: Path) -> None:
    folder = project(tmp_path, {"server.js": SERVER, "test/server.js": SERVER})
    (folder / "package.json").unlink()
    found = extract(folder)
    assert [item.path for item in found.endpoints] == ["/a"]
    assert found.target is not None
    assert found.target.file == "server.js"


def test_the_listening_application_is_the_one(tmp_path: Path) -> None:
    source = "const other = express(); other.get('/x', h); other.get('/y', h); app.get('/a', h); app.listen(1)"
    assert [item.path for item in extract(project(tmp_path, {"app.js": APP + source})).endpoints] == ["/a"]


def test_an_exported_factory_that_nothing_calls_is_read(tmp_path: Path) -> None:
    source = "const express = require('express'); module.exports = () => { const app = express(); app.get('/a', h); return app }"
    assert [item.path for item in extract(project(tmp_path, {"app.js": source})).endpoints] == ["/a"]


def test_another_framework_is_left_alone(tmp_path: Path) -> None:
    source = "const Koa = require('koa'); const Router = require('@koa/router'); const r = new Router(); r.get('/a', h)"
    files = {"package.json": '{"main": "app.js", "dependencies": {"koa": "2"}}', "app.js": source}
    assert extract(project(tmp_path, files)).target is None
