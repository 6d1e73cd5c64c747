"""Hono applications that only export their server, and levels of logs as Node's libraries write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from detection_kit import plan_of

from preview.detection import Origin, StartPlan
from preview.errors import InvalidGeneration

HONO = "import { Hono } from 'hono';\nconst app = new Hono();\napp.get('/', (c) => c.text('x'));\nexport default app;\n"


def plan(folder: Path, script: str, text: str, *names: str, **files: str) -> StartPlan:
    package = {"type": "module", "scripts": {"dev": script}, "dependencies": dict.fromkeys(names, "*")}
    return plan_of(folder, {"package.json": json.dumps(package), "src/index.ts": text, **files})


@pytest.mark.parametrize("script", ["bun run --hot src/index.ts", "bun src/index.ts", "tsx watch src/index.ts"])
def test_an_application_that_only_exports_its_server_is_served(tmp_path: Path, script: str) -> None:
    found = plan(tmp_path, script, HONO, "hono")
    assert found.command[-2] == "--eval"
    assert 'await import("./src/index.ts")' in found.command[-1]
    assert "@hono/node-server@^1.13.0" in found.extra_requirements
    assert found.decisions[0] == "src/index.ts exports its server: @hono/node-server serves it"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wrangler.toml", 'name = "x"\nmain = "src/worker.ts"\n'),
        ("wrangler.jsonc", '{\n  // it\n  "name": "x",\n  "main": "src/worker.ts"\n}\n'),
    ],
)
def test_a_worker_is_the_file_that_its_configuration_names(tmp_path: Path, name: str, text: str) -> None:
    made = "import { Hono } from 'hono';\nexport const create = () => new Hono();\n"
    worker = "import { create } from './index';\nconst app = create();\napp.get('/a', () => 1);\nexport default app;\n"
    found = plan(tmp_path, "wrangler dev", made, "hono", "wrangler", **{name: text, "src/worker.ts": worker})
    assert 'await import("./src/worker.ts")' in found.command[-1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import { env } from 'cloudflare:workers';\n" + HONO, "src/index.ts uses cloudflare:workers"),
        ("type Bindings = { DB: D1Database };\n" + HONO, "src/index.ts uses D1Database"),
        ("import { drizzle } from 'drizzle-orm/d1';\n" + HONO, "src/index.ts uses drizzle-orm/d1"),
    ],
)
def test_what_only_cloudflare_has_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InvalidGeneration) as refused:
        plan(tmp_path, "wrangler dev", text, "hono", "wrangler", **{"wrangler.toml": 'main = "src/index.ts"\n'})
    assert refused.value.message.startswith("Cannot launch: package.json starts it with wrangler, which is not")
    assert why in refused.value.message


def test_an_application_that_listens_is_left_alone(tmp_path: Path) -> None:
    text = "import { serve } from '@hono/node-server';\n" + HONO + "serve(app);\n"
    assert plan(tmp_path, "tsx src/index.ts", text, "hono", "@hono/node-server").command[-1] == "src/index.ts"


SERVER = "import express from 'express';\nconst app = express();\napp.listen(3000);\n"


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("import pino from 'pino';\npino({ level: process.env.LOG_LEVEL });\n", ("pino",), "error"),
        ("import { z } from 'zod';\nz.object({ LOG_LEVEL: z.enum(['fatal', 'error', 'info']) });\n", ("zod",), "error"),
        ("import { z } from 'zod';\nz.object({ LOG_LEVEL: z.enum(['DEBUG', 'ERROR']) });\n", ("zod",), None),
        ("import { z } from 'zod';\nz.object({ LOG_LEVEL: z.enum(['quiet', 'warn']) });\n", ("zod",), "warn"),
        ("const LEVELS = { DEBUG: 0, ERROR: 3 };\nLEVELS[process.env.LOG_LEVEL];\n", (), None),
        ("console.log(process.env.LOG_LEVEL);\n", (), "error"),
        ("console.log('x');\n", ("pino",), None),
    ],
)
def test_a_level_is_written_as_the_library_wants_it(
    tmp_path: Path, text: str, names: tuple[str, ...], expected: str | None
) -> None:
    found = plan(tmp_path, "tsx src/index.ts", text + SERVER, "express", *names).variables.get("LOG_LEVEL")
    assert (found and (found.value, found.origin)) == (expected and (expected, Origin.SUPPLIED))


@pytest.mark.parametrize(
    ("name", "other", "is_given"),
    [
        ("JWT_SECRET", "process.env.JWT_SECRET", True),
        ("JWT_SECRET", "process.env.JWT_SECRET || 'b'", False),
        ("APP_TITLE", "process.env.APP_TITLE", False),
    ],
)
def test_a_secret_without_a_default_at_one_place_is_given(
    tmp_path: Path, name: str, other: str, is_given: bool
) -> None:
    text = f"export const first = process.env.{name} || 'a';\nnew Strategy({{ secretOrKey: {other} }});\n" + SERVER
    assert (name in plan(tmp_path, "tsx src/index.ts", text, "express").variables) is is_given


def test_the_first_account_of_a_program_has_a_name_and_a_password(tmp_path: Path) -> None:
    text = "createAdmin(process.env.ROOT_ADMIN_EMAIL, process.env.ROOT_ADMIN_PASSWORD, process.env.TITLE);\n" + SERVER
    found = plan(tmp_path, "tsx src/index.ts", text, "express").variables
    assert {"ROOT_ADMIN_EMAIL", "ROOT_ADMIN_PASSWORD"} <= set(found)
    assert "@" in found["ROOT_ADMIN_EMAIL"].value
    assert "TITLE" not in found
