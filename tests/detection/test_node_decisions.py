"""What single lines of a Node project decide about its start: flags, readers, variables, databases and services."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from preview.detection import detect
from preview.detection.node import detect_node
from preview.detection.node.address_uses import find_address_uses
from preview.detection.node.environment_helpers import helper_reads
from preview.detection.node.environment_reads import environment_reads
from preview.detection.overrides.given import Overrides
from preview.detection.plan import StartPlan
from preview.detection.settings.model import Kind, Need
from preview.detection.supplied.parts import Part
from preview.sources import Sources
from preview.sources.javascript import JavaScriptTrees

SERVER = "const express = require('express');\nconst app = express();\napp.listen(process.env.PORT || 3000);\n"
MODULE = "import express from 'express';\nexpress().listen(3000);\n"


def folder_of(folder: Path, package: Mapping[str, object], files: Mapping[str, str]) -> Path:
    """A project with one package at its top, which serves."""
    content = {"main": "server.js", "dependencies": {"express": "^4"}, **package}
    for name, text in {"package.json": json.dumps(content), "server.js": SERVER, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def plan_of(folder: Path, package: Mapping[str, object], files: Mapping[str, str]) -> StartPlan:
    plan = detect_node(Sources(folder_of(folder, package, files)), None, Overrides())
    assert plan is not None
    return plan


def needing(*names: str) -> dict[str, object]:
    return {"dependencies": {"express": "^4", **dict.fromkeys(names, "^1.0.0")}}


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("node -r ./setup server.js", ("-r", "./setup")),
        ("node -r ./missing server.js", ()),
        ("node --import @scope/hook/register server.js", ("--import", "@scope/hook/register")),
        ("node -r unknown/register server.js", ()),
        ("node -r ts-node/register server.js", ()),
        ("NODE_OPTIONS='--no-warnings --inspect' node server.js", ("--no-warnings",)),
        ("NODE_OPTIONS='--no-warnings \"open' node server.js", ("--no-warnings",)),
        ("NODE_OPTIONS=--no-deprecation node server.js", ("--no-deprecation",)),
        ("node --env-file=local.env server.js", ("--env-file=local.env",)),
        ("node --env-file=absent.env server.js", ()),
    ],
)
def test_flags_are_kept_where_they_would_work(tmp_path: Path, start: str, expected: tuple[str, ...]) -> None:
    package = {"scripts": {"start": start}, **needing("@scope/hook")}
    plan = plan_of(tmp_path, package, {"setup.js": "", "local.env": "A=1\n"})
    assert plan.command == (*expected, "server.js")


def test_modules_without_a_declaration_are_read_by_tsx(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {}, {"server.js": MODULE})
    assert plan.command == ("--import", "tsx", "server.js")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("babel-core", ("-r", "babel-register")),
        ("@babel/core", ("-r", "@babel/register")),
        ("lodash", ("--import", "tsx")),
    ],
)
def test_babel_is_used_in_the_version_that_is_declared(
    tmp_path: Path, declared: str, expected: tuple[str, ...]
) -> None:
    plan = plan_of(tmp_path, {"babel": {"presets": []}, **needing(declared)}, {"server.js": MODULE})
    assert plan.command == (*expected, "server.js")


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        (MODULE, "@babel/core", ("-r", "@babel/register", "bin/www.js")),
        (MODULE, "lodash", ("--import", "tsx", "bin/www.js")),
        ("require('http').createServer().listen(process.env.PORT)\n", "lodash", ("bin/www",)),
    ],
)
def test_a_script_without_an_ending_gets_one_where_a_loader_reads_it(
    tmp_path: Path, text: str, declared: str, expected: tuple[str, ...]
) -> None:
    package = {"babel": {"presets": []}, "scripts": {"start": "node ./bin/www"}, **needing(declared)}
    plan = plan_of(tmp_path, package, {"bin/www": text})
    assert plan.command == expected
    steps = [step for step in plan.steps if step.name == "entry file"]
    assert bool(steps) is (expected[-1] == "bin/www.js")
    for step in steps:
        subprocess.run(step.argv, cwd=tmp_path / step.directory, check=True)
        assert (tmp_path / "bin/www.js").read_text() == text


def test_the_compiler_options_with_paths_are_the_ones_that_are_used(tmp_path: Path) -> None:
    files = {
        "src/main.ts": MODULE,
        "tsconfig.json": '{"compilerOptions": {"strict": true}}',
        "tsconfig.app.json": '{"compilerOptions": {"paths": {"@/*": ["src/*"]}}}',
        "tsconfig.build.json": '{"compilerOptions": {"strict": false}}',
    }
    plan = plan_of(tmp_path, {"scripts": {"start": "tsx src/main.ts"}}, files)
    assert plan.variables["TSX_TSCONFIG_PATH"].value == "tsconfig.app.json"


@pytest.mark.parametrize(
    ("names", "files", "argv"),
    [
        (("sequelize-cli", "sqlite3"), {"config/config.json": '{"dialect": "sqlite"}'}, ("sequelize", "db:migrate")),
        (("sequelize-cli", "sqlite3"), {"config/config.json": '{"dialect": "mysql"}'}, None),
        (("sequelize-cli", "sqlite3"), {".sequelizerc": ""}, ("sequelize", "db:migrate")),
        (("sequelize-cli", "sqlite3"), {}, None),
        (("knex",), {"knexfile.js": "module.exports = {client: 'better-sqlite3'};"}, ("knex", "migrate:latest")),
        (("knex",), {"knexfile.js": "module.exports = {client: 'pg'};"}, None),
    ],
)
def test_migrations_are_run_where_the_database_is_a_file(
    tmp_path: Path, names: tuple[str, ...], files: dict[str, str], argv: tuple[str, ...] | None
) -> None:
    plan = plan_of(tmp_path, needing(*names), {"migrations/001.js": "exports.up = () => 1;\n", **files})
    assert [step.argv for step in plan.steps] == ([argv] if argv else [])


_SYNCING = "const { sequelize } = require('./models');\nsequelize.sync().then(() => require('./app').listen(80));\n"


@pytest.mark.parametrize(
    ("said", "runs"),
    [
        ({}, False),
        ({"README.md": "Run `npx sequelize-cli db:migrate` first."}, True),
        ({"Dockerfile": "FROM node\nCMD npx sequelize db:migrate && npm start"}, True),
    ],
)
def test_migrations_that_nothing_names_leave_the_tables_to_a_program_that_syncs(
    tmp_path: Path, said: dict[str, str], runs: bool
) -> None:
    files = {"config/config.json": '{"dialect": "sqlite"}', "migrations/001.js": "exports.up = () => 1;\n",
             "index.js": _SYNCING, "models/index.js": "exports.sequelize = null;\n", **said}  # fmt: skip
    plan = plan_of(tmp_path, {"main": "index.js", **needing("sequelize-cli", "sequelize", "sqlite3")}, files)
    assert [step.argv for step in plan.steps] == ([("sequelize", "db:migrate")] if runs else [])


@pytest.mark.parametrize(
    ("file", "more", "package"),
    [
        ("models/main.prisma", {}, {}),
        ("models/main.prisma", {}, {"prisma": {"schema": "./models/main.prisma"}}),
        ("prisma/schema.prisma", {"prisma/migrations/1/migration.sql": "SELECT 1;"}, {}),
    ],
)
def test_a_schema_is_found_wherever_it_is(
    tmp_path: Path, file: str, more: dict[str, str], package: dict[str, object]
) -> None:
    schema = 'datasource db {\n provider = "sqlite"\n url = "file:./dev.db"\n}\n'
    plan = plan_of(tmp_path, {**needing("prisma"), **package}, {file: schema, **more})
    assert [step.argv[1] for step in plan.steps] == [file, "migrate" if more else "db"]
    assert plan.extra_requirements == ()
    assert "DATABASE_URL" not in plan.variables


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("const x = process.env['SITE_KEY'];", [("SITE_KEY", Need.OPTIONAL, None)]),
        ("const x = process.env[name];", []),
        ("process.env.SITE_KEY = 'a';", []),
        ("const x = process.env.SITE_KEY!;", [("SITE_KEY", Need.REQUIRED, None)]),
        ("const x = (process.env.SITE_KEY as string);", [("SITE_KEY", Need.REQUIRED, None)]),
        ("const x = process.env.SITE_KEY ?? 5;", [("SITE_KEY", Need.DEFAULTED, "5")]),
        ("const x = process.env.SITE_KEY || `a`;", [("SITE_KEY", Need.DEFAULTED, "a")]),
        ("const x = process.env.SITE_KEY || `a${b}`;", [("SITE_KEY", Need.DEFAULTED, None)]),
        ("const x = other || process.env.SITE_KEY;", [("SITE_KEY", Need.OPTIONAL, None)]),
        ("const x = process.env.SITE_KEY === 'on';", [("SITE_KEY", Need.DEFAULTED, None)]),
        ("const x = process.env.SITE_KEY ? 1 : 2;", [("SITE_KEY", Need.DEFAULTED, None)]),
        ("const x = process.env.SITE_KEY.split(',');", [("SITE_KEY", Need.REQUIRED, None)]),
        ("if (!process.env.SITE_KEY) throw new Error('no');", [("SITE_KEY", Need.REQUIRED, None)]),
        ("if (!process.env.SITE_KEY || bad) { process.exit(1); }", [("SITE_KEY", Need.REQUIRED, None)]),
        ("if (!process.env.SITE_KEY) console.log('none');", [("SITE_KEY", Need.OPTIONAL, None)]),
        ("const off = !process.env.SITE_KEY;", [("SITE_KEY", Need.OPTIONAL, None)]),
        # The end of the program is that of a function, which may never be called.
        (
            "if (!process.env.SITE_KEY) { serve(app); migrate().catch(() => { process.exit(1); }); }",
            [("SITE_KEY", Need.OPTIONAL, None)],
        ),
        (
            "if (!process.env.SITE_KEY) { try { tell(); } finally { process.exit(1); } }",
            [("SITE_KEY", Need.REQUIRED, None)],
        ),
        (
            "const { SITE_KEY, PAGE_SIZE = 3, lower } = process.env;",
            [("SITE_KEY", Need.OPTIONAL, None), ("PAGE_SIZE", Need.DEFAULTED, "3")],
        ),
        (
            "for (const n of ['SITE_KEY', 'PLAIN', 5]) if (!process.env[n]) throw n;",
            [("SITE_KEY", Need.REQUIRED, None)],
        ),
        ("configService.get('SITE_KEY'); // configService", [("SITE_KEY", Need.OPTIONAL, None)]),
        ("configService.get('SITE_KEY', 'a');", [("SITE_KEY", Need.DEFAULTED, None)]),
        ("const k = process.env.SITE_KEY ?? requireDefined(base.key);", [("SITE_KEY", Need.REQUIRED, None)]),
        ("const k = process.env.SITE_KEY || errors.throwMissing('k');", [("SITE_KEY", Need.REQUIRED, None)]),
        ("const k = process.env.SITE_KEY ?? (() => { throw new Error('k') })();", [("SITE_KEY", Need.REQUIRED, None)]),
        ("const k = process.env.SITE_KEY ?? require('./base').key;", [("SITE_KEY", Need.DEFAULTED, None)]),
        ("const k = process.env.SITE_KEY ?? requiredKey;", [("SITE_KEY", Need.DEFAULTED, None)]),
        ("const k = process.env.SITE_KEY ?? mustache('{{a}}');", [("SITE_KEY", Need.DEFAULTED, None)]),
        ("configService.get('SITE_KEY', { infer: true });", [("SITE_KEY", Need.OPTIONAL, None)]),
        ("configService.getOrThrow('SITE_KEY');", [("SITE_KEY", Need.REQUIRED, None)]),
        ("configService.get('site.key'); configService.set('A_B');", []),
        ("const env = require('env-var'); env.get('SITE_KEY').required().asString();",
         [("SITE_KEY", Need.REQUIRED, None)]),
        ("Type.Object({ SITE_KEY: Type.String(), A_B: Type.Optional(Type.String()), C_D: Type.Number({default: 1}) });",
         [("SITE_KEY", Need.REQUIRED, None), ("A_B", Need.OPTIONAL, None), ("C_D", Need.DEFAULTED, None)]),
        (("import { t } from 'elysia'; const s = t.Object({ SITE_KEY: t.String(), A_B: t.Optional(t.String()), "
         "C_D: t.Number({default: 1}) });"),
         [("SITE_KEY", Need.REQUIRED, None), ("A_B", Need.OPTIONAL, None), ("C_D", Need.DEFAULTED, None)]),
        ("import { Config } from 'effect'; Config.string('SITE_KEY'); configService.get('A_B');",
         [("SITE_KEY", Need.REQUIRED, None), ("A_B", Need.OPTIONAL, None)]),
        ("const t = require('./texts'); const s = t.Object({ SITE_KEY: t.String() });", []),
        (("require('@fastify/env'); const s = { required: ['SITE_KEY'], properties: { SITE_KEY: { type: 'string' }, "
         "A_B: { type: 'number' }, C_D: { type: 'string', default: 'a' } } };"),
         [("SITE_KEY", Need.REQUIRED, None), ("A_B", Need.OPTIONAL, None), ("C_D", Need.DEFAULTED, None)]),
        ("const s = { required: ['SITE_KEY'], properties: { SITE_KEY: { type: 'string' } } };", []),
    ],
)  # fmt: skip
def test_a_read_says_whether_the_variable_is_needed(
    tmp_path: Path, source: str, expected: list[tuple[str, Need, str | None]]
) -> None:
    (tmp_path / "a.ts").write_text(source)
    reads = environment_reads(JavaScriptTrees(Sources(tmp_path)), ["a.ts"])
    assert [(read.name, read.need, read.default) for read in reads] == expected


READER = """
const read = (key, fallback) => {
  const value = process.env[key];
  if (value === undefined) throw new Error(`process.env.${key} is missing`);
  return value;
};
exports.read = read;
"""


@pytest.mark.parametrize(
    ("helper", "source", "expected"),
    [
        (READER, "read('SITE_KEY'); read('PAGE_SIZE', 10); read('site'); read(name)",
         [("SITE_KEY", Need.REQUIRED, None), ("PAGE_SIZE", Need.DEFAULTED, "10")]),
        (READER, "tools.read('SITE_KEY')", [("SITE_KEY", Need.REQUIRED, None)]),
        ("function env(name: string): string { return process.env[name] ?? '' }", "env('SITE_KEY')",
         [("SITE_KEY", Need.OPTIONAL, None)]),
        ("class Config { must(key: string) { if (!process.env[key]) process.exit(1) } }", "config.must('SITE_KEY')",
         [("SITE_KEY", Need.REQUIRED, None)]),
        ("class Check { static must = (key: string) => { if (!process.env[key]) throw new Error(key) } }",
         "Check.must('SITE_KEY')", [("SITE_KEY", Need.REQUIRED, None)]),
        ("class Check { static must(key) { const x = process.env[key as string]; if (!x) throw Error(key) } }",
         "const all = [Check.must('SITE_KEY'), Check.must('PAGE_SIZE')]",
         [("SITE_KEY", Need.REQUIRED, None), ("PAGE_SIZE", Need.REQUIRED, None)]),
        ("const list = names.map(name => process.env[name])", "map('SITE_KEY')", []),
        ("function other(key) { return process.env[fixed] }", "other('SITE_KEY')", []),
    ],
)  # fmt: skip
def test_calls_of_a_function_around_the_environment_name_variables(
    tmp_path: Path, helper: str, source: str, expected: list[tuple[str, Need, str | None]]
) -> None:
    (tmp_path / "env.ts").write_text(helper)
    (tmp_path / "a.ts").write_text(source)
    reads = helper_reads(JavaScriptTrees(Sources(tmp_path)), ["a.ts", "env.ts"])
    assert [(read.name, read.need, read.default) for read in reads] == expected


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("const x = parseInt(process.env.SITE_KEY, 10);", Kind.INTEGER),
        ("const x = Number.parseFloat(process.env.SITE_KEY);", Kind.NUMBER),
        ("const x = connect(process.env.SITE_KEY);", Kind.TEXT),
        ("const envalid = 1; cleanEnv(process.env, { SITE_KEY: port() });", Kind.INTEGER),
        ("cleanEnv(process.env, { SITE_KEY: bool() });", Kind.BOOLEAN),
        ("cleanEnv(process.env, { SITE_KEY: email() });", Kind.EMAIL),
        ("cleanEnv(process.env, { SITE_KEY: url() });", Kind.URL),
        ("cleanEnv(process.env, { SITE_KEY: json() });", Kind.OBJECT),
        ("cleanEnv(process.env, { SITE_KEY: str() });", Kind.TEXT),
        ("Type.Object({ SITE_KEY: Type.Integer() });", Kind.INTEGER),
        ("Type.Object({ SITE_KEY: Type.Boolean() });", Kind.BOOLEAN),
        ("require('env-schema'); const a = { SITE_KEY: { type: 'integer' } };", Kind.INTEGER),
    ],
)
def test_a_read_says_what_kind_of_value_is_wanted(tmp_path: Path, source: str, kind: Kind) -> None:
    (tmp_path / "a.ts").write_text(source)
    (read,) = environment_reads(JavaScriptTrees(Sources(tmp_path)), ["a.ts"])
    assert (read.name, read.kind) == ("SITE_KEY", kind)


def test_files_that_an_entry_loads_decide_what_is_installed(tmp_path: Path) -> None:
    package = {"devDependencies": {"eslint": "^8", "prettier": "^3"}}
    files = {
        "server.js": f"require('./lib/tool');\n{SERVER}",
        "lib/tool.js": "require('prettier');\nrequire('../server');\n",
    }
    assert plan_of(tmp_path, package, files).extra_requirements == ("prettier",)


def test_a_named_entry_is_looked_for_in_the_named_directory(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {}, {"api/tools/run.ts": MODULE, "api/package.json": json.dumps(needing())})
    plan = detect_node(Sources(folder), None, Overrides(app="tools/run.ts", directory="api"))
    assert plan is not None
    assert (plan.directory, plan.command) == ("api", ("--import", "tsx", "tools/run.ts"))


@pytest.mark.parametrize(
    ("top", "more", "manifests"),
    [
        ({"workspaces": {"packages": ["./apps/**"]}}, {}, "."),
        ({"workspaces": ["libs/*"]}, {}, "apps/api"),
        ({}, {}, "apps/api"),
        ({}, {"pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n"}, "."),
    ],
)
def test_the_workspace_is_the_one_that_lists_the_package(
    tmp_path: Path, top: dict[str, object], more: dict[str, str], manifests: str
) -> None:
    member = {"main": "index.js", "dependencies": {"express": "^4"}}
    files = {"apps/api/package.json": json.dumps(member), "apps/api/index.js": SERVER, "package.json": json.dumps(top)}
    for name, text in {**files, **more}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = detect_node(Sources(tmp_path), None, Overrides())
    assert plan is not None
    assert (plan.directory, plan.manifests) == ("apps/api", manifests)


@pytest.mark.parametrize(
    ("value", "top", "manifests"),
    [
        ("file:../../packages/shared", None, "."),
        ("link:../shared", None, "services"),
        ("file:../../packages/shared", {"scripts": {"x": "y"}}, "."),
        # npm would install what the root requires too.
        ("file:../../packages/shared", {"dependencies": {"left-pad": "1"}}, "services/api"),
        ("file:../../../elsewhere", None, "services/api"),
        ("file:../../packages/none", None, "services/api"),
        ("file:./vendor/shared", None, "services/api"),
    ],
)
def test_the_root_is_above_the_packages_that_paths_name(
    tmp_path: Path, value: str, top: dict[str, object] | None, manifests: str
) -> None:
    member = {"main": "index.js", "dependencies": {"express": "^4", "shared": value}}
    files = {"services/api/package.json": json.dumps(member), "services/api/index.js": SERVER}
    files |= {f"{folder}/package.json": '{"name": "shared"}' for folder in ("packages/shared", "services/shared")}
    files |= {"services/api/vendor/shared/package.json": "{}"}
    if top is not None:
        files["package.json"] = json.dumps(top)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    plan = detect_node(Sources(tmp_path), None, Overrides())
    assert plan is not None
    assert (plan.directory, plan.manifests) == ("services/api", manifests)


@pytest.mark.parametrize(("path", "expected"), [("/health", "/health"), ("/items", None)])
def test_a_health_path_is_found_where_the_application_has_one(tmp_path: Path, path: str, expected: str | None) -> None:
    source = SERVER.replace("app.listen", f"app.get('{path}', (req, res) => res.send('ok'));\napp.listen")
    assert detect(folder_of(tmp_path, {}, {"server.js": source})).health_path == expected


@pytest.mark.parametrize(
    ("package", "source", "address", "at_startup"),
    [
        ("mongoose", "mongoose.connect(process.env.MONGO_URI || 'mongodb://db:27018').catch(a);", ("db", 27018), False),
        ("mongoose", "mongoose.connect('mongodb://[broken').catch(log);", ("localhost", 27017), False),
        ("mongoose", "mongoose.connect('mongodb://db/x').then(() => app.listen(1)).catch(log);", ("db", 27017), True),
        ("ioredis", "const cache = new Redis();", ("localhost", 6379), False),
        ("pg", "new Client('postgres://db.lan/shop').connect().catch(log);", ("db.lan", 5432), False),
        ("pg", "new Client({connectionString: 'postgresql://db.lan:5433/shop'}).connect().catch(log);",
         ("db.lan", 5433), False),
        ("ioredis", "const unused = 1;", None, False),
    ],
)  # fmt: skip
def test_a_service_is_known_by_its_connection(
    tmp_path: Path, package: str, source: str, address: tuple[str, int] | None, at_startup: bool
) -> None:
    plan = plan_of(tmp_path, needing(package), {"server.js": f"const lib = require('{package}');\n{source}\n{SERVER}"})
    assert [(need.address, need.at_startup) for need in plan.services] == ([(address, at_startup)] if address else [])


@pytest.mark.parametrize(
    ("source", "files", "value"),
    [
        ("process.env.SITE_KEY;", {"config/config.env": "SITE_KEY=abc\n"}, "abc"),
        ("config({ path: './keys/local.env' }); process.env.SITE_KEY;", {"keys/local.env": "SITE_KEY=d\n"}, "d"),
        ("process.env.SITE_KEY; process.env.SITE_KEY || 'a';", {}, None),
        ("process.env.SITE_URL;", {".env.example": "SITE_URL=http://<user>:<password>@db\n"}, "http://localhost"),
        ("const j = require('joi'); s = { SITE_MODE: Joi.string().valid('a', 'b').required() }; process.env;",
         {".env.example": "SITE_MODE=c\n"}, "a"),
        ("process.env.DATABASE_URL;", {}, None),
        ("const e = require('envalid'); cleanEnv(process.env, { SITE_FLAG: bool() });", {}, "false"),
        ("process.env.SALT_ROUNDS!;", {}, "10"),
        ("process.env.JWT_EXPIRES_IN;", {}, "1d"),
        ("process.env.JWT_EXPIRES_MINUTES;", {}, "30"),
        ("process.env.STRIPE_SECRET_KEY;", {}, "sk_test_preview"),
        ("process.env.PAGE_COLOR;", {}, None),
    ],
)  # fmt: skip
def test_a_variable_gets_a_value_that_the_program_accepts(
    tmp_path: Path, source: str, files: dict[str, str], value: str | None
) -> None:
    plan = plan_of(tmp_path, {"main": "server.ts"}, {"server.ts": f"{SERVER}{source}\n", **files})
    assert [item.value for item in plan.variables.values()] == ([] if value is None else [value])


DATA_SOURCE = "export const source = new DataSource({type: 'better-sqlite3', migrations: ['migration/*.js']});\n"


@pytest.mark.parametrize(
    ("source", "planned"),
    [
        (DATA_SOURCE, True),
        (DATA_SOURCE.replace("better-sqlite3", "postgres"), False),
        (DATA_SOURCE.replace("migrations:", "migrationsRun: true, migrations:"), False),
        (DATA_SOURCE.replace("migrations:", "synchronize: true, migrations:"), False),
        (DATA_SOURCE.replace("migrations:", "entities:"), False),
        (DATA_SOURCE.replace("export ", ""), False),
    ],
)
def test_typeorm_migrates_where_the_application_does_not(tmp_path: Path, source: str, planned: bool) -> None:
    files = {"src/data.js": source, "migration/1-first.js": "exports.up = () => 1;\n"}
    plan = plan_of(tmp_path, needing("typeorm", "better-sqlite3"), files)
    cli = ("node", "--preserve-symlinks-main", "node_modules/typeorm/cli.js", "migration:run", "-d", "src/data.js")
    assert [step.argv for step in plan.steps] == ([cli] if planned else [])


@pytest.mark.parametrize(
    ("script", "planned"),
    [
        ("typeorm migration:run -d dist/data.js", True),
        ("typeorm --dataSource=dist/data.js", True),
        ("node x.js", False),
    ],
)
def test_a_data_source_that_a_script_names_may_leave_its_kind_to_another_file(
    tmp_path: Path, script: str, planned: bool
) -> None:
    text = "export default new DataSource({...options(), migrations: ['migrations/*.js']});\n"
    files = {"src/data.js": text, "migrations/1-first.js": "exports.up = () => 1;\n"}
    package = {**needing("typeorm", "better-sqlite3"), "scripts": {"migrate": script}}
    assert bool(plan_of(tmp_path, package, files).steps) is planned


# As a provider of NestJS has it: TypeORM's command finds no data source among the exports.
PROVIDER = """exports.providers = [{ useFactory: async () => {
    const source = new DataSource({type: 'better-sqlite3', migrations: ['migration/*.js']});
    return source.initialize();
  } }];
"""


@pytest.mark.parametrize(
    ("source", "scripts"),
    [
        ("export default new DataSource({type: 'better-sqlite3', migrations: ['migration/*.js']});\n", {}),
        (DATA_SOURCE, {}),
        ("const a = new DataSource({type: 'better-sqlite3', migrations: ['m/*.js']});\nmodule.exports = { a };\n", {}),
        (PROVIDER, {"migrate": "NODE_OPTIONS=-r npm run typeorm migration:run -- -d ./typeOrm.config.js"}),
    ],
)
def test_a_data_source_that_is_exported_or_named_comes_before_one_that_a_function_makes(
    tmp_path: Path, source: str, scripts: dict[str, str]
) -> None:
    files = {
        "src/providers.js": PROVIDER,
        "typeOrm.config.js": source,
        "migration/1-first.js": "exports.up = () => 1;\n",
        "server.js": f"require('./src/providers');\n{SERVER}",
    }
    (step,) = plan_of(tmp_path, {**needing("typeorm", "better-sqlite3"), "scripts": scripts}, files).steps
    assert step.argv[-2:] == ("-d", "typeOrm.config.js")


def test_an_application_that_runs_its_migrations_itself_needs_no_step(tmp_path: Path) -> None:
    server = f"require('./src/data').source.initialize().then((it) => it.runMigrations());\n{SERVER}"
    files = {"src/data.js": DATA_SOURCE, "migration/1-first.js": "exports.up = () => 1;\n", "server.js": server}
    assert plan_of(tmp_path, needing("typeorm", "better-sqlite3"), files).steps == ()


@pytest.mark.parametrize(
    "url", ["env('SHOP_URL')", 'env("SHOP_URL")', "process.env.SHOP_URL", "process.env['SHOP_URL']"]
)
def test_prismas_address_is_read_from_its_configuration_too(tmp_path: Path, url: str) -> None:
    files = {
        "prisma/schema.prisma": 'datasource db {\n provider = "sqlite"\n}\n',
        "prisma.config.ts": f"export default defineConfig({{ datasource: {{ url: {url} }} }});\n",
    }
    assert plan_of(tmp_path, needing("prisma"), files).variables["SHOP_URL"].value == "file:{database_path}"


@pytest.mark.parametrize(
    "source",
    [
        "new Pool({ connectionString: `postgres://\x009\x00:a@b/${process.env.X}` })",
        "new Pool(" + "{ a: " * 200 + "process.env.X" + " }" * 200 + ")",
        "new Pool(config." + "a." * 500 + "b)",
        "const {} = process.env; const { ...rest } = process.env; new Sequelize(); new Pool(...rest)",
        "new Client({ port: process.env.PORT, host: process.env['a b'] })",
        "exports.a = process.env.X".replace("a", "a" * 10_000) + "; new Pool({ host: c." + "a" * 10_000 + " })",
    ],
)
def test_uses_of_variables_in_odd_sources_are_read_without_an_error(tmp_path: Path, source: str) -> None:
    (tmp_path / "a.js").write_text(source)
    found = find_address_uses(JavaScriptTrees(Sources(tmp_path)), ["a.js"])
    assert set(found) <= {"X"}


def test_typed_options_of_a_mapper_in_a_file_of_their_own_name_its_variables(tmp_path: Path) -> None:
    keys = "export const KIND = process.env.DB_KIND\nexport const WHERE = process.env.DB_WHERE\n"
    options = (
        "import { ConnectionOptions } from 'typeorm';\nimport { KIND, WHERE } from './keys';\n"
        "export const options: ConnectionOptions = { type: KIND as 'postgres', host: WHERE, synchronize: true };\n"
    )
    (tmp_path / "keys.ts").write_text(keys)
    (tmp_path / "options.ts").write_text(options)
    found = find_address_uses(JavaScriptTrees(Sources(tmp_path)), ["options.ts", "keys.ts"])
    assert {name: use.part for name, use in found.items()} == {"DB_KIND": Part.DIALECT, "DB_WHERE": Part.HOST}


def test_a_word_for_people_in_an_example_is_no_value_of_a_host(tmp_path: Path) -> None:
    files = {
        ".env.sample": "DB_HOST=DB호스트\nSHOP_NAME=가게\n",
        "server.js": f"{SERVER}connect(process.env.DB_HOST, process.env.SHOP_NAME)\n",
    }
    plan = plan_of(tmp_path, {}, files)
    assert plan.variables["SHOP_NAME"].value == "가게"
    assert plan.variables["DB_HOST"].value.isascii()


def test_an_example_that_only_says_what_it_has_to_be_is_no_value(tmp_path: Path) -> None:
    files = {
        ".env.sample": "SHOP_URL=url\nSHOP_PORT=Port\nSHOP_NAME=url\n",
        "server.js": f"{SERVER}connect(process.env.SHOP_URL, process.env.SHOP_PORT, process.env.SHOP_NAME)\n",
    }
    variables = plan_of(tmp_path, {}, files).variables
    assert variables["SHOP_URL"].value.startswith("http://")
    assert "SHOP_PORT" not in variables or variables["SHOP_PORT"].value != "Port"
    assert variables["SHOP_NAME"].value == "url"


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ("'dev', 'prod'", "dev"),
        ("'development', 'prod'", None),
        ("'live', 'stage'", "live"),
        ("'dev', 'test', 'production'", "dev"),
    ],
)
def test_a_schema_without_the_usual_mode_gets_one_of_its_own(tmp_path: Path, options: str, mode: str | None) -> None:
    source = f"const {{ z }} = require('zod');\nz.object({{ NODE_ENV: z.enum([{options}]) }}).parse(process.env);\n"
    found = plan_of(tmp_path, needing("zod"), {"server.js": source + SERVER}).variables.get("NODE_ENV")
    assert (found.value if found is not None else None) == mode


CHECKED = "import { IsEnum, IsIn, IsNotEmpty } from 'class-validator';\nplainToInstance(E, process.env);\n"


@pytest.mark.parametrize(
    ("declared", "mode"),
    [
        (
            "enum Mode { Dev = 'local', Live = 'live' }\nclass E {\n @IsEnum(Mode)\n @IsNotEmpty()\n NODE_ENV!: Mode }",
            "local",
        ),
        ("class E { @IsIn(['dev', 'prod']) NODE_ENV: string }", "dev"),
        ("enum Mode { Dev = 'development', Live = 'live' }\nclass E { @IsEnum(Mode) NODE_ENV: Mode }", None),
        ("class E { @IsEnum(Elsewhere) NODE_ENV: Elsewhere }", None),
        ("enum Mode { A = 'a' }\nclass E { @IsEnum(Mode) SIZE: Mode; NODE_ENV: string }", None),
    ],
)
def test_the_mode_of_a_validated_class_is_one_that_it_knows(tmp_path: Path, declared: str, mode: str | None) -> None:
    files = {"server.js": SERVER, "env.ts": CHECKED + declared}
    found = plan_of(tmp_path, needing("class-validator"), files).variables
    assert (one.value if (one := found.get("NODE_ENV")) is not None else None) == mode


def test_variables_of_a_validated_class_get_values_of_their_kind(tmp_path: Path) -> None:
    fields = """
enum Store { Disk = 'disk', Cloud = 'cloud' }
class E {
  @IsNotEmpty() @IsString() UPLOADS: string;
  @IsInt() @Min(1) DAYS_KEPT!: number;
  @IsBooleanString() IS_OPEN: string;
  @IsEnum(Store) STORE: Store;
  @IsEmail() CONTACT: string;
  @MinLength(40) WORD_FOR_ALL: string;
  @IsOptional() @IsString() BADGE: string;
  @IsString() THEME?: string;
  @IsString() TITLE: string = 'Shop';
  @IsString() lower: string;
  NOT_CHECKED: string;
}
"""
    files = {"server.js": SERVER, "env.ts": CHECKED + fields, ".env.example": "UPLOADS=./kept\nBADGE=b\n"}
    found = plan_of(tmp_path, needing("class-validator"), files).variables
    own = {name: one.value for name, one in found.items() if one.where.startswith(("env.ts", ".env.example"))}
    assert own == {
        "UPLOADS": "./kept",
        "DAYS_KEPT": "30",
        "IS_OPEN": "false",
        "STORE": "disk",
        "CONTACT": "preview@example.com",
        "WORD_FOR_ALL": "preview".ljust(40, "0"),
        "BADGE": "b",
    }


def test_a_class_for_a_request_s_body_declares_no_variable(tmp_path: Path) -> None:
    text = "import { IsString } from 'class-validator';\nexport class Order { @IsString() SKU: string; }\n"
    assert "SKU" not in plan_of(tmp_path, needing("class-validator"), {"server.js": SERVER, "dto.ts": text}).variables


def test_an_example_that_is_too_short_for_the_schema_is_not_used(tmp_path: Path) -> None:
    source = "const { z } = require('zod');\nz.object({ SITE_KEY: z.string().min(32) }).parse(process.env);\n"
    files = {"server.js": source + SERVER, ".env.example": "SITE_KEY=some_super_key\n"}
    assert plan_of(tmp_path, needing("zod"), files).variables["SITE_KEY"].value == "{secret}"


@pytest.mark.timed
def test_a_call_that_is_the_whole_file_is_not_read_for_each_of_its_parts(tmp_path: Path) -> None:
    keys = "".join(f"k{number}: process.env.K{number},\n" for number in range(6_000))
    (tmp_path / "a.js").write_text(f"made({{{keys}}}, '{'a' * 350_000}');\n")
    started = time.process_time()
    assert find_address_uses(JavaScriptTrees(Sources(tmp_path)), ["a.js"]) == {}
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("code", "mode"),
    [
        ("load(`.env.${process.env.NODE_ENV || 'dev'}`);", "dev"),
        ("load(`.env.${process.env.NODE_ENV ?? 'local'}`);", "local"),
        ("load(`.env.${process.env.NODE_ENV || 'development'}`);", None),
        ("load(`.env.${process.env.NODE_ENV || 'production'}`);", None),
        ("load(process.env.NODE_ENV || 'dev'); if (process.env.NODE_ENV === 'development') log();", None),
        ("load(process.env.NODE_ENV || 'dev'); if (process.env['NODE_ENV'] !== 'development') log();", None),
        ("load(process.env.NODE_ENV || 'dev'); if (process.env.NODE_ENV === 'production') log();", "dev"),
    ],
)
def test_the_mode_is_the_one_that_the_sources_have_by_themselves(tmp_path: Path, code: str, mode: str | None) -> None:
    found = plan_of(tmp_path, needing("dotenv"), {"server.js": f"{code}\n{SERVER}"}).variables.get("NODE_ENV")
    assert (found.value if found is not None else None) == mode


@pytest.mark.parametrize(
    ("chain", "value"),
    [
        ("Joi.string().uri().default('http://localhost').required()", "http://localhost"),
        ("Joi.number().default(4000).required()", "4000"),
        ("Joi.string().valid('a', 'b').required().default('b')", "b"),
        ("Joi.string().default('http://localhost')", None),
        ("z.string().default('http://localhost')", None),
    ],
)
def test_joi_takes_no_default_for_what_it_requires(tmp_path: Path, chain: str, value: str | None) -> None:
    source = f"const Joi = require('joi');\nJoi.object({{ SHOP_URL: {chain} }}).validate(process.env);\n"
    found = plan_of(tmp_path, needing("joi"), {"server.js": source + SERVER}).variables.get("SHOP_URL")
    assert (found.value if found is not None else None) == value


@pytest.mark.parametrize("name", ["example-env.txt", "sample.env.txt"])
def test_an_example_file_may_be_a_text(tmp_path: Path, name: str) -> None:
    source = "const { z } = require('zod');\nz.object({ SHOP_KIND: z.string() }).parse(process.env);\n"
    files = {"server.js": source + SERVER, name: "SHOP_KIND=books\n"}
    assert plan_of(tmp_path, needing("zod"), files).variables["SHOP_KIND"].value == "books"


@pytest.mark.parametrize(
    ("declared", "lock", "arguments"),
    [
        ("^3.12.7", 'tsx@^3.12.7:\n  version "3.12.7"\n', ("-r", "tsx/preflight", "--loader", "tsx")),
        ("^3.12.7", 'tsx@^3.12.7:\n  version "3.14.0"\n', ("--import", "tsx")),
        ("^4.7.0", "", ("--import", "tsx")),
    ],
)
def test_an_old_tsx_is_loaded_as_it_was_then(
    tmp_path: Path, declared: str, lock: str, arguments: tuple[str, ...]
) -> None:
    package = {"scripts": {"dev": "tsx watch src/main.ts"}, "dependencies": {"express": "^4", "tsx": declared}}
    files = {"src/main.ts": SERVER, **({"yarn.lock": lock} if lock else {})}
    assert plan_of(tmp_path, package, files).command == (*arguments, "src/main.ts")
