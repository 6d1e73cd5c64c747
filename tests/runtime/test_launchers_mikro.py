"""The hook in Node's programs: MikroORM finds its database, and makes tables that are not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

# As far as the hook knows it: it tells what it is asked.
MIKRO = """
const asked = JSON.parse(process.env.ASKED);
exports.Configuration = class { };
exports.Configuration.DEFAULTS = { schemaGenerator: { disableForeignKeys: true }, migrations: {} };
const helper = { databaseExists: async () => false };
exports.MikroORM = class MikroORM {
  config = {
    set: (name, value) => console.log('set', name, value),
    getClientUrl: () => asked.url || 'postgresql://ann:***@localhost:5432',
    getDriver: () => ({ getPlatform: () => ({ getSchemaHelper: () => helper }) }),
  };
  em = { getConnection: () => ({ execute: async () => [{ found: String(asked.found || 0) }] }) };
  async connect() {
    const { schemaGenerator } = exports.Configuration.DEFAULTS;
    console.log('there', await helper.databaseExists(), schemaGenerator.disableForeignKeys);
    return 'connected';
  }
  getMigrator() {
    if (asked.pending === undefined) throw Object.assign(new Error('broken'), { code: asked.code });
    return { getPendingMigrations: async () => asked.pending, up: async () => console.log('up') };
  }
  getSchemaGenerator() {
    if (asked.fails) throw new Error('set names;\\nmore');
    return { createSchema: async () => console.log('made') };
  }
};
"""
MAIN = """
require(process.argv[2]).prepareMikro();
const { MikroORM } = require('@mikro-orm/core');
const orm = new MikroORM();
orm.connect().then(console.log).then(() => orm.connect());
"""
FIRST, LATER = "there true false", ["connected", "there true false"]
MADE = "no migration makes the tables: MikroORM has made those of its entities"


def run(folder: Path, *, is_asked: bool = True, **asked: object) -> list[str]:
    (folder / "app.js").write_text(MAIN)
    package = folder / "node_modules" / "@mikro-orm" / "core"
    package.mkdir(parents=True)
    (package / "index.js").write_text(MIKRO)
    variables = {**os.environ, "ASKED": json.dumps(asked), **({"PREVIEW_MIKRO_ORM": "1"} if is_asked else {})}
    argv = ["node", "app.js", str(LAUNCHERS / "mikro.cjs")]
    done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=90, check=True, text=True, env=variables)
    return done.stdout.splitlines()


def test_migrations_make_the_tables_once(tmp_path: Path) -> None:
    told = ["up", "MikroORM has run the project's migrations: 2"]
    assert run(tmp_path, pending=["1", "2"]) == [FIRST, *told, *LATER]


def test_migrations_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert run(tmp_path, code="ERR_OTHER") == [
        FIRST,
        "MikroORM cannot read the migrations: broken",
        "made",
        MADE,
        *LATER,
    ]


@pytest.mark.parametrize("asked", [{"code": "MODULE_NOT_FOUND"}, {"pending": []}])
def test_without_migrations_mikro_orm_makes_them(tmp_path: Path, asked: dict[str, Any]) -> None:
    assert run(tmp_path, **asked) == [FIRST, "made", MADE, *LATER]


def test_tables_that_are_there_stay(tmp_path: Path) -> None:
    assert run(tmp_path, found=3, pending=["1"]) == [FIRST, *LATER]


def test_an_error_is_told_and_the_program_goes_on(tmp_path: Path) -> None:
    assert run(tmp_path, fails=True, pending=[]) == [FIRST, "MikroORM cannot make the tables: set names; more", *LATER]


@pytest.mark.parametrize(("url", "is_asked"), [("postgresql://ann:***@db.example.org:5432", True), (None, False)])
def test_a_server_elsewhere_and_a_plan_that_does_not_ask_change_nothing(
    tmp_path: Path, url: str | None, is_asked: bool
) -> None:
    there = f"there false {'true' if not is_asked else 'false'}"
    assert run(tmp_path, is_asked=is_asked, url=url) == [there, "connected", there]
