"""Projects that only Bun can run are started with Bun, and all others with Node, as ever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from detection_kit import plan_of, values_of

from preview.detection import Overrides, Server, StartPlan, Toolchain
from preview.detection.node.runtimes import BUN

ELYSIA = "import { Elysia } from 'elysia';\nnew Elysia().get('/', () => 'x').listen(3000);\n"
EXPRESS = "import express from 'express';\nconst app = express();\napp.get('/', () => 1);\napp.listen(3000);\n"
FETCH = "export default { port: 3000, fetch: (request) => new Response('x') };\n"
SERVE = "Bun.serve({ port: 3000, fetch: () => new Response('x') });\n"
HONO = "import { Hono } from 'hono';\nconst app = new Hono();\n"
STATIC = HONO + "import { serveStatic } from 'hono/bun';\napp.use('/files/*', serveStatic({ root: './' }));\n"


def bun_plan(
    folder: Path, text: str, *names: str, start: str = "bun src/index.ts", more: Mapping[str, object] | None = None
) -> StartPlan:
    package = {"scripts": {"start": start}, "dependencies": dict.fromkeys(names, "*"), **(more or {})}
    return plan_of(folder, {"package.json": json.dumps(package), "src/index.ts": text})


@pytest.mark.parametrize(
    ("text", "names", "why"),
    [
        (ELYSIA, ("elysia",), "Elysia listens on Node only with the package @elysiajs/node"),
        (FETCH, (), "src/index.ts exports its server and does not listen"),
        (SERVE, (), "src/index.ts uses Bun.serve"),
        ("import { Database } from 'bun:sqlite';\n" + EXPRESS, ("express",), "src/index.ts uses bun:sqlite"),
        (STATIC + "export default app;\n", ("hono",), "src/index.ts uses hono/bun"),
        (EXPRESS + "const folder = import.meta.dir;\n", ("express",), "src/index.ts uses import.meta.dir"),
    ],
)
def test_what_only_bun_can_run_is_run_by_bun(tmp_path: Path, text: str, names: tuple[str, ...], why: str) -> None:
    plan = bun_plan(tmp_path, text, *names, start="bun run --hot src/index.ts")
    assert (plan.toolchain, plan.server, plan.command) == (Toolchain.NODE, Server.BUN, ("src/index.ts",))
    assert f"bun@{BUN}" in plan.extra_requirements
    assert f"Bun runs it, because Node cannot: {why}" in plan.decisions


def test_what_only_bun_can_run_is_found_through_paths_of_the_compiler(tmp_path: Path) -> None:
    files = {
        "package.json": json.dumps({"scripts": {"start": "bun src/index.ts"}, "dependencies": {"hono": "*"}}),
        "tsconfig.json": '{"compilerOptions": {"paths": {"~/*": ["./src/*"]}}}',
        "src/index.ts": f"import '~/db/client';\n{HONO}export default app;\n",
        "src/db/client.ts": "import { drizzle } from 'drizzle-orm/bun-sql';\n",
    }
    assert (
        "Bun runs it, because Node cannot: src/db/client.ts uses drizzle-orm/bun-sql"
        in plan_of(tmp_path, files).decisions
    )


def test_a_script_that_runs_another_script_leads_to_its_file(tmp_path: Path) -> None:
    scripts = {"dev": "bun run --watch src/index.ts", "start": "bun run dev"}
    assert bun_plan(tmp_path, SERVE, more={"scripts": scripts}).command == ("src/index.ts",)


def test_flags_that_the_program_needs_are_kept(tmp_path: Path) -> None:
    (tmp_path / "setup.ts").write_text("")
    start = "NODE_ENV=production bun --smol --preload ./setup.ts --env-file=.env.none --hot src/index.ts"
    assert bun_plan(tmp_path, SERVE, start=start).command == ("--smol", "--preload=./setup.ts", "src/index.ts")


@pytest.mark.parametrize(
    ("more", "requirement"),
    [
        ({"packageManager": "bun@1.2.3+sha512.abc"}, "bun@1.2.3"),
        ({"engines": {"bun": ">=1.1.0"}}, f"bun@{BUN}"),
        ({"engines": {"bun": "~1.2.0"}}, "bun@~1.2.0"),
        ({"engines": {"bun": "1.1.x"}}, "bun@1.1.x"),
        ({"engines": {"bun": "npm:evil@1.0.0"}}, f"bun@{BUN}"),
        ({"packageManager": "bun@file:../evil"}, f"bun@{BUN}"),
        ({"devDependencies": {"bun": "1.1.30"}}, "bun@1.1.30"),
        ({"devDependencies": {"bun": "npm:evil@1.0.0"}}, f"bun@{BUN}"),
        ({"devDependencies": {"@types/bun": "1.0.0"}}, f"bun@{BUN}"),
    ],
)
def test_the_version_is_the_one_that_the_project_names(
    tmp_path: Path, more: dict[str, object], requirement: str
) -> None:
    assert bun_plan(tmp_path, SERVE, more=more).extra_requirements == (requirement,)


def test_the_version_of_its_own_file(tmp_path: Path) -> None:
    (tmp_path / ".bun-version").write_text("v1.2.20\n")
    assert bun_plan(tmp_path, SERVE).extra_requirements == ("bun@1.2.20",)


def test_a_package_of_bun_init_has_no_script(tmp_path: Path) -> None:
    package = {"module": "index.ts", "devDependencies": {"@types/bun": "latest"}}
    plan = plan_of(tmp_path, {"package.json": json.dumps(package), "index.ts": SERVE, "bun.lock": "{}"})
    assert (plan.server, plan.command) == (Server.BUN, ("index.ts",))


@pytest.mark.parametrize(
    ("start", "text", "names"),
    [
        ("bun run src/index.ts", EXPRESS, ("express",)),
        ("bun run src/index.ts", "const port = Bun.env.PORT;\n" + EXPRESS, ("express",)),
        ("bun run src/index.ts", ELYSIA, ("elysia", "@elysiajs/node")),
        ("bun src/index.ts", HONO + "export default app;\n", ("hono",)),
        ("tsx src/index.ts", EXPRESS + "if (typeof Bun !== 'undefined') Bun.gc(true);\n", ("express", "@types/bun")),
    ],
)
def test_what_node_can_run_is_run_by_node(tmp_path: Path, start: str, text: str, names: tuple[str, ...]) -> None:
    plan = bun_plan(tmp_path, text, *names, start=start)
    assert plan.server is Server.NODE
    assert not any(line.startswith("bun@") for line in plan.extra_requirements)


def test_a_given_command_of_bun_runs_with_the_environments_bun(tmp_path: Path) -> None:
    package = {"scripts": {"start": "bun src/index.ts", "serve": "bun src/index.ts"}}
    files = {"package.json": json.dumps(package), "src/index.ts": SERVE}
    plan = plan_of(tmp_path, files, Overrides(command=("bun", "run", "serve")))
    assert (plan.server, plan.command) == (Server.BUN, ("run", "serve"))
    assert plan.extra_requirements == (f"bun@{BUN}",)


def test_files_that_bun_runs_before_the_start_are_steps(tmp_path: Path) -> None:
    scripts = {"start": "bun src/index.ts", "db:seed": "bun run src/seed.ts"}
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "seed.ts").write_text("import { Database } from 'bun:sqlite';\n")
    plan = bun_plan(tmp_path, "import { Database } from 'bun:sqlite';\n" + SERVE, more={"scripts": scripts})
    assert [step.argv for step in plan.steps] == [("bun", "src/seed.ts")]


def test_a_database_of_bun_gets_a_path_and_no_url(tmp_path: Path) -> None:
    opens = "import { Database } from 'bun:sqlite';\nconst db = new Database(process.env.DATABASE_URL);\n"
    (tmp_path / ".env").write_text('DATABASE_URL="./sqlite.db"\n')
    assert values_of(bun_plan(tmp_path, opens + SERVE))["DATABASE_URL"] == "{database_path}"
    assert "DATABASE_URL" not in values_of(bun_plan(tmp_path, SERVE))


@pytest.mark.parametrize(
    ("load", "names", "value"),
    [
        ("import Database from 'better-sqlite3'", ("better-sqlite3",), "{database_path}"),
        ("const Database = require('better-sqlite3')", ("better-sqlite3", "ioredis"), "{database_path}"),
        ("import { DatabaseSync as Database } from 'node:sqlite'", (), "{database_path}"),
        ("import { drizzle } from 'drizzle-orm/better-sqlite3'", ("drizzle-orm",), "{database_path}"),
        ("import { createClient } from '@libsql/client'", ("@libsql/client",), "file:{database_path}"),
        # A server's driver takes a URL; so may a mapper that only names the driver.
        ("import Database from 'better-sqlite3'", ("better-sqlite3", "mysql2"), None),
        ("const client = 'better-sqlite3'", ("better-sqlite3", "knex"), None),
    ],
)
def test_a_driver_that_opens_a_path_gets_no_url(
    tmp_path: Path, load: str, names: tuple[str, ...], value: str | None
) -> None:
    text = f"{load};\nconst db = new Database(process.env.DATABASE_URL);\n{EXPRESS}"
    plan = bun_plan(tmp_path, text, "express", *names, start="node src/index.ts")
    found = values_of(plan).get("DATABASE_URL")
    assert (found if found is not None and "{database_path}" in found else None) == value


def test_a_large_source_is_searched_in_time(tmp_path: Path) -> None:
    # Each of these is the beginning of what only Bun has, and never the end.
    text = ("'hono/bun" + "/a-b" * 100 + " Bun. import.meta. export default {") * 2_000
    assert bun_plan(tmp_path, EXPRESS + text, "express").server is not None


def test_a_program_on_node_serves_what_a_file_exports_beside_a_lock_file_of_bun(tmp_path: Path) -> None:
    needed = {"fastify": "^4", "fastify-cli": "^6"}
    package = {"type": "module", "scripts": {"start": "fastify start app.js"}, "dependencies": needed}
    app = "const app = async (fastify) => { fastify.get('/', async () => 'x'); };\nexport default app;\n"
    plan = plan_of(tmp_path, {"package.json": json.dumps(package), "app.js": app, "bun.lock": "{}"})
    assert plan.server is Server.NODE


@pytest.mark.parametrize("version", ["bun@\u0661.\u0662.\u0663", "bun@1.2.x1", ["bun@1.2.3"], {"bun": "1.2.3"}, None])
def test_what_is_no_version_of_bun_is_not_asked_for(tmp_path: Path, version: object) -> None:
    more = {"packageManager": version, "engines": {"bun": version}}
    assert f"bun@{BUN}" in bun_plan(tmp_path, SERVE, more=more).extra_requirements
