"""Steps of Node projects that make tables and data: scripts of package.json, and commands that a README names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from preview.detection import StartPlan, detect

SERVER = "const app = require('express')();\napp.listen(3000);\n"
KNEX = {"knexfile.js": "module.exports = {client: 'sqlite3'};\n", "migrations/1_a.js": "", "seeds/a.js": ""}
SCHEMA = 'datasource db {\n  provider = "sqlite"\n  url = env("DATABASE_URL")\n}\n'


def plan_of(folder: Path, package: Mapping[str, object], files: Mapping[str, str]) -> StartPlan:
    content = {"dependencies": {"express": "^4"}, **package}
    for name, text in {"package.json": json.dumps(content), "server.js": SERVER, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return detect(folder)


def steps(folder: Path, scripts: Mapping[str, str], files: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    plan = plan_of(folder, {"scripts": {"start": "node server.js", **scripts}}, files)
    return [(step.name, step.argv) for step in plan.steps]


MAKE, FILL = ("init", ("node", "initDb.js")), ("seed", ("node", "db/seed.js"))


@pytest.mark.parametrize(
    ("scripts", "found"),
    [
        ({"seed": "node db/seed.js"}, [FILL]),
        ({"seed": "cross-env A=1 node ./db/seed --many"}, [("seed", ("node", "db/seed.js", "--many"))]),
        ({"db:seed": "node db/seed.js", "db:init": "node initDb.js"}, [MAKE, FILL]),
        ({"setup": "node initDb.js && npm run fill", "fill": "node db/seed.js"}, [MAKE, FILL]),
        ({"prestart": "node initDb.js"}, [MAKE]),
        ({"start": "node initDb.js && node server.js"}, [MAKE]),
        # The script's name tells the purpose of a file that has no telling name.
        ({"db:init": "node other.js"}, [("init", ("node", "other.js"))]),
        # Nothing there, a server, another purpose, a loop
        ({"seed": "node db/gone.js"}, []),
        ({"seed": "node server.js"}, []),
        ({"seed": "docker compose exec db psql < a.sql"}, []),
        ({"seed": "node db/seed.js $COUNT"}, []),
        ({"db:drop": "node db/seed.js"}, []),
        ({"start": "node server.js", "build": "node other.js"}, []),
        ({"seed": "npm run seed:all", "seed:all": "npm run seed"}, []),
    ],
)
def test_scripts_that_make_tables_or_data_are_steps(
    tmp_path: Path, scripts: Mapping[str, str], found: list[tuple[str, tuple[str, ...]]]
) -> None:
    files = {"db/seed.js": "", "initDb.js": "", "other.js": ""}
    assert steps(tmp_path, scripts, files) == found


def test_a_readme_names_a_file(tmp_path: Path) -> None:
    files = {
        "scripts/initDb.js": "",
        "seed.js": "",
        "README.md": "```sh\nnpm install\nnode scripts/initDb.js\nnode seed\n```\n",
    }
    assert steps(tmp_path, {}, files) == [("init", ("node", "scripts/initDb.js")), ("seed", ("node", "seed.js"))]


def test_knex_fills_its_tables_after_the_migrations(tmp_path: Path) -> None:
    package = {
        "dependencies": {"express": "4", "knex": "3", "sqlite3": "5"},
        "scripts": {"start": "node server.js", "migrate": "knex migrate:latest", "seed": "knex seed:run"},
    }
    plan = plan_of(tmp_path, package, KNEX)
    assert [step.argv for step in plan.steps] == [("knex", "migrate:latest"), ("knex", "seed:run")]


def test_prisma_fills_its_tables_by_its_own_seed(tmp_path: Path) -> None:
    package = {
        "dependencies": {"express": "4", "@prisma/client": "6"},
        "devDependencies": {"prisma": "6", "tsx": "4"},
        "prisma": {"seed": "tsx prisma/seed.ts"},
    }
    plan = plan_of(tmp_path, package, {"prisma/schema.prisma": SCHEMA, "prisma/seed.ts": ""})
    assert [step.argv[:2] for step in plan.steps][1:] == [("prisma", "db"), ("tsx", "prisma/seed.ts")]


def test_drizzle_makes_its_tables_again_when_the_schema_changes(tmp_path: Path) -> None:
    package = {"dependencies": {"express": "4", "drizzle-orm": "1"}, "devDependencies": {"drizzle-kit": "1"}}
    files = {"drizzle.config.ts": "export default {dialect: 'sqlite'}", "schema.ts": "sqliteTable('a')"}
    first = plan_of(tmp_path, package, files).steps
    assert [step.argv for step in first] == [("drizzle-kit", "push", "--force")]
    assert plan_of(tmp_path, package, {"schema.ts": "sqliteTable('b')"}).steps != first


def test_drizzle_makes_the_tables_of_a_package_that_the_application_requires(tmp_path: Path) -> None:
    package = {"private": True, "workspaces": ["apps/*", "packages/*"]}
    files = {
        "apps/api/package.json": '{"dependencies": {"express": "4", "@shop/db": "*"}, "main": "a.js"}',
        "apps/api/a.js": SERVER,
        "packages/db/package.json": '{"name": "@shop/db", "main": "index.js", "devDependencies": {"drizzle-kit": "1"}}',
        "packages/db/index.js": "",
        "packages/db/drizzle.config.ts": "export default {dialect: 'sqlite'}",
        "packages/other/package.json": '{"name": "@shop/other"}',
        "packages/other/drizzle.config.ts": "export default {dialect: 'sqlite'}",
    }
    found = [(step.argv, step.directory) for step in plan_of(tmp_path, package, files).steps]
    assert found == [(("drizzle-kit", "push", "--force"), "packages/db")]


def test_nothing_fills_a_server(tmp_path: Path) -> None:
    package = {"dependencies": {"express": "4", "mongoose": "8"}, "scripts": {"seed": "node seed.js"}}
    server = "require('mongoose').connect(process.env.MONGO_URI);\n" + SERVER
    plan = plan_of(tmp_path, package, {"server.js": server, "seed.js": ""})
    assert plan.steps == ()
    assert any("`node seed.js` is not run: it writes to MongoDB" in one for one in plan.decisions)
