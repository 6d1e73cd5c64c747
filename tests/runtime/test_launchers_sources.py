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
