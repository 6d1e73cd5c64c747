"""The hook in Node's programs: compiled ES modules that export something as a whole."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node")

# What a loader makes of an ES module, with the names of `EXPORTS`.
COMPILED = """
module.exports = Object.defineProperty({}, '__esModule', { value: true });
for (const [name, value] of Object.entries(EXPORTS)) {
  Object.defineProperty(module.exports, name, { get: () => value, enumerable: true });
}
"""
PROGRAM = "require(process.argv[2]).takeWholeExports();\nconst shop = require('./shop.js');\n"


@pytest.mark.parametrize(
    ("exported", "code", "said"),
    [
        ("{ 'module.exports': () => 'open', till: 3 }", "console.log(shop(), shop.till)", "open 3"),
        ("{ 'module.exports': Object.freeze({ a: 1 }), till: 3 }", "console.log(shop.a, shop.till)", "1 undefined"),
        ("{ 'module.exports': 'text' }", "console.log(shop)", "text"),
        ("{ 'module.exports': null }", "console.log(shop)", "null"),
        ("{ default: 1, till: 3 }", "console.log(shop.default, shop.till, shop.__esModule)", "1 3 true"),
    ],
)
def test_require_gets_what_a_module_exports_as_a_whole(tmp_path: Path, exported: str, code: str, said: str) -> None:
    (tmp_path / "shop.js").write_text(COMPILED.replace("EXPORTS", exported))
    (tmp_path / "main.js").write_text(PROGRAM + code)
    done = subprocess.run(
        ["node", "main.js", str(LAUNCHERS / "exported.cjs")], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == said, done.stderr
