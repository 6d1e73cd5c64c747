"""The stand-in for a Prisma client that cannot be generated, and the client without an engine."""

from __future__ import annotations

import json
import os
import subprocess
from importlib import resources
from pathlib import Path

import pytest

SCHEMA = 'generator client {\n  provider = "prisma-client-js"\n}\nmodel User {\n  id Int @id\n}\n'
SERVICE = """
const { PrismaClient } = require('./node_modules/.prisma/client');
class PrismaService extends PrismaClient {
  constructor() { super(); this.ready = 'no'; }
  async onModuleInit() { await this.$connect(); this.ready = 'yes'; }
}
const one = new PrismaService();
(async () => {
  await one.onModuleInit();
  const failed = await one.user.findMany().catch((error) => error.constructor.name);
  console.log(one.ready, typeof one.onModuleDestroy, failed);
})();
"""


def test_a_service_that_extends_the_stand_in_keeps_its_own_methods(tmp_path: Path) -> None:
    program = resources.files("preview.environments.node") / "scripts" / "preview-prisma.cjs"
    (tmp_path / "schema.prisma").write_text(SCHEMA)
    (tmp_path / "service.js").write_text(SERVICE)
    subprocess.run(["node", str(program), "schema.prisma"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    done = subprocess.run(["node", "service.js"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["yes", "undefined", "PrismaClientInitializationError"], done.stderr


ASKS = """
const { Prisma, Kind } = require('./node_modules/.prisma/client');
const { models } = Prisma.dmmf.datamodel;
console.log(models.map((one) => one.dbName || one.name).join(), models[0].fields.map((one) => one.kind).join(), Kind.A);
"""


def test_the_stand_in_knows_the_models_of_a_schema_in_several_files(tmp_path: Path) -> None:
    program = resources.files("preview.environments.node") / "scripts" / "preview-prisma.cjs"
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "main.prisma").write_text(SCHEMA)
    (tmp_path / "schema" / "crop.prisma").write_text(
        'enum Kind {\n  A\n}\nmodel Crop {\n  id Int @id\n  kind Kind?\n  user User[]\n  @@map("crops")\n}\n'
    )
    (tmp_path / "ask.js").write_text(ASKS)
    subprocess.run(["node", str(program), "schema"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    done = subprocess.run(["node", "ask.js"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["crops,User", "scalar,enum,object", "A"], done.stderr


def test_the_stand_in_of_a_workspace_is_beside_the_package_that_loads_it(tmp_path: Path) -> None:
    program = resources.files("preview.environments.node") / "scripts" / "preview-prisma.cjs"
    inner = tmp_path / "apps" / "api"
    inner.mkdir(parents=True)
    (tmp_path / "node_modules" / "@prisma" / "client").mkdir(parents=True)
    (inner / "schema.prisma").write_text(SCHEMA)
    subprocess.run(["node", str(program), "schema.prisma"], cwd=inner, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "node_modules" / ".prisma" / "client" / "index.js").is_file()
    assert not (inner / "node_modules").exists()


# Generates what Prisma does: the client, and the types of its models.
TOOL = """
const fs = require('fs');
if (!process.argv.includes('--no-engine') || FAILS) process.exit(1);
fs.mkdirSync('node_modules/.prisma/client', { recursive: true });
fs.writeFileSync('node_modules/.prisma/client/index.d.ts', 'export type User = { id: number };');
fs.writeFileSync('node_modules/.prisma/client/index.js', `
class PrismaClientInitializationError extends Error {}
class PrismaClient { constructor() { throw new Error('asks the engine'); } }
exports.Prisma = { PrismaClientInitializationError, Decimal: 'a real one' };
exports.PrismaClient = PrismaClient;
`);
"""
DECIMAL = "console.log(require('./node_modules/.prisma/client').Prisma.Decimal);\n"


def without_engine(folder: Path, *, fails: str = "false", schema: str = SCHEMA) -> tuple[str, str]:
    """Return what the program says, and what a service of the client says then."""
    program = resources.files("preview.environments.node") / "scripts" / "preview-prisma.cjs"
    tool = folder / "node_modules" / "prisma"
    (tool / "build").mkdir(parents=True)
    (tool / "build" / "index.js").write_text(TOOL.replace("FAILS", fails))
    (tool / "package.json").write_text('{"version": "6.1.0"}')
    (folder / "schema.prisma").write_text(schema)
    variables = {**os.environ, "PRISMA_QUERY_ENGINE_LIBRARY": "/environment/no-prisma-engine"}
    argv = ["node", str(program), "schema.prisma"]
    made = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=True, env=variables)
    (folder / "service.js").write_text(SERVICE + DECIMAL)
    argv = ["node", "service.js"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return made.stdout, done.stdout


def test_without_an_engine_prismas_own_types_are_generated_and_its_client_asks_no_database(tmp_path: Path) -> None:
    said, service = without_engine(tmp_path)
    assert said.startswith("the Prisma client has its types and no engine (its engine could not be downloaded from ")
    assert service.split("\n")[:2] == ["a real one", "yes undefined PrismaClientInitializationError"]
    assert (tmp_path / "node_modules/.prisma/client/index.d.ts").is_file()


def test_where_prisma_makes_no_types_without_an_engine_the_stand_in_is_used(tmp_path: Path) -> None:
    said, service = without_engine(tmp_path, fails="true")
    assert said.startswith("the Prisma client could not be generated (its engine could not be downloaded from ")
    assert service.split("\n")[1] == "yes undefined PrismaClientInitializationError"


# Generates what Prisma does for a schema that asks for no engine: a client that wants an adapter.
ADAPTED = """
const fs = require('fs');
const text = fs.readFileSync('schema.prisma', 'utf8');
if (!/WANTED/.test(text) || FAILS) process.exit(1);
fs.mkdirSync('node_modules/.prisma/client', { recursive: true });
const old = require('../package.json').version.startsWith('5');
if (old) fs.writeFileSync('node_modules/.prisma/client/index.js', 'throw new Error("asks the engine");');
fs.writeFileSync(`node_modules/.prisma/client/${old ? 'wasm' : 'index'}.js`, `
class PrismaClient {
  constructor(options) { this.given = options; this.$connect = async () => undefined; }
}
exports.Prisma = {};
exports.PrismaClient = PrismaClient;
`);
"""
PG = "exports.PrismaPg = class { constructor(...given) { this.given = given; } };"
POOL = "exports.Pool = class { constructor(given) { this.pool = given; } };"
LIBSQL = "exports.PrismaLibSQL = class { constructor(...given) { this.given = given; } };"
GIVEN = """
const { PrismaClient } = require('./node_modules/.prisma/client');
const told = ({ adapter, ...rest }) => [adapter.given || adapter, rest];
console.log(JSON.stringify([
  told(new PrismaClient().given),
  told(new PrismaClient({ log: ['query'], datasources: { db: { url: 'postgresql://a@other/b' } } }).given),
  told(new PrismaClient({ adapter: 'own' }).given),
]));
"""


def with_adapters(folder: Path, version: str, schema: str, wanted: str, *, fails: str = "false") -> tuple[str, str]:
    """Return what the program says, and what clients are then made of."""
    program = resources.files("preview.environments.node") / "scripts" / "preview-prisma.cjs"
    packages = folder / "node_modules"
    (packages / "prisma" / "build").mkdir(parents=True)
    (packages / "prisma/build/index.js").write_text(ADAPTED.replace("WANTED", wanted).replace("FAILS", fails))
    (packages / "prisma/package.json").write_text(json.dumps({"version": version}))
    for name, text in (("@prisma/adapter-pg", PG), ("@prisma/adapter-libsql", LIBSQL), ("pg", POOL)):
        (packages / name).mkdir(parents=True)
        (packages / name / "index.js").write_text(text)
    (folder / "schema.prisma").write_text(schema)
    variables = {**os.environ, "PRISMA_QUERY_ENGINE_LIBRARY": "/environment/prisma-with-adapters"}
    argv = ["node", str(program), "schema.prisma"]
    made = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=True, env=variables)
    assert (folder / "schema.prisma").read_text() == schema
    (folder / "given.js").write_text(GIVEN)
    variables = {**os.environ, "SHOP_DB": "postgresql://u:p@localhost/shop?schema=crops"}
    argv = ["node", "given.js"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=variables)
    return made.stdout, done.stdout


POSTGRES = f'{SCHEMA}datasource db {{\n  provider = "postgresql"\n  url = env("SHOP_DB")\n}}\n'
FEATURES = 'previewFeatures = \\["driverAdapters","queryCompiler"\\]'


@pytest.mark.parametrize(
    ("version", "schema", "wanted"),
    [
        ("6.16.2", POSTGRES, 'engineType = "client"'),
        (
            "6.11.1",
            POSTGRES.replace(
                "-js", '-js"\n  engineType = "library"\n  previewFeatures = [\n"driverAdapters"\n]\n  x = "'
            ),
            FEATURES,
        ),
    ],
)
def test_the_client_asks_the_database_through_an_adapter(
    tmp_path: Path, version: str, schema: str, wanted: str
) -> None:
    said, given = with_adapters(tmp_path, version, schema, wanted)
    assert said.startswith("the Prisma client asks the database through an adapter")
    first, second, own = json.loads(given)
    assert first == [[{"connectionString": "postgresql://u:p@localhost/shop?schema=crops"}, {"schema": "crops"}], {}]
    assert second == [[{"connectionString": "postgresql://a@other/b"}, {}], {"log": ["query"]}]
    assert own == ["own", {}]


def test_a_client_of_version_5_has_an_engine_for_other_runtimes(tmp_path: Path) -> None:
    said, given = with_adapters(tmp_path, "5.22.0", POSTGRES, "previewFeatures = ..driverAdapters")
    assert said.startswith("the Prisma client asks the database through an adapter")
    address = "postgresql://u:p@localhost/shop?schema=crops"
    assert json.loads(given)[0] == [[{"pool": {"connectionString": address}}, {"schema": "crops"}], {}]
    loader = (tmp_path / "node_modules/.prisma/client/wasm-worker-loader.mjs").read_text()
    assert "new WebAssembly.Module(fs.readFileSync(new URL('./query_engine_bg.wasm'" in loader


def test_the_path_of_a_file_begins_at_the_schema(tmp_path: Path) -> None:
    schema = SCHEMA + 'datasource db {\n  provider = "sqlite"\n  url = "file:./dev.db?connection_limit=1"\n}\n'
    _, given = with_adapters(tmp_path, "6.19.0", schema, "client")
    assert json.loads(given)[0] == [[{"url": f"file:{tmp_path}/dev.db"}], {}]


@pytest.mark.parametrize("fails", ["true", "false"])
def test_without_an_adapter_for_the_database_the_client_asks_none(tmp_path: Path, fails: str) -> None:
    schema = POSTGRES if fails == "true" else POSTGRES.replace("postgresql", "sqlserver")
    said, _ = with_adapters(tmp_path, "6.16.2", schema, "client", fails=fails)
    assert "its engine could not be downloaded" in said
    assert "its database calls fail" in said
