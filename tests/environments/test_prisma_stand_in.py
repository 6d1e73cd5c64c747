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
