"""The hook in Node's programs finds a TypeScript source under the name of what a compiler makes of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

# Stands for a loader of TypeScript: this source is the same in both languages.
LOADER = """
require(process.argv[2]).findSources();
require.extensions['.ts'] = require.extensions['.js'];
require('./main.ts');
"""


def run(folder: Path) -> str:
    argv = ["node", "app.js", str(LAUNCHERS / "sources.cjs")]
    return subprocess.run(argv, cwd=folder, capture_output=True, timeout=90, check=False, text=True).stdout.strip()


def test_a_source_is_found_under_the_name_of_what_is_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(LOADER)
    (tmp_path / "barn.ts").write_text("exports.name = 'barn';\n")
    (tmp_path / "both.ts").write_text("exports.name = 'source';\n")
    (tmp_path / "both.js").write_text("exports.name = 'made';\n")
    main = "console.log(require('./barn.js').name, require('./both.js').name);\n"
    (tmp_path / "main.ts").write_text(main)
    assert run(tmp_path) == "barn made"


def test_a_package_gets_no_other_file_than_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(LOADER)
    package = tmp_path / "node_modules" / "shed"
    package.mkdir(parents=True)
    (package / "index.ts").write_text("require('./barn.js');\n")
    (package / "barn.ts").write_text("")
    (package / "package.json").write_text('{"main": "index.ts"}')
    main = "try { require('shed'); } catch (error) { console.log(error.code, error.message.split('\\n')[0]); }\n"
    (tmp_path / "main.ts").write_text(main)
    assert run(tmp_path) == "MODULE_NOT_FOUND Cannot find module './barn.js'"


def test_a_module_that_has_only_types_is_empty_for_sources_and_missing_for_others(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(LOADER)
    for folder in (tmp_path, tmp_path / "node_modules" / "shed"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "barn.d.ts").write_text("export interface Barn { name: string }\n")
    (tmp_path / "node_modules" / "shed" / "index.js").write_text("require('./barn');\n")
    asked = ["./barn", "./barn.js", "./gone", "shed"]
    lines = [
        f"try {{ console.log(require('{name}')); }} catch (error) {{ console.log(error.code); }}" for name in asked
    ]
    (tmp_path / "main.ts").write_text("\n".join(lines))
    assert run(tmp_path).split("\n") == ["{}", "{}", "MODULE_NOT_FOUND", "MODULE_NOT_FOUND"]


def test_a_source_finds_a_package_that_only_a_package_of_its_manifest_has(tmp_path: Path) -> None:
    (tmp_path / "app.js").write_text(LOADER)
    (tmp_path / "package.json").write_text('{"dependencies": {"@barn/shed": "1", "door": "1"}}')
    for name in ("@barn/shed/node_modules/hay", "stray/node_modules/straw", "door"):
        (tmp_path / "node_modules" / name).mkdir(parents=True)
        (tmp_path / "node_modules" / name / "index.js").write_text(f"module.exports = {name!r};\n")
    (tmp_path / "node_modules" / "door" / "index.js").write_text("require('hay');\n")
    asked = ["hay", "straw", "door", "gone"]
    lines = [
        f"try {{ console.log(require('{name}')); }} catch (error) {{ console.log(error.code); }}" for name in asked
    ]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "inner.ts").write_text("\n".join(lines))
    (tmp_path / "main.ts").write_text("require('./src/inner.ts');\n")
    assert run(tmp_path).split("\n") == ["@barn/shed/node_modules/hay", *["MODULE_NOT_FOUND"] * 3]
