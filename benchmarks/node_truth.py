"""Do the small Node projects of the tests have the routes that their running framework has?

    npm install --prefix PACKAGES fastify fastify-plugin @fastify/autoload koa @koa/router koa-router koa-mount \\
        koa-compose koa-body hono @hono/node-server @hono/zod-openapi @hono/zod-validator zod elysia @elysiajs/node \\
        @nestjs/core @nestjs/common @nestjs/platform-express @nestjs/platform-fastify reflect-metadata rxjs express \\
        @sinclair/typebox tsx typescript@5
    uv run python benchmarks/node_truth.py PACKAGES [--only NAME] [--write]

Each project is copied, started with the installed packages, and reports its framework's own table when it listens.
The table is compared with ``expected.json``; ``--write`` replaces that file. ``endpoints.py`` then compares it with
what is read from the source: the tests do the same without any package.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from endpoints import Score, normalise, score

_PROJECTS = Path(__file__).parent.parent / "tests" / "endpoints" / "node_projects"
_FRESH = Path(__file__).parent / "fresh" / "node"
_HOOK = Path(__file__).parent / "node_routes.cjs"
_TIMEOUT_S = 60
_OPTIONAL = re.compile(r"\{(/:\w+)\}")
_PARAMETER = re.compile(r"(?<!:):([A-Za-z_]\w*)(?:\([^/]*?\)|\{[^/]*?\})?[?+*]?")
_REST = re.compile(r"/\*(\w+)")
# Frameworks without a hook: the entry exports the application, which has the table.
_TABLES = {
    "hono": "for (const { method, path, handler } of app.routes) "
    "if (target(handler).length < 2) addRoute(method === 'ALL' ? '*' : method, path)",
    "elysia": "await app.modules; for (const { method, path } of app.routes) "
    "addRoute(method === 'ALL' ? '*' : method, path)",
}
_EXPORTED = """\
import {{ findTargetHandler }} from {utilities}
import * as entry from {entry}
const target = findTargetHandler
const app = entry.default?.default ?? entry.default
{table}
finishRoutes()
"""
_COMPILE = """\
const ts = require('typescript'), fs = require('fs'), path = require('path')
const options = {
  module: 'commonjs', target: 'es2022', experimentalDecorators: true, emitDecoratorMetadata: true, esModuleInterop: true
}
for (const name of fs.readdirSync('.', {recursive: true})) {
  if (name.endsWith('.ts') && !name.startsWith('node_modules')) {
    const source = fs.readFileSync(name, 'utf8')
    fs.writeFileSync(name.replace(/ts$/, 'js'), ts.transpileModule(source, {compilerOptions: options}).outputText)
  }
}
"""


def table_of(project: Path, packages: Path) -> list[dict[str, str]]:
    """Return the routes that the running project reports."""
    framework = project.name.partition("-")[0]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(project, copy)
        (copy / "node_modules").symlink_to(packages / "node_modules")
        entry = json.loads((copy / "package.json").read_text())["scripts"]["start"].split()[-1]
        if framework == "nestjs":  # its decorators need types, which only TypeScript's compiler writes
            subprocess.run(["node", "-e", _COMPILE], cwd=copy, check=True, timeout=_TIMEOUT_S)
            entry = entry.removesuffix("ts") + "js"
        if framework in _TABLES:
            utilities = packages / "node_modules/hono/dist/utils/handler.js"
            text = _EXPORTED.format(
                utilities=json.dumps(str(utilities)), entry=json.dumps(f"./{entry}"), table=_TABLES[framework]
            )
            entry = "table.mjs"
            (copy / entry).write_text(text)
        out = Path(folder) / "routes.json"
        environment = {**os.environ, "ROUTES_FILE": str(out), "ROUTES_PACKAGES": str(packages)}
        command = ["node", "--require", str(_HOOK), "--import", "tsx", entry]
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        if not out.exists():
            sys.exit(f"{project.name}: no table\n{done.stdout}{done.stderr}")
        return sorted(json.loads(out.read_text()), key=lambda route: (route["path"], route["method"]))


def readable(path: str) -> str:
    """Return a path with ``{name}`` for each parameter, and without the slash at its end."""
    path = _OPTIONAL.sub(r"\1", path)
    path = _PARAMETER.sub(r"{\1}", path).replace("::", ":")
    return _REST.sub(r"/{\1}", path).rstrip("/") or "/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("--only")
    parser.add_argument("--fresh", action="store_true", help="the projects of benchmarks/fresh/node instead")
    parser.add_argument("--write", action="store_true", help="replace expected.json")
    options = parser.parse_args()
    total = Score()
    for project in sorted((_FRESH if options.fresh else _PROJECTS).iterdir()):
        if options.only not in {None, project.name}:
            continue
        routes = table_of(project, options.packages.resolve())
        table = dict.fromkeys((item["method"], readable(item["path"])) for item in routes)
        # Fastify, Koa and Nest answer HEAD wherever they answer GET.
        unique = [
            {"method": method, "path": path}
            for method, path in table
            if method != "WS" and (method != "HEAD" or not {("GET", path), ("*", path)} & table.keys())
        ]
        file = project / "expected.json"
        if options.write:
            file.write_text("[\n" + ",\n".join(f"  {json.dumps(item)}" for item in unique) + "\n]\n")
        truth = normalise((item["method"], item["path"]) for item in unique)
        kept = normalise((item["method"], item["path"]) for item in json.loads(file.read_text()))
        result = score(project, truth)
        differs = "" if truth == kept else f"  expected.json differs: {sorted(truth ^ kept)}"
        print(f"{project.name:24} {result}{differs}", *result.lines, sep="\n")
        total.add(result)
    print(f"{'all':24} {total}")


if __name__ == "__main__":
    main()
