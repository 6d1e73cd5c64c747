"""Node projects keep the server that they want, if the preview gets one of its kind."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from detection_kit import values_of, write

from preview.detection import Origin, ServiceKind, StartPlan, detect
from preview.detection.node.address_uses import find_address_uses
from preview.detection.node.environment_reads import environment_reads
from preview.sources import Sources
from preview.sources.javascript import JavaScriptTrees

POSTGRESQL, MYSQL, REDIS = ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.REDIS
ALL = frozenset({POSTGRESQL, MYSQL, REDIS})
OWN = "postgresql://preview:preview@localhost:5432/preview"
MY = "mysql://preview:preview@localhost:3306/preview"
LISTENS = "const app = require('express')();\napp.listen(process.env.PORT);\n"
PRISMA = 'datasource db {{\n  provider = "{}"\n  url = env("DATABASE_URL")\n  directUrl = env("DIRECT_URL")\n}}\n'


def node(source: str, *packages: str, **files: str) -> dict[str, str]:
    package = {"dependencies": dict.fromkeys(("express", *packages), "*"), "scripts": {"start": "node index.js"}}
    return {"package.json": json.dumps(package), "index.js": source + LISTENS, **files}


def supplied_plan(folder: Path, files: dict[str, str], kinds: frozenset[ServiceKind] = ALL) -> StartPlan:
    return detect(write(folder, files), None, None, kinds)


@dataclass(frozen=True)
class Case:
    name: str
    files: dict[str, str]
    values: dict[str, str]
    kinds: tuple[ServiceKind, ...] = (POSTGRESQL,)
    steps: tuple[str, ...] = field(default=())


CASES = [
    Case(
        "Prisma without migrations",
        node("", "prisma", "@prisma/client", **{"prisma/schema.prisma": PRISMA.format("postgresql")}),
        {"DATABASE_URL": OWN, "DIRECT_URL": OWN},
        steps=("prisma generate", "tables"),
    ),
    Case(
        "Prisma with migrations, a seed, and a server elsewhere in .env",
        {
            **node(
                "", "prisma", "@prisma/client", "bcrypt",
                **{
                    "prisma/schema.prisma": PRISMA.format("mysql"), "prisma/migrations/1_a/migration.sql": "",
                    "prisma/seed.js": "1", ".env": 'DATABASE_URL="mysql://a:b@aws.psdb.cloud/c?sslaccept=strict"\n',
                },
            ),
            "README.md": "```\nnode prisma/seed.js\n```\n",
        },
        {"DATABASE_URL": "mysql://a:b@localhost/c", "DIRECT_URL": MY},
        (MYSQL,),
        steps=("prisma generate", "migrations", "seed"),
    ),
    Case(
        "two addresses under one key, of which the client of Redis gets one",
        node(
            "const { z } = require('zod');\nconst IORedis = require('ioredis');\nconst config = require('./config');\n"
            "z.object({ DATABASE_URL: z.string().url(), REDIS_URL: z.string().url() }).parse(process.env);\n"
            "const open = (url, options) => new IORedis(url, options);\n",
            "prisma", "@prisma/client", "ioredis", "zod",
            **{
                "config.js": "module.exports = {\n"
                "  database: { url: process.env.DATABASE_URL || 'postgresql://a:b@localhost:5432/c' },\n"
                "  redis: { url: process.env.REDIS_URL || 'redis://localhost:6379' },\n};\n",
                "prisma/schema.prisma": PRISMA.format("postgresql"),
                ".env.example": "DATABASE_URL=postgresql://a:b@localhost:5432/c\nREDIS_URL=redis://localhost:6379\n",
            },
        ),
        {
            "DATABASE_URL": "postgresql://a:b@localhost:5432/c",
            "DIRECT_URL": OWN,
            "REDIS_URL": "redis://localhost:6379",
        },
        (POSTGRESQL, REDIS),
        steps=("prisma generate", "tables"),
    ),
    Case(
        "node-postgres and an example",
        node(
            "const { Pool } = require('pg');\nnew Pool({ connectionString: process.env.DATABASE_URL });\n", "pg",
            **{".env.example": "DATABASE_URL=postgres://user:password@localhost:5432/shop\n"},
        ),
        {"DATABASE_URL": "postgres://user:password@localhost:5432/shop"},
    ),
    Case(
        "node-postgres with nothing at all",
        node("const { Pool } = require('pg');\nnew Pool();\n", "pg"),
        {"DATABASE_URL": OWN},
    ),
    Case(
        "postgres.js, whose default is elsewhere",
        node(
            "const postgres = require('postgres');\n"
            "postgres(process.env.PG_URL || 'postgres://a:b@x.neon.tech/c?sslmode=require&a=1');\n", "postgres",
        ),
        {"PG_URL": "postgres://a:b@localhost/c?a=1", "DATABASE_URL": OWN},
    ),
    Case(
        "mysql2 in parts",
        node(
            "const mysql = require('mysql2');\nmysql.createPool({ host: process.env.DB_HOST, port: process.env.DB_PORT,"
            " user: process.env.DB_USER, database: process.env.DB_NAME || 'shop' });\n", "mysql2",
            **{".env": "DB_HOST=mysql.example.com\n"},
        ),
        {"DB_HOST": "localhost", "DB_PORT": "3306", "DB_USER": "preview", "DATABASE_URL": MY},
        (MYSQL,),
    ),
    Case(
        "An address in settings of its own, under names that tell nothing",
        node(
            "const settings = require('./config');\nconst { Pool } = require('pg');\n"
            "new Pool({ connectionString: `${settings.store.place}` });\n", "pg",
            **{"config/index.js": "const all = { store: { place: process.env.STORE } };\nmodule.exports = all;\n"},
        ),
        {"STORE": OWN, "DATABASE_URL": OWN},
    ),
    Case(
        "Functions of other packages that have a driver's names",
        node(
            "const { createClient } = require('@supabase/supabase-js');\nconst { Client } = require('discord.js');\n"
            "createClient(process.env.SUPABASE_URL, process.env.SUPABASE_ANON);\n"
            "new Client({ host: process.env.VOICE, user: process.env.BOT });\n",
            "redis", "pg", "@supabase/supabase-js", "discord.js",
        ),
        {"SUPABASE_URL": "http://localhost", "DATABASE_URL": OWN},
        (POSTGRESQL, REDIS),
    ),
    Case(
        "Parts of an address in a template, with a host that the server listens at too",
        node(
            "const user = process.env.OWNER || 'shop';\nconst { Sequelize } = require('sequelize');\n"
            "new Sequelize(`postgres://${user}:${process.env.PASS}@${process.env.HOST}:5432/${process.env.SHOP}`);\n"
            "require('http').createServer().listen(process.env.PORT, process.env.HOST || 'localhost');\n",
            "pg", "sequelize",
        ),
        {"HOST": "localhost", "PASS": "preview", "SHOP": "preview", "DATABASE_URL": OWN},
    ),
    Case(
        "Settings that are handed over whole, and Sequelize's three texts with a dialect",
        node(
            "const { db, other } = require('./config');\nconst { Sequelize } = require('sequelize');\n"
            "new Sequelize(db.base, db.owner, db.pass, { host: db.at, port: db.gate, dialect: db.kind });\n"
            "require('mysql2').createPool(other);\n",
            "mysql2", "sequelize",
            **{
                "config.js": "exports.db = { base: process.env.A1, owner: process.env.A2, pass: process.env.A3,"
                " at: process.env.A4, gate: Number(process.env.A5), kind: process.env.A6 };\n"
                "exports.other = { host: process.env.B1, user: process.env.B2 || 'root', database: process.env.B3 };\n",
            },
        ),
        {
            "A1": "preview", "A2": "preview", "A3": "preview", "A4": "localhost", "A5": "3306", "A6": "mysql",
            "B1": "localhost", "B3": "preview", "DATABASE_URL": MY,
        },
        (MYSQL,),
    ),
    Case(
        "Sequelize with a configuration of its own",
        node(
            "const { Sequelize } = require('sequelize');\n"
            "new Sequelize('a', 'b', 'c', { host: 'db', dialect: 'mysql' });\n", "sequelize", "sequelize-cli", "mysql2",
            **{"config/config.json": '{"development": {"dialect": "mysql"}}', "migrations/1-a.js": ""},
        ),
        {"DATABASE_URL": MY},
        (MYSQL,),
        steps=("migrations",),
    ),
    Case(
        "Knex",
        node(
            "const knex = require('knex');\nknex(require('./knexfile'));\n", "knex", "pg",
            **{
                "knexfile.js": "module.exports = { client: 'pg', connection: process.env.DATABASE_URL };\n",
                "migrations/1.js": "",
            },
        ),
        {"DATABASE_URL": OWN},
        steps=("migrations",),
    ),
    Case(
        "Knex, with SQLite for tests",
        node(
            "require('knex')(require('./knexfile').development);\nprocess.env.TEST_DATABASE_URL || 'sqlite://x';\n",
            "knex", "mysql2", "sqlite3",
            **{
                "knexfile.js": "module.exports = { development: { client: 'mysql2', connection: { host:"
                " process.env.DB_HOST } }, test: { client: 'sqlite3' } };\n", "migrations/1.js": "",
            },
        ),
        {"DATABASE_URL": MY, "DB_HOST": "localhost"},
        (MYSQL,),
        steps=("migrations",),
    ),
    Case(
        "TypeORM",
        node(
            "const { source } = require('./source');\n", "typeorm", "pg",
            **{
                "source.js": "exports.source = new DataSource({ type: 'postgres', host: process.env.DB_HOST || 'db',"
                " migrations: ['migrations/*.js'] });\n", "migrations/1.js": "",
            },
        ),
        {"DATABASE_URL": OWN},
        steps=("migrations",),
    ),
    Case(
        "Drizzle",
        node(
            "require('pg');\nrequire('./schema');\n", "drizzle-orm", "drizzle-kit", "pg",
            **{"drizzle.config.js": "module.exports = { dialect: 'postgresql' };\n", "schema.js": "pgTable('a');\n"},
        ),
        {"DATABASE_URL": OWN},
        steps=("tables",),
    ),
    Case(
        "Redis and a queue",
        node(
            "const Redis = require('ioredis');\nnew Redis(process.env.REDIS_URL);\nprocess.env.REDIS_HOST;\n",
            "ioredis", "bullmq",
            **{".env.example": "REDIS_URL=rediss://:x@a.upstash.io:6380\n"},
        ),
        {"REDIS_URL": "redis://:x@localhost:6380", "REDIS_HOST": "localhost"},
        (REDIS,),
    ),
    Case(
        "Valkey",
        node(
            "const { GlideClient } = require('@valkey/valkey-glide');\n"
            "GlideClient.createClient({ addresses: [{ host: process.env.VALKEY_HOST }] });\n",
            "@valkey/valkey-glide",
        ),
        {"VALKEY_HOST": "localhost"},
        (REDIS,),
    ),
    Case(
        "Valkey by another client",
        node("const Valkey = require('iovalkey');\nnew Valkey(process.env.VALKEY_URL);\n", "iovalkey"),
        {"VALKEY_URL": "redis://localhost:6379"},
        (REDIS,),
    ),
    Case(
        "a cache of NestJS",
        node(
            "const store = require('cache-manager-redis-store');\n"
            "CacheModule.register({ store: redisStore, host: 'localhost', port: 6390 });\n",
            "cache-manager-redis-store",
        ),
        {},
        (REDIS,),
    ),
    Case("a queue whose connection is not found", node("", "bull"), {}, (REDIS,)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_project_keeps_the_server_that_it_wants(tmp_path: Path, case: Case) -> None:
    plan = supplied_plan(tmp_path, case.files)
    values = values_of(plan)
    implicit = ("localhost", "preview") if POSTGRESQL in case.kinds else (None, None)
    assert (values.pop("PGHOST", None), values.pop("PGUSER", None)) == implicit
    assert values == case.values
    assert {need.kind for need in plan.services if need.supplied} == set(case.kinds)
    assert tuple(step.name for step in plan.steps) == case.steps
    for kind in case.kinds:
        assert any(sentence.startswith(f"{kind}: the preview gets a ") for sentence in plan.decisions)
    assert not [sentence for sentence in plan.warnings if "may not come up" in sentence or "TLS" in sentence]
    assert not any("SQLite" in step.why for step in plan.steps)
    if "DATABASE_URL" in values:
        assert plan.variables["DATABASE_URL"].origin is Origin.SUPPLIED


@pytest.mark.parametrize(
    "files",
    [
        node("", "prisma", "@prisma/client", "pg", **{"prisma/schema.prisma": PRISMA.format("sqlite")}),
        node("require('knex');\n", "knex", "pg", "sqlite3", **{"knexfile.js": "'sqlite3'", "migrations/1.js": ""}),
        node("require('better-sqlite3');\n", "better-sqlite3"),
        node("require('mongoose').connect(process.env.MONGO_URI);\n", "mongoose"),
    ],
)
def test_a_project_whose_own_choice_is_another_keeps_it(tmp_path: Path, files: dict[str, str]) -> None:
    assert supplied_plan(tmp_path, files) == supplied_plan(tmp_path, files, frozenset())


def test_a_server_of_another_kind_is_no_help(tmp_path: Path) -> None:
    files = node("", "prisma", "@prisma/client", **{"prisma/schema.prisma": PRISMA.format("mysql")})
    assert supplied_plan(tmp_path, files, frozenset({POSTGRESQL})) == supplied_plan(tmp_path, files, frozenset())


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("require('pg');\nnew Pool({ ssl: { rejectUnauthorized: false } });\n", "index.js:2 requires TLS"),
        ("require('pg');\nnew Pool('postgres://a:b@x.example/c');\n", "index.js:2 connects to x.example"),
    ],
)
def test_what_is_hard_coded_and_cannot_work_is_told_with_its_place(tmp_path: Path, source: str, sentence: str) -> None:
    assert [one for one in supplied_plan(tmp_path, node(source, "pg")).warnings if one.startswith(sentence)]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("{ host: 'sql.farm.example', user: 'a', database: 'farm' }", "sql.farm.example"),
        ("{ host: 'sql.farm.example', dialect: 'mysql' }", "sql.farm.example"),
        ("{ host: 'queue.farm.example', user: 'a' }", None),
        ("{ host: 'smtp.farm.example', database: 'farm' }", None),
    ],
)
def test_names_of_servers_in_a_file_of_options_are_known(tmp_path: Path, config: str, name: str | None) -> None:
    files = node("const c = require('./config'); require('mysql2').createConnection({ host: c.host });\n", "mysql2")
    found = supplied_plan(tmp_path, {**files, "config.js": f"module.exports = {config};\n"}).variables
    assert (found["PREVIEW_SERVER_NAMES"].value if "PREVIEW_SERVER_NAMES" in found else None) == name


@pytest.mark.parametrize(
    ("source", "names", "port"),
    [
        ("require('pg');\nnew Pool('postgres://a:b@Barn.db.example:6543/c');\n", "barn.db.example", 6543),
        ("require('mysql2').createConnection({ host: 'sql.farm.example', user: 'a' });\n", "sql.farm.example", 3306),
        ("require('pg');\nmailer({ host: 'smtp.farm.example' });\n", None, 5432),
        ("require('pg');\nnew Pool('postgres://a:b@10.1.2.3/c'); new Pool('postgres://a:b@db/c');\n", "10.1.2.3", 5432),
        ("require('mysql2').createConnection({ host: '192.168.0.106', port: 3306 });\n", "192.168.0.106", 3306),
        ("require('mysql2').createConnection({ host: '127.0.0.2', user: '0.0.0.0', v: '1.2' });\n", None, 3306),
        ("require('pg');\nfetch('https://farm.example/a'); const url = `postgres://a:b@${host}/c`;\n", None, 5432),
    ],
)  # fmt: skip
def test_names_of_servers_elsewhere_are_known(tmp_path: Path, source: str, names: str | None, port: int) -> None:
    plan = supplied_plan(tmp_path, node(source, "pg" if "'pg'" in source else "mysql2"))
    found = plan.variables.get("PREVIEW_SERVER_NAMES")
    assert (found.value if found else None) == names
    told = [need.address for need in plan.services if need.supplied]
    assert told == [("localhost", port)] or names is None


@pytest.mark.parametrize(
    ("source", "insists"),
    [
        ("const url = new URL(process.env.DATABASE_URL); url.searchParams.set('sslmode', \"require\");\n", True),
        ("new Pool(`${process.env.DATABASE_URL}?sslmode=verify-full`);\n", True),
        ("new Pool({ sslmode: 'require' });\n", True),
        ("url.searchParams.has('sslmode'); new Pool(process.env.DATABASE_URL + '?sslmode=disable');\n", False),
    ],
)
def test_tls_demanded_by_a_parameter_of_the_address_is_known(tmp_path: Path, source: str, insists: bool) -> None:
    plan = supplied_plan(tmp_path, node(f"const {{ Pool }} = require('pg');\n{source}", "pg"))
    assert [need.insists_on_tls for need in plan.services] == [insists]


def test_tls_for_production_alone_is_not_told(tmp_path: Path) -> None:
    source = "require('pg');\nif (process.env.NODE_ENV === 'production') options.db = { ssl: true };\n"
    plan = supplied_plan(tmp_path, node(source, "pg"))
    assert plan.warnings == ()
    assert [need.insists_on_tls for need in plan.services] == [True]


@pytest.mark.parametrize(
    ("package", "address"),
    [("@mikro-orm/postgresql", OWN), ("@sequelize/mariadb", MY), ("@mikro-orm/mysql", MY)],
)
def test_a_package_that_brings_its_driver_wants_the_server(tmp_path: Path, package: str, address: str) -> None:
    plan = supplied_plan(tmp_path, node("", package))
    assert plan.variables["DATABASE_URL"].value == address


@pytest.mark.parametrize(
    ("read", "name"),
    [
        ("const env = { dialect: process.env.DB_DIALECT?.toLowerCase() };\nnew Sequelize({ dialect: env.dialect });",
         "DB_DIALECT"),
        ("if (!process.env.DB_DRIVER) throw new Error('DB_DRIVER');", "DB_DRIVER"),
        ("if (!process.env.DATABASE_TYPE) throw new Error('DATABASE_TYPE');", "DATABASE_TYPE"),
    ],
)  # fmt: skip
def test_the_name_of_a_driver_is_one_that_its_library_knows(tmp_path: Path, read: str, name: str) -> None:
    source = f"const {{ Sequelize }} = require('sequelize');\n{read}\n"
    plan = supplied_plan(tmp_path, node(source, "sequelize", "mysql2"))
    assert plan.variables[name].value == "mysql"


@pytest.mark.parametrize(("dialect", "kind"), [("mysql", MYSQL), ("postgres", POSTGRESQL)])
def test_of_two_packages_for_servers_the_one_of_the_dialect_is_used(
    tmp_path: Path, dialect: str, kind: ServiceKind
) -> None:
    source = f"require('typeorm').createConnection({{ type: '{dialect}', host: process.env.DB_HOST }});\n"
    plan = supplied_plan(tmp_path, node(source, "pg", "mysql2", "typeorm"))
    assert plan.variables["DATABASE_URL"].value == {MYSQL: MY, POSTGRESQL: OWN}[kind]


@pytest.mark.parametrize(
    ("port", "number"),
    [("port: 3307", 3307), ('"port": process.env.MYSQL_PORT || 3308', 3308), ("port: 99999", 3306), ("port: 0", 3306)],
)
def test_the_port_among_the_options_of_a_connection_is_the_one_that_is_reached(
    tmp_path: Path, port: str, number: int
) -> None:
    source = f"const pool = require('mysql2').createPool({{ host: '127.0.0.1', {port}, user: 'root' }});\n"
    plan = supplied_plan(tmp_path, node(source, "mysql2"))
    assert [(need.kind, need.address and need.address[1]) for need in plan.services] == [(MYSQL, number)]


def test_a_variable_of_another_files_function_is_another_one(tmp_path: Path) -> None:
    """Both functions have a ``url``, and a ``port``; what a module exports is known everywhere."""
    (tmp_path / "sql.js").write_text(
        "const { Pool } = require('pg');\nfunction open(config) {\n"
        "  const url = config.getOrThrow('DATABASE_URL');\n  return new Pool({ connectionString: url });\n}\n"
    )
    (tmp_path / "main.js").write_text("function start() { const port = process.env.APP_PORT; app.listen(port); }\n")
    (tmp_path / "cache.js").write_text(
        "const Redis = require('ioredis');\nfunction open(config) {\n"
        "  const redisUrl = config.get('REDIS_URL');\n  const { host, port } = parse(redisUrl);\n"
        "  new Redis({ host, port });\n  return new Redis(redisUrl);\n}\n"
    )
    (tmp_path / "names.js").write_text("export const second = process.env.SECOND_URL;\n")
    (tmp_path / "more.js").write_text("const Redis = require('ioredis');\nnew Redis(names.second);\n")
    files = ["sql.js", "main.js", "cache.js", "names.js", "more.js"]
    uses = find_address_uses(JavaScriptTrees(Sources(tmp_path)), files)
    assert {name: use.kind for name, use in uses.items()} == {
        "DATABASE_URL": None, "REDIS_URL": REDIS, "SECOND_URL": REDIS,
    }  # fmt: skip


def test_the_host_of_mail_is_not_taken_for_that_of_a_database(tmp_path: Path) -> None:
    """Both files have a settings object, and only one of them is a server's address."""
    (tmp_path / "db.js").write_text("const url = process.env.DATABASE_URL;\nmongoose.connect(url);\n")
    mail = "const connection = { host: process.env.MAIL_HOST, port: process.env.SMTP_PORT };\n"
    (tmp_path / "mail.js").write_text(mail + "nodemailer.createTransport(connection);\n")
    uses = find_address_uses(JavaScriptTrees(Sources(tmp_path)), ["db.js", "mail.js"])
    assert uses.keys() == {"DATABASE_URL"}


@pytest.mark.parametrize(
    ("packages", "dialect", "kind"),
    [
        (("typeorm",), "postgres", POSTGRESQL),
        (("sequelize",), "mysql", MYSQL),
        (("typeorm", "mysql2"), "postgres", MYSQL),
        (("typeorm",), "mssql", None),
        (("typeorm", "sqlite3"), "postgres", None),
        ((), "postgres", None),
    ],
)
def test_a_driver_that_no_manifest_names_still_tells_its_server(
    tmp_path: Path, packages: tuple[str, ...], dialect: str, kind: ServiceKind | None
) -> None:
    source = f"new (require('typeorm').DataSource)({{ type: '{dialect}', host: process.env.DB_HOST }});\n"
    address = {POSTGRESQL: OWN, MYSQL: MY}.get(kind) if kind is not None else None
    found = supplied_plan(tmp_path, node(source, *packages)).variables.get("DATABASE_URL")
    assert (None if found is None else found.value) == address


@pytest.mark.parametrize("load", ['import { get } from "env-var"', 'const { from, get } = require("env-var")'])
def test_a_setting_that_the_function_of_env_var_reads_leads_to_the_previews_server(tmp_path: Path, load: str) -> None:
    source = (
        f"{load}\nconst {{ DataSource }} = require('typeorm')\nclass Data {{\n"
        "  static SQL_HOST = get('SQL_HOST')\n    .required()\n    .asString()\n"
        "  static SQL_PORT = get('SQL_PORT').required().asPortNumber()\n}\n"
        "new DataSource({ type: 'postgres', host: Data.SQL_HOST, port: Data.SQL_PORT })\n"
    )
    files = node(source, "env-var", "typeorm", "pg", **{".env.example": "SQL_HOST=auth-db\nSQL_PORT=5432\n"})
    values = values_of(supplied_plan(tmp_path, files))
    assert (values["SQL_HOST"], values["SQL_PORT"]) == ("localhost", "5432")


def test_what_the_configuration_of_effect_demands_gets_a_value(tmp_path: Path) -> None:
    source = (
        'import { Config, Effect, pipe } from "effect"\n'
        'const all = Config.all({ secret: Config.redacted("JWT_SECRET"),\n'
        '  domain: Config.string("COOKIE_DOMAIN").pipe(Config.option),\n'
        '  level: pipe(Config.string("LOG_WORD"), Config.withDefault("info")),\n'
        '  count: Config.integer("TOKEN_COUNT") })\n'
    )
    values = values_of(supplied_plan(tmp_path, node(source, "effect", "pg")))
    assert values["JWT_SECRET"]
    assert int(values["TOKEN_COUNT"])
    assert not {"COOKIE_DOMAIN", "LOG_WORD"} & values.keys()


def test_another_object_of_this_name_reads_no_variable(tmp_path: Path) -> None:
    source = "const { Config } = require('./config')\nConfig.string('JWT_SECRET')\n"
    assert "JWT_SECRET" not in values_of(supplied_plan(tmp_path, node(source, "effect", "pg")))


def test_another_function_of_this_name_reads_no_variable(tmp_path: Path) -> None:
    files = node("const { get } = require('lodash')\nget('SQL_HOST')\n", "lodash", "pg")
    assert "SQL_HOST" not in values_of(supplied_plan(tmp_path, files))


@pytest.mark.parametrize(
    ("source", "example", "wants"),
    [
        ("", "SQL_TYPE=postgres\n", True),
        ("", "SQL_TYPE=sqlite\n", False),
        ("if (process.env.LOCAL) require('sqlite3')\n", "", False),
    ],
)
def test_sqlite_for_tests_only_is_no_choice(tmp_path: Path, source: str, example: str, *, wants: bool) -> None:
    text = (
        f"{source}new (require('typeorm').DataSource)({{ type: process.env.SQL_TYPE, host: process.env.SQL_HOST }})\n"
    )
    files = node(text, "typeorm", "pg", **{".env.example": f"{example}SQL_HOST=db\n"})
    package = json.loads(files["package.json"])
    files["package.json"] = json.dumps({**package, "devDependencies": {"sqlite3": "^5"}})
    plan = supplied_plan(tmp_path, files)
    assert [need.kind for need in plan.services if need.supplied] == ([POSTGRESQL] if wants else [])


@pytest.mark.parametrize(
    ("example", "wants"), [("SQL_TYPE=postgresql\n", True), ("SQL_TYPE=sqlite\n", False), ("", False)]
)
def test_an_examples_kind_of_database_decides_between_a_server_and_a_file(
    tmp_path: Path, example: str, *, wants: bool
) -> None:
    text = (
        "const kind = process.env.SQL_TYPE || 'sqlite';\n"
        "new (require('typeorm').DataSource)({ type: kind, host: process.env.SQL_HOST })\n"
    )
    files = node(text, "typeorm", "pg", "sqlite3", **{".env.example": f"{example}SQL_HOST=db\n"})
    plan = supplied_plan(tmp_path, files)
    assert [need.kind for need in plan.services if need.supplied] == ([POSTGRESQL] if wants else [])


@pytest.mark.parametrize(
    ("key", "default", "value"),
    [("host", " || '127.0.0.1'", None), ("host", "", "localhost"), ("connectionString", "", OWN)],
    ids=["the host, with a default", "the host", "the address"],
)
def test_a_variable_named_for_an_address_that_the_driver_gets_as_its_host_is_one(
    tmp_path: Path, key: str, default: str, value: str | None
) -> None:
    config = f"module.exports = {{ db: {{ {key}: process.env.POSTGRES_URL{default}, user: 'root' }} }};\n"
    source = "const config = require('./config');\nconst { Pool } = require('pg');\nconst pool = new Pool(config.db);\n"
    plan = supplied_plan(tmp_path, node(source, "pg", **{"config.js": config}))
    assert values_of(plan).get("POSTGRES_URL") == value


@pytest.mark.parametrize(("default", "value"), [(" || 'mariadb'", None), ("", "mysql")])
def test_a_variable_named_for_a_connection_that_the_driver_gets_as_its_type_is_no_address(
    tmp_path: Path, default: str, value: str | None
) -> None:
    source = (
        "const { DataSource } = require('typeorm');\n"
        f"new DataSource({{ type: process.env.DB_CONNECTION{default}, host: process.env.DB_HOST }});\n"
    )
    plan = supplied_plan(tmp_path, node(source, "typeorm", "mysql2"))
    assert values_of(plan).get("DB_CONNECTION") == value


@pytest.mark.parametrize(
    "text",
    [
        "f(" + ", ".join(['Config.string("AB")'] * 20_000) + ")",
        "f(" + ", ".join(['env.get("AB")'] * 20_000) + ")",
        "x" + ".get()" * 30_000,
    ],
)
@pytest.mark.parametrize("library", ["import { Config } from 'effect'\n", "const env = process.env\n"])
def test_very_many_calls_around_each_other_are_read_in_bounded_time(tmp_path: Path, library: str, text: str) -> None:
    (tmp_path / "main.ts").write_text(library + text)
    began = time.process_time()
    list(environment_reads(JavaScriptTrees(Sources(tmp_path)), ["main.ts"]))
    assert time.process_time() - began < 6


def test_a_clients_address_in_one_variable_leaves_the_database_s_settings_alone(tmp_path: Path) -> None:
    source = (
        "const Redis = require('ioredis'); const { Pool } = require('pg');\n"
        "const host = config.getOrThrow('DATABASE_HOST'); const url = config.get('DATABASE_URL');\n"
        "const redis = new Redis(config.getOrThrow('REDIS_URL'), { keyPrefix: 'a' });\n"
        "const pool = new Pool({ connectionString: `postgres://me:it@${host}:5432/shop` });\n"
    )
    plan = supplied_plan(tmp_path, node(source, "ioredis", "pg"))
    values = {name: one.value for name, one in plan.variables.items()}
    assert values["REDIS_URL"].startswith("redis://")
    assert not values.get("DATABASE_URL", "").startswith("redis")
    assert {need.kind for need in plan.services if need.supplied} == {POSTGRESQL, ServiceKind.REDIS}


def test_dbmate_s_migrations_and_seeds_run_on_the_previews_own_server(tmp_path: Path) -> None:
    source = "const { Pool } = require('pg');\nnew Pool({ connectionString: process.env.DATABASE_URL });\n"
    files = node(source, "pg", "dbmate")
    package = json.loads(files["package.json"])
    package["scripts"] = {
        "db:migrate": "dbmate -e MIGRATED_URL --no-dump-schema up",
        "db:seed": "dbmate -e MIGRATED_URL -d ./db/seeds up",
        "db:new": "dbmate new",
        "db:drop": "dbmate drop",
    }
    files |= {"package.json": json.dumps(package)}
    plan = supplied_plan(tmp_path, files)
    end = ("--no-dump-schema", "--env=MIGRATED_URL", "migrate")
    folders = ("db/migrations", "./db/seeds")
    assert [step.argv for step in plan.steps] == [("dbmate", f"--migrations-dir={one}", *end) for one in folders]
    assert {name for step in plan.steps for name in step.variables or ()} == {"MIGRATED_URL"}
    assert not supplied_plan(tmp_path / "none", files, frozenset()).steps


@pytest.mark.parametrize(
    ("option", "files", "asked"),
    [
        ("synchronize: false", {}, True),
        ("logging: true,\n  // migrationsRun: true", {}, True),
        ("synchronize: true", {}, False),
        ("migrationsRun: true", {}, False),
        ("synchronize: false", {"src/migrations/1700000000000-Init.ts": ""}, False),
    ],
)
def test_typeorm_is_asked_for_tables_that_nothing_else_makes(
    tmp_path: Path, option: str, files: dict[str, str], asked: bool
) -> None:
    source = (
        "const { DataSource } = require('typeorm');\nnew DataSource({\n  type: 'postgres', host: process.env.DB_HOST,\n"
        f"  entities: [],\n  {option}\n}}).initialize();\n"
    )
    plan = supplied_plan(tmp_path, node(source, "typeorm", "pg", **files))
    assert ("PREVIEW_TYPEORM_TABLES" in plan.variables) is asked
    # Not in a database that the preview does not make.
    alone = supplied_plan(tmp_path / "alone", node(source, "typeorm", "pg", **files), frozenset())
    assert "PREVIEW_TYPEORM_TABLES" not in alone.variables


def test_mikro_orm_is_asked_to_make_its_tables_on_the_previews_own_server_alone(tmp_path: Path) -> None:
    source = "require('@mikro-orm/core').MikroORM.init({ type: 'postgresql', host: process.env.DB_HOST });\n"
    files = node(source, "@mikro-orm/core", "@mikro-orm/postgresql")
    assert "PREVIEW_MIKRO_ORM" in supplied_plan(tmp_path, files).variables
    assert "PREVIEW_MIKRO_ORM" not in supplied_plan(tmp_path / "alone", files, frozenset()).variables


def test_a_member_of_the_workspace_brings_its_schema_and_its_server(tmp_path: Path) -> None:
    def package(name: str, **needs: str) -> str:
        return json.dumps({"name": name, "main": "index.js", "dependencies": needs})

    files = {
        "package.json": json.dumps({"private": True, "workspaces": ["apps/*", "packages/*"]}),
        "apps/api/package.json": package("api", express="4", **{"@shop/store": "workspace:*"}),
        "apps/api/index.js": "const { db } = require('@shop/store');\nrequire('express')().listen(3000);\n",
        "packages/store/package.json": package("@shop/store", **{"@shop/database": "workspace:*"}),
        "packages/database/package.json": package("@shop/database", prisma="6", **{"@prisma/client": "6"}),
        "packages/database/prisma/schema.prisma": 'datasource db {\n  provider = "postgresql"\n'
        '  url = env("DATABASE_URL")\n}\n',
        "packages/other/package.json": package("@shop/other", redis="4"),
    }
    plan = supplied_plan(tmp_path, files)
    schema = "../../packages/database/prisma/schema.prisma"
    assert [step.argv for step in plan.steps][:1] == [("preview-prisma", schema)]
    assert [need.kind for need in plan.services] == [ServiceKind.POSTGRESQL]
    assert not plan.extra_requirements


@pytest.mark.parametrize("has_config", [True, False])
def test_each_schema_of_prisma_has_its_client_and_its_tables(tmp_path: Path, has_config: bool) -> None:
    output = '\ngenerator client {\n  output = "../../src/generated/auth"\n}\n'
    config = 'export default defineConfig({ schema: "prisma/auth/own.prisma" });\n'
    files = {
        "prisma/schema.prisma": PRISMA.format("postgresql"),
        "prisma/auth/own.prisma": PRISMA.format("postgresql") + output,
        "prisma/auth/migrations/1_a/migration.sql": "",
        # Parts and examples of no client.
        "prisma/parts/part.prisma": "model Part { id Int @id }\n",
        "examples/other.prisma": PRISMA.format("postgresql"),
        **({"prisma.auth.config.ts": config} if has_config else {}),
    }
    plan = supplied_plan(tmp_path, node("", "prisma", "@prisma/client", **files))
    place = ("--config", "prisma.auth.config.ts") if has_config else ("--schema", "prisma/auth/own.prisma")
    assert [step.argv for step in plan.steps] == [
        ("preview-prisma", "prisma/schema.prisma"),
        ("prisma", "db", "push", "--schema", "prisma/schema.prisma", "--accept-data-loss"),
        ("preview-prisma", "prisma/auth/own.prisma"),
        ("prisma", "migrate", "deploy", *place),
    ]


def test_a_schema_beside_the_manifest_has_its_tables(tmp_path: Path) -> None:
    plan = supplied_plan(
        tmp_path, node("", "prisma", "@prisma/client", **{"schema.prisma": PRISMA.format("postgresql")})
    )
    assert [step.argv[:3] for step in plan.steps] == [("preview-prisma", "schema.prisma"), ("prisma", "db", "push")]
