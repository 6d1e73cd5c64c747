"""Files that take a parser, an interpreter or a regular expression longer than their size lets expect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

__all__ = ["PATHOLOGICAL", "project_with"]

APP: Final = "from fastapi import FastAPI\napp = FastAPI()\n"
EXPRESS: Final = "const app = require('express')()\n"
PACKAGE: Final = json.dumps({"name": "x", "scripts": {"start": "node server.js"}, "dependencies": {"express": "^4"}})
K: Final = 1000


def _python() -> Mapping[str, str]:
    """Name to the text of ``main.py``, behind an application."""
    chain = "".join(f"v{n} = v{n - 1} + v{n - 1}\n" for n in range(1, 60))
    return {
        "f-string of 100,000 fields": 'x=f"' + "{a}" * 100 * K + '"',
        "f-strings within f-strings": "x = " + "f'{" * 90 + "1" + "}'" * 90,
        "lists 5,000 deep": "x = " + "[" * 5 * K + "]" * 5 * K,
        "many lists 90 deep": "\n".join("x = " + "[" * 90 + "]" * 90 for _ in range(3 * K)),
        "parentheses": "x = " + "(" * 190 + "1" + ")" * 190 + "\n" + "(" * 100 * K,
        "unary operators": "x = " + "-" * 100 * K + "1",
        "one sum of 100,000 terms": "x = " + "+".join(["1"] * 100 * K),
        "attributes 50,000 deep": "x = a" + ".b" * 50 * K,
        "calls 50,000 deep": "x = a" + "()" * 50 * K,
        "comparisons": "x = " + "<".join(["a"] * 100 * K),
        "boolean operators": "x = " + " or ".join(["a"] * 100 * K),
        "conditional expressions": "x = " + "1 if a else " * 20 * K + "2",
        "lambdas": "x = " + "lambda: " * 20 * K + "1",
        "number of 900,000 digits": "x = " + "9" * 900 * K,
        "hexadecimal number": "x = 0x" + "f" * 900 * K,
        "powers": "x = " + "9**" * 50 + "9",
        "repeated text": "x = 'a' * 10 ** 10\ny = ['b'] * 10 ** 10\nz = (1,) * 10 ** 10",
        "doubling text": "v0 = 'x' * 100\n" + chain,
        "doubling list": "v0 = [1]\n" + chain,
        "format width": "x = '%1000000000d' % 1\ny = '{:1000000000}'.format(1)\nz = f'{1:1000000000}'",
        "range": "for n in range(10 ** 12):\n    app.get(f'/{n}')(print)",
        "nested loops": "".join(f"{' ' * n}for a{n} in range(1000):\n" for n in range(15))
        + " " * 15
        + "app.get('/x')(print)",
        "endless loop": "while True:\n    app.get('/x')(print)",
        "endless recursion": "def f(n):\n    return f(n + 1) + f(n + 2)\nx = f(0)",
        "blocks 95 deep": "".join(f"{' ' * n}if a:\n" for n in range(95)) + " " * 95 + "pass",
        "elif": "if a:\n    pass\n" + "elif a:\n    pass\n" * 30 * K,
        "20,000 routes": "".join(f"@app.get('/{n}')\ndef f{n}(): ...\n" for n in range(20 * K)),
        "one path of parameters": "@app.get('/" + "{a}" * 100 * K + "')\ndef f(): ...",
        "one open brace": "@app.get('/" + "{" * 300 * K + "')\ndef f(): ...",
        "100,000 decorators": "@a\n" * 100 * K + "def f(): ...",
        "class hierarchy": "class C0: ...\n" + "".join(f"class C{n}(C{n - 1}): ...\n" for n in range(1, 10 * K)),
        "diamonds of classes": "class A0: ...\nclass B0: ...\n"
        + "".join(f"class A{n}(A{n - 1}, B{n - 1}): ...\nclass B{n}(B{n - 1}): ...\n" for n in range(1, 2 * K)),
        "model of itself": "from pydantic import BaseModel\nclass M(BaseModel):\n"
        + "".join(f"    f{n}: 'M'\n" for n in range(300))
        + "@app.post('/m')\ndef m(m: M) -> M: ...",
        "models doubling": "from pydantic import BaseModel\nclass M0(BaseModel): x: int\n"
        + "".join(f"class M{n}(BaseModel):\n    a: M{n - 1}\n    b: M{n - 1}\n" for n in range(1, 40))
        + "@app.post('/m')\ndef m(m: M39) -> M39: ...",
        "annotation of unions": "def f(x: " + "|".join(["int"] * 50 * K) + "): ...",
        "annotation in brackets": "def f(x: " + "list[" * 80 + "int" + "]" * 80 + "): ...",
        "unclosed text": "x = '''" + "\n" * 200 * K,
        "unclosed brackets in lines": "x = [\n" * 50 * K,
        "syntax error in each line": "def (\n" * 50 * K,
        "tabs and blanks": " \t" * 300 * K + "x",
        "continued lines": "x = 1 \\\n" * 100 * K,
        "blanks before a word": "import" + " " * 500 * K + "\n" + "from" + " " * 400 * K,
        "names with commas": "from a import (" + "b," * 100 * K,
        "environment": "import os\n" + "".join(f"x{n} = os.environ['V{n}']\n" for n in range(20 * K)),
    }


def _projects() -> Mapping[str, Mapping[str, str]]:
    aliases = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    chain = {
        f"tsconfig.{n}.json": json.dumps({"extends": [f"./tsconfig.{n + 1}.json", f"./tsconfig.{n + 1}.json"]})
        for n in range(60)
    }
    node = {"package.json": PACKAGE, "server.js": EXPRESS + "app.listen(3000)\n"}
    deep = "[" * 100 * K + "]" * 100 * K
    return {
        ".env of itself": {".env": "A=${A}${A}\n" + "A=${A}${A}\n" * 8 * K},
        ".env doubling": {
            ".env.example": "V0=x\n" + "".join(f"V{n}=" + f"${{V{n - 1}}}" * 2 + "\n" for n in range(1, 60))
        },
        ".env in one line": {".env": "A=" + "${A:-" * 100 * K},
        ".env quotes": {".env": "A='" + "\\'" * 100 * K},
        "YAML aliases": {"environment.yml": aliases, "docker-compose.yml": aliases, "pnpm-lock.yaml": aliases},
        "YAML depth": {"environment.yml": "[" * 50 * K, "pnpm-lock.yaml": "a: " + "{a: " * 50 * K},
        "TOML depth": {"pyproject.toml": f"x = {deep}", "preview.toml": f"x = {deep}"},
        "TOML dotted keys": {"pyproject.toml": ".".join(["a"] * 50 * K) + " = 1\n"},
        "JSON depth": {"Pipfile.lock": deep, "package.json": deep, "package-lock.json": deep, "tsconfig.json": deep},
        "requirements that include each other": {
            f"r{n}.txt": "".join(f"-r r{m}.txt\n" for m in range(60)) for n in range(60)
        }
        | {"requirements.txt": "-r r0.txt"},
        "requirement of blanks": {"requirements.txt": "a" + " " * 300 * K + ";\n" + "a==" + "1." * 100 * K},
        "requirement of markers": {"requirements.txt": "a ; " + "(" * 5 * K + "os_name == 'x'" + ")" * 5 * K},
        "conda, setup.cfg, Procfile": {
            "setup.cfg": "[options]\ninstall_requires =\n" + "  a\n" * 100 * K,
            "Procfile": "web: " + "uvicorn " * 50 * K,
            "Dockerfile": "FROM " + "python" * 50 * K + "\nCMD " + '["' * 50 * K, "README.md": "```\n" * 20 * K,
        },
        "blueprint groups of themselves": {
            "main.py": "from sanic import Blueprint, Sanic\napp = Sanic('x')\ng = Blueprint.group(Blueprint('a'))\n"
            "for n in range(300):\n    g.append(g)\napp.blueprint(g)\n"
        },
        "rules of themselves": {
            "main.py": "from tornado.web import Application\nx = []\nfor n in range(300):\n    x.append(('/', x))\n"
            "app = Application(x)\n"
        },
        "paths of brackets": {
            "main.py": "from aiohttp import web\napp = web.Application()\n"
            f"app.router.add_get('/{'{a:' * 100 * K}', f)\n"
        },
        "tsconfig chain": {**node, **chain, "tsconfig.json": chain["tsconfig.0.json"]},
        "JavaScript brackets": {**node, "server.js": EXPRESS + "x = " + "[" * 100 * K},
        "JavaScript templates": {**node, "server.js": EXPRESS + "x = " + "`${" * 50 * K},
        "JavaScript of regular expressions": {**node, "server.js": EXPRESS + "x = a / b " * 40 * K},
        "JavaScript doubling": {
            **node, "server.js": EXPRESS + "let v = 'x';" + "v = v + v;" * 60 + "app.get('/' + v, f)\napp.listen(1)\n",
        },
        "JavaScript of plugins": {
            "package.json": PACKAGE.replace("express", "fastify"),
            "server.js": "const app = require('fastify')(); const p = async (i) => { i.register(p); i.register(p) };"
            "app.register(p);" * 1000,
        },
        "JavaScript of routers": {
            "package.json": PACKAGE.replace("express", "hono"),
            "server.js": "const { Hono } = require('hono'); const app = new Hono(); app.get('/a', f);"
            + "app.route('/x', new Hono().route('/y', app));" * 2 * K,
        },
        "yarn.lock": {**node, "yarn.lock": '"a@1", ' * 100 * K + ":\n" + "  " * 100 * K},
        "bun.lock": {**node, "bun.lock": "[" * 100 * K},
        "package.json of workspaces": {
            **node, "package.json": json.dumps({"name": "x", "workspaces": ["*/" * 30 + "*"] * 500}),
            "package-lock.json": json.dumps({"packages": {f"node_modules/{n}": {} for n in range(30 * K)}}),
        },
    }  # fmt: skip


PATHOLOGICAL: Final[Mapping[str, Mapping[str, str]]] = {
    **{name: {"main.py": f"{APP}{text}\n"} for name, text in _python().items()},
    **_projects(),
}


def project_with(name: str) -> dict[str, bytes]:
    """The files of a project that begins as any other does."""
    files = {"main.py": APP, "requirements.txt": "fastapi\n", **PATHOLOGICAL[name]}
    return {path: text.encode() for path, text in files.items()}
