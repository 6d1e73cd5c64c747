"""The programs that stand in for what a project's scripts call and the machine does not have."""

from __future__ import annotations

import json
import os
import subprocess
from importlib import resources
from pathlib import Path

import pytest

SCRIPTS = resources.files("preview.environments.node") / "scripts"


def put(folder: Path, name: str, script: str) -> None:
    path = folder / "node_modules" / ".bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((SCRIPTS / script).read_text("utf-8"))
    path.chmod(0o755)


def run(folder: Path, *argv: str, **variables: str) -> tuple[int, str]:
    path = f"{folder}/node_modules/.bin:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "npm_config_update_notifier": "false", **variables}
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("yarn", "pnpm", "bun"):
        put(tmp_path, name, "preview-manager.cjs")
    for folder, said in ((tmp_path, "root"), (tmp_path / "web", "web")):
        folder.mkdir(exist_ok=True)
        scripts = {"hello": f"echo {said}", "args": "node -p process.argv.slice(1).join()", "fail": "exit 3"}
        (folder / "package.json").write_text(json.dumps({"scripts": scripts}))
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("yarn", "hello"), "root"),
        (("pnpm", "run", "hello"), "root"),
        (("yarn", "--cwd", "web", "hello"), "web"),
        (("pnpm", "--dir=web", "run", "hello"), "web"),
        (("bun", "run", "--", "hello"), "root"),
        (("yarn", "node", "-p", "'a' + 'b'"), "ab"),
        (("pnpm", "exec", "node", "-p", "1 + 2"), "3"),
    ],
)
def test_a_script_or_a_program_is_run_where_it_is_named(project: Path, argv: tuple[str, ...], said: str) -> None:
    code, output = run(project, *argv)
    assert (code, output.splitlines()[-1]) == (0, said)


@pytest.mark.parametrize("argv", [("yarn",), ("pnpm", "install"), ("bun", "add", "left-pad")])
def test_an_installation_is_nothing_to_do(project: Path, argv: tuple[str, ...]) -> None:
    assert run(project, *argv) == (0, f"{argv[0]}: the packages are there already, nothing is installed\n")


def test_a_script_that_fails_fails(project: Path) -> None:
    assert run(project, "yarn", "fail")[0] != 0


def test_a_program_that_is_nowhere_is_named(project: Path) -> None:
    code, output = run(project, "yarn", "no-such-program")
    assert code == 1
    assert "no-such-program" in output


@pytest.mark.parametrize("command", ["migrate", "db"])
def test_prisma_without_its_engine_says_so_in_one_sentence(tmp_path: Path, command: str) -> None:
    put(tmp_path, "prisma", "preview-no-engine.cjs")
    code, output = run(tmp_path, "prisma", command, "deploy")
    assert code == 1
    assert output.count("\n") == 1
    assert "engine could not be downloaded (binaries.prisma.sh)" in output


# A driver that keeps what it is asked for in a file.
DRIVER = """
const fs = require('fs');
exports.Client = class {
  constructor({ connectionString }) { this.file = connectionString.replace('postgresql:', ''); }
  async connect() { this.text = fs.existsSync(this.file) ? fs.readFileSync(this.file, 'utf8') : ''; }
  async query(sql) {
    if (sql.includes('broken')) throw new Error('it is broken');
    this.text += `${sql.replace(/\\s+/g, ' ')}\n`;
    const noted = [...this.text.matchAll(/VALUES \\('[^']*', '[^']*', '([^']*)'/g)];
    return { rows: noted.map((one) => ({ migration_name: one[1] })) };
  }
  async end() { fs.writeFileSync(this.file, this.text); }
};
"""


def test_prisma_without_its_engine_loads_migrations_by_the_projects_driver(tmp_path: Path) -> None:
    put(tmp_path, "prisma", "preview-no-engine.cjs")
    (tmp_path / "node_modules" / "pg").mkdir()
    (tmp_path / "node_modules" / "pg" / "index.js").write_text(DRIVER)
    migrations = tmp_path / "prisma" / "migrations"
    for name, sql in (("2_b", "create b"), ("1_a", "create a"), ("10_c", "create c")):
        (migrations / name).mkdir(parents=True)
        (migrations / name / "migration.sql").write_text(sql)
    (migrations / "migration_lock.toml").write_text("")
    schema = 'datasource db {\n  provider = "postgresql"\n  url = env("SHOP_URL")\n}\n'
    (tmp_path / "prisma" / "schema.prisma").write_text(schema)

    def deploy() -> tuple[int, str]:
        argv = ("prisma", "migrate", "deploy", "--schema", "prisma/schema.prisma")
        return run(tmp_path, *argv, SHOP_URL=f"postgresql:{tmp_path / 'asked'}")

    code, output = deploy()
    assert (code, output.count("Applied migration")) == (0, 3), output
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line for line in asked if line.startswith("create")] == ["create c", "create a", "create b"]
    # A second start loads none again.
    assert deploy() == (0, "")
    (migrations / "3_d").mkdir()
    (migrations / "3_d" / "migration.sql").write_text("broken")
    assert deploy() == (1, "Error: a migration failed: it is broken\n")
    # Where it cannot load them, it says what is missing.
    (tmp_path / "prisma" / "schema.prisma").write_text(schema.replace("postgresql", "sqlserver"))
    code, output = deploy()
    assert (code, "engine could not be downloaded" in output) == (1, True)


# Tells the SQL of a schema once its settings have the adapter where this version looks for it.
TELLS = """
const text = require('fs').readFileSync(process.argv[process.argv.indexOf('--config') + 1], 'utf8');
if (!text.includes('migrate: { adapter }')) process.exit(1);
console.log('Loaded Prisma config.\\n-- CreateTable\\nCREATE TABLE "User" (id INTEGER);');
"""
# Drivers of SQLite that keep what they are asked for in the file.
SQLITE = """
const fs = require('fs');
const read = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '');
class Database {
  constructor(file) { this.file = file; }
  exec(sql) { fs.writeFileSync(this.file, `${read(this.file)}${sql}\\n`); }
  prepare() { return { all: () => (read(this.file).includes('CREATE TABLE') ? [{}] : []) }; }
  close() {}
}
"""
LIBSQL = """
exports.createClient = ({ url }) => {
  const database = new Database(url.replace('file:', ''));
  const execute = async () => ({ rows: database.prepare().all() });
  return { execute, executeMultiple: async (sql) => database.exec(sql), close: () => undefined };
};
"""


@pytest.mark.parametrize(
    ("driver", "text", "version", "member", "at"),
    [
        ("@libsql/client", SQLITE + LIBSQL, "6.11.1", ".", "prisma/dev.db"),
        ("@libsql/client", SQLITE + LIBSQL, "6.11.1", "apps/api", "prisma/dev.db"),
        ("better-sqlite3", f"{SQLITE}module.exports = Database;", "7.1.0", ".", "dev.db"),
    ],
)
def test_prisma_without_its_engine_makes_the_tables_of_a_new_database(
    tmp_path: Path, driver: str, text: str, version: str, member: str, at: str
) -> None:
    put(tmp_path, "prisma", "preview-no-engine.cjs")
    tool, own = tmp_path / "node_modules" / "prisma", tmp_path / member
    for folder in (tool / "build", tmp_path / "node_modules" / driver, own / "prisma"):
        folder.mkdir(parents=True, exist_ok=True)
    (tool / "build" / "index.js").write_text(TELLS)
    (tool / "package.json").write_text(json.dumps({"version": version}))
    (tmp_path / "node_modules" / driver / "index.js").write_text(text)
    (own / "prisma" / "schema.prisma").write_text(
        'datasource db {\n  provider = "sqlite"\n  url = env("DATABASE_URL")\n}\n'
    )

    def push() -> tuple[int, str]:
        tool = str(tmp_path / "node_modules" / ".bin" / "prisma")
        return run(own, tool, "db", "push", DATABASE_URL="file:./dev.db?connection_limit=1")

    assert push() == (0, "The tables of the schema are made (without Prisma's engine)\n")
    assert (own / at).read_text() == '-- CreateTable\nCREATE TABLE "User" (id INTEGER);\n\n'
    assert push() == (0, "The database has tables already, and stays as it is (without Prisma's engine)\n")
    assert not (tmp_path / "node_modules" / ".preview-prisma.config.mjs").exists()


def test_prisma_without_its_engine_does_all_else(tmp_path: Path) -> None:
    put(tmp_path, "prisma", "preview-no-engine.cjs")
    (tmp_path / "node_modules" / "prisma" / "build").mkdir(parents=True)
    (tmp_path / "node_modules" / "prisma" / "build" / "index.js").write_text("console.log(process.argv[2]);")
    assert run(tmp_path, "prisma", "version") == (0, "version\n")
    # It only runs a command of the project.
    assert run(tmp_path, "prisma", "db", "seed") == (0, "db\n")
