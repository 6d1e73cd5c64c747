"""The stand-in for a Prisma client that cannot be generated."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path

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
