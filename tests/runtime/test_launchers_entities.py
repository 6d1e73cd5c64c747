"""The hook in Node's programs: TypeORM finds the sources' entities where its patterns name a build's output."""

from __future__ import annotations

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
