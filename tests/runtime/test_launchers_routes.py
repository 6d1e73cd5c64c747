"""The hook in Node's programs lists the routes of Hono, which adds them to a router with its first request."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from preview.endpoints import RouteTable, read_route_table
from preview.runtime.launchers.paths import LAUNCHERS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

# The parts of Hono's package that the hook knows: two routers, of which the first does not support all paths.
ROUTERS = """
class Router {
  #routes = [];
  add(method, path, handler) { this.#routes.push(path); }
}
class RegExpRouter extends Router {
  match = function (method, path) {
    if (refuses) throw new Error('unsupported');
    return (this.match = () => [])(method, path);
  };
}
class TrieRouter extends Router { match(method, path) { return []; } }
"""
APP = """
const http = require('http');
const routes = require(process.argv[2]);
const { RegExpRouter, TrieRouter } = require('hono');
const given = JSON.parse(process.argv[3]);
const pass = async (context, next) => next();
const answer = (context) => context;
routes.findHono();
for (const application of given) {
  for (const router of [new RegExpRouter(), new TrieRouter()]) {
    try {
      for (const [method, path, kind] of application) router.add(method, path, [kind === 'pass' ? pass : answer, {}]);
      router.match('GET', '/');
      break;
    } catch (error) {
      if (error.message !== 'unsupported') throw error;
    }
  }
}
process.stdout.write(routes.list(http.createServer(() => {})).join('\\n'));
"""


def listed(folder: Path, *applications: list[tuple[str, str, str]], refuses: bool = False) -> RouteTable:
    """The table of these routes, each a method, a path and whether it is middleware."""
    dist = folder / "node_modules" / "hono" / "dist" / "cjs"
    for name in ("reg-exp-router", "trie-router"):
        (dist / "router" / name).mkdir(parents=True)
        shown = "RegExpRouter" if name == "reg-exp-router" else "TrieRouter"
        text = f"const refuses = {str(refuses).lower()};\n{ROUTERS}\nexports.{shown} = {shown};\n"
        (dist / "router" / name / "router.js").write_text(text)
    names = ("reg-exp-router", "trie-router")
    whole = ", ".join(f"...require('./router/{name}/router.js')" for name in names)
    (dist / "index.js").write_text(f"module.exports = {{ {whole} }};\n")
    (dist.parent.parent / "package.json").write_text('{"name": "hono", "main": "dist/cjs/index.js"}')
    (folder / "app.js").write_text(APP)
    argv = ["node", "app.js", str(LAUNCHERS / "routes.cjs"), json.dumps(applications)]
    done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return read_route_table(done.stdout)


def shown(table: RouteTable) -> list[str]:
    return [f"{one.method} {one.path}" for one in table.endpoints]


def test_a_path_with_control_characters_is_no_route(tmp_path: Path) -> None:
    table = listed(tmp_path, [("GET", "/a\nGET\te/b", ""), ("GET", "/" + "x" * 5_000, ""), ("GET", "/c", "")])
    assert shown(table) == ["GET /c"]


def test_patterns_lose_their_braces_and_middleware_hides_what_is_below(tmp_path: Path) -> None:
    routes = [
        ("ALL", "/*", "pass"),
        ("ALL", "/admin/*", "pass"),
        ("ALL", "/any", ""),
        ("GET", "/a/:id{[0-9]{2,3}}", ""),
    ]
    table = listed(tmp_path, routes)
    assert shown(table) == ["* /any", "GET /a/{id}"]
    assert table.unknown == ("/admin",)


def test_the_router_that_supports_the_paths_counts(tmp_path: Path) -> None:
    table = listed(tmp_path, [("GET", "/a", "")], refuses=True)
    assert (shown(table), table.unknown) == (["GET /a"], ())


def test_of_several_applications_it_is_not_known_which_serves(tmp_path: Path) -> None:
    assert listed(tmp_path, [("GET", "/a", "")], [("GET", "/b", "")]).unknown == ("/",)


def test_before_the_first_request_nothing_is_known(tmp_path: Path) -> None:
    table = listed(tmp_path)
    assert (shown(table), table.unknown) == ([], ("/",))


MOUNTED_IN_ITSELF = """
const http = require('http');
const routes = require(process.argv[2]);
const app = Object.assign(() => {}, { handle() {}, set() {} });
const barn = { stack: [{ route: { path: '/cows', methods: { get: true } } }] };
barn.stack.push({ name: 'router', handle: barn, rawPath: '/again' });
app.router = { stack: [{ name: 'router', handle: barn, rawPath: '/barn' }] };
process.stdout.write(routes.list(http.createServer(app)).join('\\n'));
"""


def test_a_router_that_is_mounted_in_itself_is_listed_once(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(MOUNTED_IN_ITSELF)
    argv = ["node", "app.js", str(LAUNCHERS / "routes.cjs")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=90, check=True)
    table = read_route_table(done.stdout)
    assert shown(table) == ["GET /barn/cows"]
    assert table.unknown == ("/barn/again",)
