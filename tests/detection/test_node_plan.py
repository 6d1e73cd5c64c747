"""How Node projects are started, decided from their files alone."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from preview.detection.node import detect_node
from preview.detection.overrides.given import Overrides
from preview.detection.plan import Origin, Server, ServiceKind, StartPlan, Toolchain
from preview.endpoints import extract
from preview.sources import Sources

EXPRESS = "const express = require('express');\nconst app = express();\n"
LISTEN = "app.listen(process.env.PORT || 3000);\n"


def plan_of(folder: Path, package: Mapping[str, object], files: dict[str, str], at: str = ".") -> StartPlan:
    """The plan of a project with one package."""
    content = {"dependencies": {"express": "^4"}, **package}
    for name, text in {f"{at}/package.json": json.dumps(content), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    plan = detect_node(Sources(folder), None, Overrides())
    assert plan is not None
    return plan


def test_a_start_script_is_seen_through(tmp_path: Path) -> None:
    scripts = {"start": "cross-env MODE=full NODE_ENV=production nodemon --experimental-vm-modules server.js"}
    plan = plan_of(tmp_path, {"scripts": scripts}, {"server.js": EXPRESS + LISTEN})
    assert (plan.toolchain, plan.server) == (Toolchain.NODE, Server.NODE)
    assert plan.command == ("--experimental-vm-modules", "server.js")
    assert {name: item.value for name, item in plan.variables.items()} == {"MODE": "full"}


@pytest.mark.parametrize(
    ("version", "build", "argv"),
    [
        ("16.3.0", "next build", ("npm", "run", "build", "--", "--webpack")),
        ("^16", "prisma generate && next build", ("npm", "run", "build", "--", "--webpack")),
        ("^15.1.0", "next build", ("npm", "run", "build")),
        ("16.3.0", "next build --turbopack", ("npm", "run", "build")),
    ],
)
def test_next_is_built_by_webpack_as_turbopack_refuses_links(
    version: str, build: str, argv: tuple[str, ...], tmp_path: Path
) -> None:
    package = {"scripts": {"build": build, "start": "next start"}, "dependencies": {"next": version, "react": "19"}}
    assert [step.argv for step in plan_of(tmp_path, package, {}).steps if step.name == "build"] == [argv]


def test_a_flag_that_node_no_longer_knows_is_dropped(tmp_path: Path) -> None:
    scripts = {"start": "node --es-module-specifier-resolution=node server.js"}
    plan = plan_of(tmp_path, {"type": "module", "scripts": scripts}, {"server.js": EXPRESS + LISTEN})
    assert plan.command == ("server.js",)


def test_typescript_is_read_by_tsx(tmp_path: Path) -> None:
    scripts = {"start": "node dist/server.js", "build": "tsc"}
    files = {
        "src/server.ts": EXPRESS + LISTEN,
        "tsconfig.json": '{"compilerOptions": {"outDir": "dist", "rootDir": "src"}}',
    }
    plan = plan_of(tmp_path, {"scripts": scripts}, files)
    assert plan.command == ("--import", "tsx", "src/server.ts")
    assert [line.rpartition("@")[0] for line in plan.extra_requirements] == ["tsx"]


@pytest.mark.parametrize(
    ("package_name", "version", "name"),
    [
        ("@fastify/autoload", "^6", "FASTIFY_AUTOLOAD_TYPESCRIPT"),
        ("@fastify/autoload", "^5.7.1", "TS_NODE_DEV"),
        ("fastify-autoload", "^3.8.1", "TS_NODE_DEV"),
    ],
)
def test_fastify_s_autoload_loads_typescript_too(tmp_path: Path, package_name: str, version: str, name: str) -> None:
    dependencies = {"fastify": "^5", package_name: version}
    package = {"scripts": {"start": "tsx src/server.ts"}, "dependencies": dependencies}
    files = {"src/server.ts": "import fastify from 'fastify';\nfastify().listen({ port: 3000 });\n"}
    plan = plan_of(tmp_path, package, files)
    assert plan.command == ("--import", "tsx", "src/server.ts")
    assert plan.variables[name].value == "1"


def test_decorators_that_need_types_are_compiled_by_swc(tmp_path: Path) -> None:
    package = {"scripts": {"start": "ts-node src/main.ts"}, "dependencies": {"express": "^4", "reflect-metadata": "*"}}
    options = '{"compilerOptions": {"emitDecoratorMetadata": true}}'
    files = {"src/main.ts": EXPRESS + LISTEN, "src/a.ts": "@Service()\nclass A {}\n", "tsconfig.json": options}
    assert plan_of(tmp_path, package, files).command == ("-r", "@swc-node/register", "src/main.ts")


@pytest.mark.parametrize(
    ("scripts", "by"),
    [
        ({"dev": "tsx watch src/main.ts", "start": "node dist/main.js"}, "tsx"),
        ({"start:dev": "cross-env NODE_ENV=development node --import=tsx --watch src/main.ts"}, "tsx"),
        # A seed by tsx says nothing of the program, and another script's compiler may be the one that works.
        ({"start": "node dist/main.js", "seed": "tsx src/seed.ts"}, "@swc-node/register"),
        ({"dev": "tsx watch src/main.ts", "start:dev": "ts-node src/main.ts"}, "@swc-node/register"),
        ({"dev": "tsx watch src/main.ts", "start:dev": "nest start --watch"}, "@swc-node/register"),
    ],
)
def test_what_the_project_itself_runs_by_tsx_is_run_by_it(tmp_path: Path, scripts: dict[str, str], by: str) -> None:
    package = {"scripts": scripts, "dependencies": {"express": "^5", "reflect-metadata": "*"}}
    options = '{"compilerOptions": {"emitDecoratorMetadata": true, "outDir": "dist", "rootDir": "src"}}'
    files = {"src/main.ts": EXPRESS + LISTEN, "src/a.ts": "@Service()\nclass A {}\n", "tsconfig.json": options}
    assert plan_of(tmp_path, package, files).command[1] == by


def test_entities_that_refer_to_each_other_are_compiled_by_typescript(tmp_path: Path) -> None:
    package = {
        "scripts": {"start": "npm run build && node dist/index.js", "build": "tsc"},
        "dependencies": {"typeorm": "*"},
    }
    options = '{"compilerOptions": {"emitDecoratorMetadata": true, "outDir": "dist", "paths": {"@/*": ["src/*"]}}}'
    files = {
        "src/index.ts": EXPRESS + LISTEN,
        "src/user.ts": "@Entity()\nexport class User { @OneToMany(() => Post) posts: Post }\n",
        "tsconfig.json": options,
    }
    plan = plan_of(tmp_path, package, files)
    assert plan.command == ("-r", "ts-node/register/transpile-only", "-r", "tsconfig-paths/register", "src/index.ts")


@pytest.mark.parametrize(
    ("code", "typescript", "by"),
    [
        ("import * as express from 'express';\nconst app = express();\n", "^5", "ts-node"),
        ("import * as Cache from 'node-cache';\nconst cache = new Cache();\n", "^5", "ts-node"),
        ("import * as fs from 'fs';\nfs.readFileSync('x');\n", "^5", "tsx"),
        ("import * as own from './own';\nown();\n", "^5", "tsx"),
        ("@Service()\nclass A {}\n", "^5", "swc"),
        ("@Service()\nclass A {}\n", "^3.7.4", "ts-node"),
        ("@Service()\nclass A {}\n", "4.2.3", "ts-node"),
        ("@Service()\nclass A {}\n", "~4.6.4", "ts-node"),
        ("@Service()\nclass A {}\n", "^4.2.3", "swc"),
        ("@Service()\nclass A {}\n", "4.9.5", "swc"),
        ("import * as express from 'express';\nconst app = express();\n", "^7.0.0", "tsx"),
    ],
)
def test_what_only_typescript_compiles_is_compiled_by_it(tmp_path: Path, code: str, typescript: str, by: str) -> None:
    package = {
        "scripts": {"start": "ts-node src/main.ts"},
        "dependencies": {"reflect-metadata": "*"},
        "devDependencies": {"typescript": typescript},
    }
    options = '{"compilerOptions": {"emitDecoratorMetadata": true}}'
    plan = plan_of(tmp_path, package, {"src/main.ts": EXPRESS + LISTEN, "src/a.ts": code, "tsconfig.json": options})
    assert by in plan.command[1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package-lock.json", '{\n  "packages": {\n    "node_modules/typescript": {\n      "version": "4.2.3",\n'),
        ("package-lock.json", '{\n  "dependencies": {\n    "typescript": {\n      "version": "4.2.3",\n'),
        ("yarn.lock", '# yarn lockfile v1\n\ntypescript@^4.2.3:\n  version "4.2.3"\n'),
        ("yarn.lock", '"typescript@npm:^4.2.3":\n  version: 4.2.3\n'),
        ("pnpm-lock.yaml", "packages:\n\n  /typescript/4.2.3:\n    hasBin: true\n"),
        ("pnpm-lock.yaml", "packages:\n\n  typescript@4.2.3:\n    hasBin: true\n"),
    ],
)
def test_a_locked_compiler_that_swc_cannot_use_compiles_itself(tmp_path: Path, name: str, text: str) -> None:
    package = {
        "scripts": {"start": "ts-node src/main.ts"},
        "dependencies": {"reflect-metadata": "*"},
        "devDependencies": {"typescript": "^4.2.3"},
    }
    files = {
        "src/main.ts": EXPRESS + LISTEN,
        "src/a.ts": "@Service()\nclass A {}\n",
        "tsconfig.json": '{"compilerOptions": {"emitDecoratorMetadata": true}}',
        name: text,
    }
    assert plan_of(tmp_path, package, files).command[1] == "ts-node/register/transpile-only"


@pytest.mark.parametrize(
    ("paths", "files", "by"),
    [
        ({"@prisma/*": ["src/prisma/*"]}, {}, "ts-node/register/transpile-only"),
        ({"@prisma/*": ["src/prisma/*"]}, {"src/prisma/client.ts": "export const a = 1"}, "@swc-node/register"),
        ({"@prisma/*": ["src/prisma/*", "node_modules/@prisma/*"]}, {}, "@swc-node/register"),
        ({"@app/*": ["src/*"]}, {}, "@swc-node/register"),
        ({"@prisma/*": [{}]}, {}, "@swc-node/register"),
    ],
)
def test_an_alias_that_also_means_a_package_is_compiled_by_typescript(
    tmp_path: Path, paths: object, files: dict[str, str], by: str
) -> None:
    package = {"dependencies": {"@nestjs/core": "*", "@prisma/client": "*"}, "scripts": {"start": "nest start"}}
    options = {"compilerOptions": {"emitDecoratorMetadata": True, "baseUrl": "./", "paths": paths}}
    source = "import { PrismaClient } from '@prisma/client';\n@Injectable()\nclass A {}\n"
    files = {**files, "src/main.ts": EXPRESS + LISTEN, "src/a.ts": source, "tsconfig.json": json.dumps(options)}
    plan = plan_of(tmp_path, package, files)
    assert plan.command[1] == by
    assert ("tsconfig-paths/register" in plan.command) is by.startswith("ts-node")


def test_imports_below_the_base_folder_are_found_by_ts_node_too(tmp_path: Path) -> None:
    package = {
        "scripts": {"start": "ts-node src/main.ts"},
        "dependencies": {"reflect-metadata": "*", "typeorm": "*"},
        "devDependencies": {"typescript": "^5"},
    }
    files = {
        "src/main.ts": EXPRESS + LISTEN,
        "src/a.ts": "import { B } from 'src/b';\n@Entity()\nclass A {}\n",
        "tsconfig.json": '{"compilerOptions": {"emitDecoratorMetadata": true, "baseUrl": "./"}}',
    }
    plan = plan_of(tmp_path, package, files)
    assert plan.command[:4] == ("-r", "ts-node/register/transpile-only", "-r", "tsconfig-paths/register")
    assert "tsconfig-paths@^4.2.0" in plan.extra_requirements


@pytest.mark.parametrize(
    ("nest", "option", "code", "interoperates"),
    [
        ('{"compilerOptions": {"builder": "swc"}}', "", "import dayjs from 'dayjs';", True),
        ('{"compilerOptions": {"builder": {"type": "swc"}}}', "", "import dayjs, { Dayjs } from 'dayjs';", True),
        ('{"compilerOptions": {"builder": "swc"}}', ', "esModuleInterop": true', "import dayjs from 'dayjs';", False),
        ('{"compilerOptions": {"builder": "swc"}}', "", "import own from './own';", False),
        ("{}", "", "import dayjs from 'dayjs';", False),
    ],
)
@pytest.mark.parametrize("orm", ["typeorm", "@nestjs/core"])
def test_default_imports_are_compiled_as_nestjs_with_swc_does(
    tmp_path: Path, nest: str, option: str, code: str, interoperates: bool, orm: str
) -> None:
    package = {
        "scripts": {"start": "nest start"},
        "dependencies": {"@nestjs/core": "*", orm: "*"},
        "devDependencies": {"typescript": "^5"},
    }
    files = {
        "src/main.ts": EXPRESS + LISTEN,
        "src/a.ts": f"{code}\n@Entity()\nclass A {{}}\n",
        "nest-cli.json": nest,
        "tsconfig.json": '{"compilerOptions": {"emitDecoratorMetadata": true' + option + "}}",
    }
    plan = plan_of(tmp_path, package, files)
    given = plan.variables.get("TS_NODE_COMPILER_OPTIONS")
    assert ("esModuleInterop" in given.value if given else False) is interoperates


@pytest.mark.parametrize(
    ("core", "others", "source", "added"),
    [
        ("^10.3.0", {}, "NestFactory.create(AppModule)", "@nestjs/platform-express@^10.3.0"),
        ("^10.3.0", {"@nestjs/platform-fastify": "^10"}, "NestFactory.create(AppModule)", None),
        ("^10.3.0", {}, "NestFactory.createApplicationContext(AppModule)", None),
        ("file:../core", {}, "NestFactory.create(AppModule)", None),
    ],
)
def test_nestjs_gets_its_default_driver(
    tmp_path: Path, core: str, others: dict[str, str], source: str, added: str | None
) -> None:
    package = {"main": "main.js", "dependencies": {"@nestjs/core": core, **others}}
    code = (
        f"const {{ NestFactory }} = require('@nestjs/core');\n{source}.then((app) => app.listen(process.env.PORT));\n"
    )
    found = plan_of(tmp_path, package, {"main.js": code}).extra_requirements
    assert [one for one in found if "platform" in one] == ([added] if added else [])


@pytest.mark.parametrize(("version", "register"), [("3.3.0", ""), ("^6.1.2", ""), ("^7.0.1", "/transpile-only")])
def test_an_old_ts_node_is_loaded_as_it_can_be(tmp_path: Path, version: str, register: str) -> None:
    package = {
        "scripts": {"start": "ts-node src/main.ts"},
        "dependencies": {"reflect-metadata": "*", "typeorm": "0.2.35"},
        "devDependencies": {"typescript": "3.3.3333", "ts-node": version},
    }
    files = {
        "src/main.ts": EXPRESS + LISTEN,
        "src/a.ts": "@Entity()\nclass A {}\n",
        "tsconfig.json": '{"compilerOptions": {"emitDecoratorMetadata": true}}',
    }
    plan = plan_of(tmp_path, package, files)
    assert plan.command[1] == f"ts-node/register{register}"
    assert ("TS_NODE_FAST" in plan.variables) is (register == "")
    # NestJS's own options name `resolvePackageJsonExports`, an error beside the module system of Node.
    assert "5098" in plan.variables["TS_NODE_IGNORE_DIAGNOSTICS"].value.split(",")


def test_babel_is_used_as_the_project_has_it(tmp_path: Path) -> None:
    package = {"scripts": {"start": "babel-node src/index.js"}, "devDependencies": {"@babel/node": "^7"}}
    files = {"src/index.js": "import express from 'express';\nexpress().listen(3000);\n", ".babelrc": "{}"}
    assert plan_of(tmp_path, package, files).command == ("-r", "@babel/register", "src/index.js")


def test_a_member_of_a_workspace_is_installed_from_its_root(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"workspaces": ["apps/*"]}')
    plan = plan_of(
        tmp_path, {"scripts": {"start": "node index.js"}}, {"apps/api/index.js": EXPRESS + LISTEN}, "apps/api"
    )
    assert (plan.directory, plan.manifests) == ("apps/api", ".")


def test_variables_come_from_the_example_and_what_is_required_is_made_up(tmp_path: Path) -> None:
    source = "const { JWT_SECRET, API_URL } = process.env;\nconst size = process.env.PAGE_SIZE || 10;\n"
    files = {"server.js": EXPRESS + source + LISTEN, ".env.example": "API_URL=http://api.local\nJWT_SECRET=\nOTHER=1\n"}
    plan = plan_of(tmp_path, {"main": "server.js"}, files)
    assert (plan.variables["API_URL"].value, plan.variables["API_URL"].origin) == ("http://api.local", Origin.EXAMPLE)
    assert (plan.variables["JWT_SECRET"].value, plan.variables["JWT_SECRET"].secret) == ("{secret}", True)
    assert plan.variables.keys() == {"API_URL", "JWT_SECRET"}


def test_the_plan_knows_which_variables_have_a_default(tmp_path: Path) -> None:
    source = (
        "const { AA = 1, BB } = process.env;\nconst c = process.env.CC || 10 * 1024;\n"
        "const d = process.env.DD ?? read();\n"
        "if (process.env.EE === undefined) throw new Error('EE');\nconst f = process.env.FF ? 1 : 2;\n"
        "let g = process.env.GG;\nconst h = process.env.HH || undefined;\n"
        "process.env.II || 1; process.env.II.split();\n"
    )
    plan = plan_of(tmp_path, {"main": "server.js"}, {"server.js": EXPRESS + source + "app.listen(3000);\n"})
    assert plan.defaulted == {"AA", "CC", "DD", "FF"}


def test_dotenv_safe_gets_a_value_for_each_name_of_its_example(tmp_path: Path) -> None:
    package = {"main": "server.js", "dependencies": {"express": "^4", "dotenv-safe": "^8"}}
    plan = plan_of(tmp_path, package, {"server.js": EXPRESS + LISTEN, ".env.example": "EMAIL_HOST=\nPORT=1\n"})
    assert plan.variables["EMAIL_HOST"].value != ""
    assert "PORT" not in plan.variables


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("LIMIT: Joi.number().required()", True),
        ("LIMIT: Joi.number().default(5)", False),
        ("LIMIT: z.coerce.number().min(3)", True),
        ("LIMIT: z.string().optional()", False),
        ("SHOP_API_URL: z.string().url().optional()", False),
        ("SHOP_TOKEN: z.string().nullish()", False),
        ("LIMIT: num({ default: 3 })", False),
    ],
)
def test_a_schema_says_what_is_required(tmp_path: Path, declared: str, expected: bool) -> None:
    source = f"const Joi = require('joi'); const zod = 1; const schema = {{ {declared} }}; check(process.env);\n"
    plan = plan_of(tmp_path, {"main": "server.js"}, {"server.js": EXPRESS + source + LISTEN})
    assert (declared.partition(":")[0] in plan.variables) is expected


def test_what_a_schema_allows_to_be_absent_is_absent_wherever_it_is_read(tmp_path: Path) -> None:
    source = (
        "const { z } = require('zod'); const schema = z.object({ SHOP_TOKEN: z.string().optional() });\n"
        "const token = process.env.SHOP_TOKEN; const other = process.env.MAIL_TOKEN; schema.parse(process.env);\n"
    )
    plan = plan_of(tmp_path, {"main": "server.js"}, {"server.js": EXPRESS + source + LISTEN})
    assert "SHOP_TOKEN" not in plan.variables
    assert "MAIL_TOKEN" in plan.variables


def test_dotenv_s_own_key_is_never_made_up(tmp_path: Path) -> None:
    source = "const { z } = require('zod'); z.object({ DOTENV_KEY: z.string(), API_KEY: z.string() });\n"
    plan = plan_of(tmp_path, {"main": "server.js"}, {"server.js": EXPRESS + source + LISTEN})
    assert "API_KEY" in plan.variables
    assert "DOTENV_KEY" not in plan.variables


@pytest.mark.parametrize(
    ("declared", "expected"),
    [("LIMIT: limit", True), ("LIMIT: limit.default(5)", False), ("LIMIT: limit.optional()", False)],
)
def test_a_part_of_a_schema_may_have_a_name(tmp_path: Path, declared: str, expected: bool) -> None:
    source = (
        "const { z } = require('zod'); const limit = z.coerce.number().int();\n"
        f"z.object({{ {declared} }}).parse(process.env);\n"
    )
    plan = plan_of(tmp_path, {"main": "server.js"}, {"server.js": EXPRESS + source + LISTEN})
    assert ("LIMIT" in plan.variables) is expected


def test_a_database_that_the_program_exits_without_is_needed_at_startup(tmp_path: Path) -> None:
    source = (
        "const mongoose = require('mongoose');\nmongoose.connect(process.env.MONGO_URI).catch(() => process.exit(1));\n"
    )
    package = {"main": "server.js", "dependencies": {"express": "^4", "mongoose": "^8"}}
    (need,) = plan_of(tmp_path, package, {"server.js": EXPRESS + source + LISTEN}).services
    assert (need.kind, need.setting, need.at_startup) == (ServiceKind.MONGODB, "MONGO_URI", True)
    assert need.address == ("localhost", 27017)


@pytest.mark.parametrize(
    ("package", "transport", "variable", "kind", "address"),
    [
        ("nats", "NATS", "NATS_SERVERS", ServiceKind.NATS, ("localhost", 4222)),
        ("mqtt", "MQTT", "MQTT_URL", ServiceKind.MQTT, ("localhost", 1883)),
        ("amqplib", "RMQ", "RABBIT_URL", ServiceKind.RABBITMQ, ("localhost", 5672)),
    ],
)
def test_the_server_of_a_transport_of_nestjs_is_named_with_its_setting(
    tmp_path: Path, package: str, transport: str, variable: str, kind: ServiceKind, address: tuple[str, int]
) -> None:
    source = (
        "const { Transport } = require('@nestjs/microservices');\n"
        f"const urls = process.env.{variable};\nuse({{ transport: Transport.{transport}, options: {{ urls }} }});\n"
    )
    found = {"main": "server.js", "dependencies": {"express": "^4", package: "^2"}}
    (need,) = plan_of(tmp_path, found, {"server.js": EXPRESS + source + LISTEN}).services
    assert (need.kind, need.setting, need.where) == (kind, variable, "server.js:5")
    assert need.address == address


def test_the_users_name_is_not_the_setting_of_an_address_that_is_written_out(tmp_path: Path) -> None:
    source = (
        "const mongoose = require('mongoose');\n"
        "mongoose.connect(`mongodb+srv://${process.env.DB_USERNAME}:${process.env.DB_PASS}@shop.example.net/x`);\n"
    )
    package = {"main": "server.js", "dependencies": {"express": "^4", "mongoose": "^8"}}
    (need,) = plan_of(tmp_path, package, {"server.js": EXPRESS + source + LISTEN}).services
    assert (need.setting, need.where, need.address) == (None, "server.js:4", ("shop.example.net", 27017))


@pytest.mark.parametrize(
    ("argument", "env", "value"),
    [
        ("process.env.DATABASE_URL || 'mongodb://db/shop'", None, "mongodb://db/shop"),
        ("process.env.DATABASE_URL", None, "mongodb://localhost:27017/preview"),
        (
            "process.env.DATABASE_URL",
            "DATABASE_URL=mongodb+srv://a:b@c.example.com/shop",
            "mongodb+srv://a:b@c.example.com/shop",
        ),
    ],
)
def test_the_databases_address_of_another_kind_is_not_that_of_a_file(
    tmp_path: Path, argument: str, env: str | None, value: str
) -> None:
    package = {"main": "server.js", "dependencies": {"express": "^4", "mongoose": "^8", "pg": "^8"}}
    source = f"const mongoose = require('mongoose');\nmongoose.connect({argument}).catch(log);\n"
    files = {"server.js": EXPRESS + source + LISTEN, **({".env": env} if env else {})}
    plan = plan_of(tmp_path, package, files)
    found = plan.variables["DATABASE_URL"]
    assert (found.value.startswith(value), found.origin) == (True, Origin.SUPPLIED)
    need = next(need for need in plan.services if need.kind is ServiceKind.MONGODB)
    assert need.address is not None
    assert need.address[0] in value


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("const c = mysql.createConnection({});\nc.connect((err) => { if (err) throw err; });\n", True),
        ("const pool = mysql.createPool({});\n", False),
    ],
)
def test_a_pool_waits_for_its_first_question(tmp_path: Path, source: str, expected: bool) -> None:
    package = {"main": "server.js", "dependencies": {"express": "^4", "mysql2": "^3"}}
    code = f"const mysql = require('mysql2');\n{source}"
    (need,) = plan_of(tmp_path, package, {"server.js": EXPRESS + code + LISTEN}).services
    assert need.at_startup is expected


def test_a_seeder_that_the_program_does_not_load_is_no_need(tmp_path: Path) -> None:
    seeder = "const mongoose = require('mongoose');\nmongoose.connect(process.env.MONGO_URI);\nprocess.exit();\n"
    package = {"main": "server.js", "dependencies": {"express": "^4", "mongoose": "^8"}}
    assert plan_of(tmp_path, package, {"server.js": EXPRESS + LISTEN, "seeder.js": seeder}).services == ()


@pytest.mark.parametrize(("provider", "steps"), [("sqlite", 2), ("postgresql", 1)])
def test_prisma_makes_its_client_and_tables_where_they_are_in_a_file(tmp_path: Path, provider: str, steps: int) -> None:
    schema = f'datasource db {{\n provider = "{provider}"\n url = env("DATABASE_URL")\n}}\n'
    package = {"main": "server.js", "dependencies": {"express": "^4", "@prisma/client": "^5.1.0"}}
    plan = plan_of(tmp_path, package, {"server.js": EXPRESS + LISTEN, "prisma/schema.prisma": schema})
    assert plan.steps[0].argv == ("preview-prisma", "prisma/schema.prisma")
    assert len(plan.steps) == steps
    assert plan.extra_requirements == ("prisma@^5.1.0",)
    assert plan.variables["DATABASE_URL"].value.startswith("file:" if provider == "sqlite" else "postgresql:")


def test_a_schema_in_several_files_is_given_as_its_folder(tmp_path: Path) -> None:
    schema = 'datasource db {\n provider = "sqlite"\n url = env("DATABASE_URL")\n}\n'
    package = {"main": "server.js", "dependencies": {"express": "^4", "@prisma/client": "^6.1.0"}}
    files = {
        "server.js": EXPRESS + LISTEN,
        "prisma/schema/schema.prisma": schema,
        # Fields are often called `type`.
        "prisma/schema/crop.prisma": "model Crop {\n id Int @id\n type Kind\n}\n"
        "model Bed {\n id Int @id\n type Kind\n}\n",
        "prisma/migrations/1_crop/migration.sql": "",
    }
    plan = plan_of(tmp_path, package, files)
    assert [step.argv for step in plan.steps] == [
        ("preview-prisma", "prisma/schema"),
        ("prisma", "migrate", "deploy", "--schema", "prisma/schema"),
    ]
    # Parts that a tool has put together into one file: the folder would declare their models twice.
    merged = plan_of(
        tmp_path, package, files | {"prisma/schema/schema.prisma": f"{schema}model Crop {{\n id Int @id\n}}\n"}
    )
    assert merged.steps[0].argv == ("preview-prisma", "prisma/schema/schema.prisma")
    # Two schemas are none in two files.
    two = plan_of(tmp_path, package, files | {"prisma/schema/crop.prisma": schema})
    assert two.steps[0].argv[1].endswith(".prisma")


@pytest.mark.parametrize(
    ("version", "push"),
    [("^0.20.9", ("drizzle-kit", "push:pg")), ("^0.31.0", ("drizzle-kit", "push", "--force"))],
)
def test_an_old_drizzle_kit_is_asked_in_its_own_words(tmp_path: Path, version: str, push: tuple[str, ...]) -> None:
    assert drizzle_steps(tmp_path, "drizzle.config.js", version, {}) == [push]


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("drizzle-kit push --config=infra/drizzle.js", ("--config=infra/drizzle.js",)),
        ("drizzle-kit generate --name a --config 'infra/drizzle.js'", ("--config=infra/drizzle.js",)),
        ("drizzle-kit push --config=infra/gone.js", None),
        ("other push --config=infra/drizzle.js", None),
    ],
)
def test_a_script_names_the_configuration_of_drizzle_kit(
    tmp_path: Path, script: str, options: tuple[str, ...] | None
) -> None:
    found = drizzle_steps(tmp_path, "infra/drizzle.js", "^0.31.0", {"db:generate": script})
    assert found == ([] if options is None else [("drizzle-kit", "push", "--force", *options)])


def drizzle_steps(tmp_path: Path, config: str, version: str, scripts: dict[str, str]) -> list[tuple[str, ...]]:
    package = {
        "main": "server.js",
        "scripts": scripts,
        "dependencies": {"express": "^4", "drizzle-orm": "*", "pg": "^8"},
        "devDependencies": {"drizzle-kit": version},
    }
    pool = "const { Pool } = require('pg');\nnew Pool({ connectionString: process.env.DB_URL });\n"
    files = {
        "server.js": EXPRESS + pool + LISTEN,
        config: "module.exports = { driver: 'pg', schema: './tables.js' };\n",
        "tables.js": "exports.crops = pgTable('crops', {});\n",
    }
    plan_of(tmp_path, package, files)
    plan = detect_node(Sources(tmp_path), None, Overrides(), frozenset({ServiceKind.POSTGRESQL}))
    assert plan is not None
    return [step.argv for step in plan.steps]


@pytest.mark.parametrize(
    ("column", "is_typed"),
    [
        ("@Column()\n  @IsEnum(Kind)\n  kind: Kind;", True),
        ("@Column({ nullable: true })\n  kind?: Kind;", True),
        ("@Column({ type: 'enum', enum: Kind })\n  kind: Kind;", False),
        ("@Column('int')\n  kind: Kind;", False),
        ("@Column()\n  kind: string;", False),
        ("@Column()\n  kind: Other;", False),
    ],
)
def test_a_column_of_another_files_enumeration_has_the_compiler_read_types(
    tmp_path: Path, column: str, is_typed: bool
) -> None:
    package = {"main": "src/index.ts", "dependencies": {"typeorm": "*", "express": "^4"}}
    files = {
        "src/index.ts": EXPRESS + LISTEN,
        "src/kind.ts": "export enum Kind { GRAIN = 1 }\n",
        "src/crop.ts": f"import {{ Kind }} from './kind';\n@Entity()\nexport class Crop {{\n  {column}\n}}\n",
        "tsconfig.json": '{"compilerOptions": {"emitDecoratorMetadata": true}}',
    }
    plan = plan_of(tmp_path, package, files)
    assert plan.command[1] == ("ts-node/register" if is_typed else "ts-node/register/transpile-only")
    assert ("TS_NODE_LOG_ERROR" in plan.variables) is is_typed


def test_a_program_that_insists_on_its_env_file_gets_an_empty_one(tmp_path: Path) -> None:
    source = "const found = require('dotenv').config();\nif (found.error) throw new Error('no .env');\n"
    plan = plan_of(tmp_path, {"main": "server.js"}, {"server.js": EXPRESS + source + LISTEN})
    assert [step.name for step in plan.steps] == [".env"]


def test_a_front_end_is_no_server(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(
        '{"scripts": {"start": "vite"}, "dependencies": {"vite": "5", "react-dom": "18"}}'
    )
    assert detect_node(Sources(tmp_path), None, Overrides()) is None


def test_prismas_server_is_named_with_its_setting_and_line(tmp_path: Path) -> None:
    schema = '// tables\n\ndatasource db {\n  provider = "postgresql"\n  url = env("SHOP_URL")\n}\n'
    package = {"main": "server.js", "dependencies": {"express": "^4", "@prisma/client": "^5.1.0"}}
    plan = plan_of(tmp_path, package, {"server.js": EXPRESS + LISTEN, "prisma/schema.prisma": schema})
    (need,) = plan.services
    assert (need.setting, need.where) == ("SHOP_URL", "prisma/schema.prisma:4")
    assert need.address == ("localhost", 5432)


@pytest.mark.parametrize(
    ("member", "is_built"),
    [
        ({"exports": {".": {"types": "./dist/a.d.ts", "default": "./dist/index.js"}}}, True),
        ({"main": "dist/index.js"}, True),
        ({"main": "src/index.ts"}, False),
        ({"main": "dist/index.js", "scripts": {}}, False),
    ],
)
def test_a_package_of_the_workspace_is_built_before_it_is_loaded(
    tmp_path: Path, member: dict[str, object], is_built: bool
) -> None:
    files = {
        "package.json": '{"name": "farm", "private": true, "workspaces": ["apps/*", "packages/*"]}',
        "packages/db/package.json": json.dumps(
            {"name": "@farm/db", "scripts": {"build": "tsc"}, "dependencies": {"@farm/types": "*"}, **member}
        ),
        "packages/types/package.json": '{"name": "@farm/types", "main": "dist/a.js", "scripts": {"build": "tsc"}}',
        "apps/api/index.js": EXPRESS + "require('@farm/db');\n" + LISTEN,
    }
    package = {"main": "index.js", "dependencies": {"express": "^4", "@farm/db": "*"}}
    plan = plan_of(tmp_path, package, files, at="apps/api")
    folders = [step.directory for step in plan.steps if step.name == "build"]
    assert folders == ["packages/types", *(["packages/db"] if is_built else [])]
    unused = plan_of(tmp_path, package, files | {"apps/api/index.js": EXPRESS + LISTEN}, at="apps/api")
    mapped = files | {"tsconfig.json": '{"compilerOptions": {"paths": {"@farm/db": ["packages/db/src"]}}}'}
    assert [step.directory for step in unused.steps if step.name == "build"] == []
    left = plan_of(tmp_path, package, mapped, at="apps/api")
    assert "packages/db" not in [step.directory for step in left.steps if step.name == "build"]


def test_a_variable_that_is_read_with_care_gets_the_value_of_the_example(tmp_path: Path) -> None:
    files = {"index.js": EXPRESS + "const client = process?.env?.DB_DRIVER;\n" + LISTEN, "env.txt": "DB_DRIVER=pg\n"}
    assert plan_of(tmp_path, {"main": "index.js"}, files).variables["DB_DRIVER"].value == "pg"


def test_a_main_file_whose_name_no_disk_has_is_not_there(tmp_path: Path) -> None:
    files = {
        "package.json": '{"name": "farm", "private": true, "workspaces": ["apps/*", "packages/*"]}',
        "packages/db/package.json": json.dumps(
            {"name": "@farm/db", "scripts": {"build": "tsc"}, "main": f"dist/{'a' * 300}.js"}
        ),
        "packages/db/dist/barn.js": "",
        "apps/api/index.js": EXPRESS + "require('@farm/db');\n" + LISTEN,
    }
    package = {"main": "index.js", "dependencies": {"express": "^4", "@farm/db": "*"}}
    assert [step.directory for step in plan_of(tmp_path, package, files, at="apps/api").steps] == ["packages/db"]


def test_many_packages_of_a_workspace_are_looked_for_in_time(tmp_path: Path) -> None:
    files = {f"packages/p{number}/package.json": json.dumps({"name": f"p{number}"}) for number in range(190)}
    files["package.json"] = '{"private": true, "workspaces": ["apps/*", "packages/*"]}'
    files["apps/api/index.js"] = EXPRESS + LISTEN + "a\n" * 500_000
    started = time.process_time()
    plan_of(tmp_path, {"main": "index.js"}, files, at="apps/api")
    assert time.process_time() - started < 8


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_typescript_in_utf_16_is_read_and_rewritten(tmp_path: Path, encoding: str) -> None:
    """PowerShell's ``echo`` writes it. TypeScript's own compiler reads it; swc, esbuild and Node do not."""
    (tmp_path / "src").mkdir()
    routes = "import { Router } from 'express';\nexport const routes = Router();\nroutes.get('/ölands', () => 1);\n"
    (tmp_path / "src" / "routes.ts").write_bytes(f"\ufeff{routes}".encode(encoding))
    (tmp_path / "src" / "other.ts").write_bytes(f"\ufeff{routes}".encode(encoding))
    main = "import express from 'express';\nimport { routes } from './routes';\nconst app = express();\n"
    files = {"src/main.ts": f"{main}app.use('/api', routes);\n{LISTEN}"}
    plan = plan_of(tmp_path, {"scripts": {"start": "ts-node src/main.ts"}}, files)
    step = plan.steps[0]
    assert step.name == "UTF-8"
    assert step.argv[3:] == ("./src/routes.ts",)
    subprocess.run(step.argv, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "src" / "routes.ts").read_text() == routes
    assert [one.path for one in extract(tmp_path).endpoints] == ["/api/ölands"]


def test_a_mark_of_utf_16_with_no_text_of_it_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.ts").write_bytes(b"\xff\xfe\x00\xd8a")
    plan = plan_of(tmp_path, {}, {"server.js": f"require('./broken.ts');\n{EXPRESS}{LISTEN}"})
    subprocess.run(plan.steps[0].argv, cwd=tmp_path, check=True, timeout=60)
