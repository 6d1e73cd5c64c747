"""The hook in Node's programs: TypeORM finds the sources' entities, and makes tables that nothing else makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

LOADER = """
require(process.argv[2]).findEntities();
require.extensions['.ts'] = require.extensions['.js'];
require('./main.ts');
"""
# Loads no patterns, as TypeORM does if a pattern matches no file.
TYPEORM = """
exports.DataSource = class DataSource {
  constructor(options) { this.options = options; this.entityMetadatas = []; this.times = 0; }
  KIND buildMetadatas() {
    this.times += 1;
    if (this.options.entities.some((one) => one.includes('broken'))) throw new Error('no such type\\nmore');
    this.entityMetadatas = this.options.entities.filter((one) => typeof one !== 'string' || !one.includes('*'));
  }
};
"""
MAIN = """
const { DataSource } = require('typeorm');
const source = new DataSource({ entities: ENTITIES });
const path = require('path');
const tell = () => {
  const names = source.entityMetadatas.map((one) => typeof one === 'string' ? path.relative('.', one) : one.name);
  console.log(names.join(' '), source.times);
};
const built = source.buildMetadatas();
built ? built.then(tell) : tell();
"""
ENTITY = "/*\n@Entity('barns')\n*/\n"


def run(folder: Path, entities: str = "['dist/**/*.entity.js']", kind: str = "async") -> str:
    (folder / "app.js").write_text(LOADER)
    package = folder / "node_modules" / "typeorm"
    package.mkdir(parents=True)
    (package / "index.js").write_text(TYPEORM.replace("KIND", kind))
    (package / "own.js").write_text(ENTITY)
    (folder / "main.ts").write_text(MAIN.replace("ENTITIES", entities))
    argv = ["node", "app.js", str(LAUNCHERS / "entities.cjs")]
    done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=90, check=False, text=True)
    return done.stdout.strip() or done.stderr


def write_sources(folder: Path) -> None:
    for name in ("src/barn.entity.ts", "src/herd/cow.ts", "src/barn.entity.spec.ts", "test/barn.ts"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ENTITY)
    (folder / "src/barn.service.ts").write_text("// @Entity in words\n")


@pytest.mark.parametrize("kind", ["async", ""])
def test_sources_that_declare_entities_stand_in_for_a_build(tmp_path: Path, kind: str) -> None:
    write_sources(tmp_path)
    told = "no file of entities is found at dist/**/*.entity.js; TypeORM gets the 2 sources that declare some"
    assert run(tmp_path, kind=kind) == f"{told}\nsrc/barn.entity.ts src/herd/cow.ts 2"


@pytest.mark.parametrize("kind", ["async", ""])
def test_sources_that_typeorm_cannot_use_change_nothing(tmp_path: Path, kind: str) -> None:
    (tmp_path / "broken.ts").write_text(ENTITY)
    lines = run(tmp_path, kind=kind).splitlines()
    assert lines[1] == "TypeORM cannot use these sources, and goes on without them: no such type"
    assert lines[2].split() == ["3"]


def test_what_typeorm_finds_itself_is_left_alone(tmp_path: Path) -> None:
    write_sources(tmp_path)
    assert run(tmp_path, "['src/barn.entity.ts']") == "src/barn.entity.ts 1"


def test_classes_alone_name_no_files(tmp_path: Path) -> None:
    write_sources(tmp_path)
    assert run(tmp_path, "[]") == "1"


def test_without_such_sources_typeorm_says_itself_what_is_missing(tmp_path: Path) -> None:
    assert run(tmp_path) == "1"


def test_links_and_large_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "large.ts").write_text(ENTITY + " " * 300_000)
    (tmp_path / "src" / "loop").symlink_to("..")
    (tmp_path / "src" / "device.ts").symlink_to("/dev/zero")
    assert run(tmp_path) == "1"


# Tells what it is asked, and what it makes.
CONNECTING = """
exports.SOURCE = class {
  constructor(options) { Object.assign(this, { options, entityMetadatas: [], migrations: options.made || [] }); }
  async buildMetadatas() { this.entityMetadatas = this.options.entities; }
  async OPEN() { await this.buildMetadatas(); return this; }
  async query(text) {
    if (this.options.fails) throw new Error('no answer\\nmore');
    console.log(text.split(' ').pop());
    return [{ found: String(this.options.found || 0) }];
  }
  async synchronize() { console.log('tables'); }
};
"""
OPENED = (
    "const orm = require('typeorm');\nnew orm.SOURCE(OPTIONS).OPEN().then((made) => console.log(made.options.type));\n"
)
TABLES = "no migration makes the tables: TypeORM has made those of 2 entities"


def opened(
    folder: Path, options: dict[str, object], *, version: str = "DataSource", asked: str | None = "1"
) -> list[str]:
    names = {"SOURCE": version, "OPEN": "initialize" if version == "DataSource" else "connect"}
    given = {"type": "postgres", "host": "localhost", "entities": ["a", "b"], **options}
    texts = [CONNECTING, OPENED.replace("OPTIONS", json.dumps(given))]
    for name, text in names.items():
        texts = [one.replace(name, text) for one in texts]
    package = folder / "node_modules" / "typeorm"
    package.mkdir(parents=True)
    (package / "index.js").write_text(texts[0])
    (folder / "app.js").write_text(LOADER)
    (folder / "main.ts").write_text(texts[1])
    variables = {**os.environ, "PREVIEW_SERVER_NAMES": "db,cache"}
    variables |= {} if asked is None else {"PREVIEW_TYPEORM_TABLES": asked}
    argv = ["node", "app.js", str(LAUNCHERS / "entities.cjs")]
    done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=90, check=False, text=True, env=variables)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("version", ["DataSource", "Connection"])
@pytest.mark.parametrize(
    ("options", "schema"),
    [
        ({}, "current_schema()"),
        ({"type": "mysql"}, "DATABASE()"),
        ({"host": "db"}, "current_schema()"),
        ({"host": None, "url": "postgresql://me:it@localhost:5432/shop"}, "current_schema()"),
    ],
)
def test_typeorm_makes_tables_that_nothing_else_makes(
    tmp_path: Path, version: str, options: dict[str, object], schema: str
) -> None:
    kind = options.get("type", "postgres")
    assert opened(tmp_path, options, version=version) == [schema, "tables", TABLES, kind]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"found": 3}, ["current_schema()"]),
        ({"synchronize": True}, []),
        ({"made": ["one"]}, []),
        ({"type": "mongodb"}, []),
        # A server of the user's, whatever its state.
        ({"host": "db.example.org"}, []),
        ({"host": "localhost", "url": "postgresql://me:it@db.example.org/shop"}, []),
        ({"fails": True}, ["TypeORM cannot make the tables, and no migration does: no answer"]),
    ],
)
def test_typeorm_leaves_other_databases_as_they_are(
    tmp_path: Path, options: dict[str, object], said: list[str]
) -> None:
    assert opened(tmp_path, options) == [*said, options.get("type", "postgres")]


def test_typeorm_makes_no_tables_unasked(tmp_path: Path) -> None:
    assert opened(tmp_path, {}, asked=None) == ["postgres"]
