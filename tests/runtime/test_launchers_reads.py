"""A program that ends before it serves names the variables that it read without a value."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preview.runtime.launchers.paths import LAUNCHERS, LISTEN_HOOK

THIRD = """
import sys, pathlib
folder = pathlib.Path(__file__).parent / "site-packages"; folder.mkdir()
(folder / "third.py").write_text("import os; os.getenv('THIRD')")
sys.path.append(str(folder)); import third
"""
SAID = "read without a value: "


def of_python(code: str, tmp_path: Path, after: str = "") -> list[str]:
    """Return the names that a module's import reports."""
    (tmp_path / "old.py").write_text(code)
    return names(run_python(tmp_path, after).stderr)


def run_python(tmp_path: Path, after: str) -> subprocess.CompletedProcess[str]:
    script = (
        f"import sys; sys.path[0] = {str(LAUNCHERS)!r}; import preview_serving; "
        f"preview_serving.become_main({str(tmp_path)!r}, 'old:app'); import old; {after}"
    )
    return subprocess.run([sys.executable, "-c", script], cwd="/", capture_output=True, text=True, check=False)


def names(text: str) -> list[str]:
    lines = [line.replace("\x1b]7473;;2\x1b\\", "") for line in text.splitlines()]
    return [name for line in lines if line.startswith(SAID) for name in line.removeprefix(SAID).split(", ")]


@pytest.mark.parametrize(
    "code",
    [
        "import os\nint(os.getenv('SITE_KEY'))",
        "import os\nos.environ['SITE_KEY']",
        "import os\nread = lambda name: os.environ.get(name.upper())\nint(read('site_key'))",
        "from os import environ\n{name: environ.get('SITE_' + name) for name in ['KEY']}",
        "import os\nfor _ in range(9): os.environ.get('SITE_KEY')",
        "import os\nos.environ.pop('SITE_KEY', None)\ntry: os.environ.pop('SITE_KEY')\nexcept KeyError: pass",
    ],
)
def test_a_read_without_a_value_is_named_whatever_reads_it(code: str, tmp_path: Path) -> None:
    assert of_python(code, tmp_path) == ["SITE_KEY"]


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.getenv('SITE_KEY', '')\nos.environ.get('OTHER', 1)\nos.getenv('PATH')\nos.getenv('FLASK_DEBUG')",
        # Questions and defaults in other forms.
        "import os\nassert 'B' not in os.environ\nassert os.environ.pop('B', 7) == os.environ.pop('B', default=7)",
        "import os\nassert os.environ.setdefault('SITE_KEY', '1') == os.environ.pop('SITE_KEY') == '1'",
        "import os\nos.environ['NEW'] = '1'\nassert 'NEW' in os.environ and 'NEW' in list(os.environ)",
        # No name that a program may have chosen to be read as something else.
        "import os\nos.getenv('A, LD_PRELOAD')\nos.getenv('A\\nread without a value: B')\nos.getenv('=')",
        # A package, while it is imported.
        THIRD,
    ],
)
def test_a_default_a_strange_name_and_a_packages_own_read_are_not_named(code: str, tmp_path: Path) -> None:
    assert of_python(code, tmp_path) == []


def test_a_name_that_a_packages_function_has_itself_is_not_named(tmp_path: Path) -> None:
    functions = "def zone(): return os.environ.get('THIRD'), os.getenv('OTHER')\ndef read(name): return os.getenv(name)"
    code = THIRD.replace("os.getenv('THIRD')", functions).replace('"import os; ', '"""import os\n')
    code = code.replace('name)")', 'name)""")')
    assert of_python(f"{code}\nthird.zone(); third.read('SITE_KEY')", tmp_path) == ["SITE_KEY"]


def test_what_a_package_has_read_before_is_named_if_the_project_reads_it_too(tmp_path: Path) -> None:
    assert of_python(f"{THIRD}\nimport os; os.getenv('THIRD')", tmp_path) == ["THIRD"]


@pytest.mark.parametrize("name", ["None", "7", "Odd()"])
def test_no_read_fails_because_it_is_watched(name: str, tmp_path: Path) -> None:
    code = f"""
class Odd:
    def __str__(self): raise RuntimeError("odd")
    startswith = property(__str__)
read = compile("import os; assert os.environ.get('SITE_KEY') is os.getenv('OTHER') is None", "<template>", "exec")
exec(read, {{"__name__": {name}}})
print("read")
"""
    (tmp_path / "old.py").write_text(code)
    assert run_python(tmp_path, "").stdout == "read\n"


def test_the_environment_is_as_usual_once_the_application_serves(tmp_path: Path) -> None:
    code = "import os\nos.getenv('SITE_KEY')\nos.environ['NEW'] = '1'\nassert dict(os.environ)['NEW'] == '1'"
    ends = f"sys.path.insert(0, {str(LAUNCHERS)!r}); import os, preview_serving; preview_serving.stop_watching(); "
    usual = "vars(type(os.environ)).keys().isdisjoint({'get', 'pop', '__contains__'})"
    assert of_python(code, tmp_path, f"{ends} assert {usual}; 'B' in os.environ; os.getenv('B')") == []
    assert of_python(code, tmp_path, "preview_serving.become_main('/', 'a:b'); import os; os.getenv('B')") == []


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_a_node_program_that_fails_names_them_and_one_that_listens_does_not(tmp_path: Path) -> None:
    (tmp_path / "node_modules" / "third").mkdir(parents=True)
    (tmp_path / "node_modules" / "third" / "index.js").write_text(
        "process.env.THIRD; exports.read = (n) => process.env[n]"
    )
    (tmp_path / "fails.js").write_text(
        "const { read } = require('third'); const { PATH, SITE_KEY } = process.env; process.env.NEW = 1;"
        "process.env.NEW; read('OTHER_KEY'); process.env['A, LD_PRELOAD']; process.env.toString; null.length;"
    )
    (tmp_path / "serves.js").write_text(
        "process.env.SITE_KEY; require('http').createServer().listen(0, '127.0.0.1', () => process.exit(1));"
    )
    assert of_node("fails.js", tmp_path) == ["SITE_KEY", "OTHER_KEY"]
    assert of_node("serves.js", tmp_path) == []


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
@pytest.mark.parametrize(
    "begins",
    [
        "Error.prepareStackTrace = (e, sites) => sites",
        "Error.prepareStackTrace = () => { throw new Error('odd') }",
        "Object.defineProperty(Error, 'prepareStackTrace', { get() { throw new Error('odd') } })",
        "Object.defineProperty(Error, 'stackTraceLimit', { get() { throw new Error('odd') } })",
        "globalThis.Error = null",
        "Object.freeze(Error)",
    ],
)
def test_no_read_of_a_node_program_fails_because_it_is_watched(begins: str, tmp_path: Path) -> None:
    (tmp_path / "old.js").write_text(
        f"{begins}; const before = Object.getOwnPropertyDescriptor(Error ?? {{}}, 'prepareStackTrace');"
        "if (process.env.SITE_KEY !== undefined) process.exit(2);"
        "const after = Object.getOwnPropertyDescriptor(Error ?? {}, 'prepareStackTrace');"
        "process.exit(before?.value !== after?.value || !before !== !after ? 3 : 7)"
    )
    assert of_node("old.js", tmp_path, code=7) in (["SITE_KEY"], [])


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_a_program_that_writes_its_own_traces_is_watched_too(tmp_path: Path) -> None:
    (tmp_path / "old.js").write_text(
        "Error.prepareStackTrace = (e, sites) => sites; process.env.SITE_KEY;"
        "process.exit(Array.isArray(new Error().stack) ? 7 : 2)"
    )
    assert of_node("old.js", tmp_path, code=7) == ["SITE_KEY"]


def of_node(name: str, folder: Path, code: int = 1) -> list[str]:
    variables = {"PATH": "/usr/bin:/usr/local/bin", "PREVIEW_LISTENER": "99:1", "PORT": "1"}
    command = ["node", "--require", str(LISTEN_HOOK), name]
    node = shutil.which("node") or "node"
    done = subprocess.run([node, *command[1:]], cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return names(done.stderr)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
def test_a_variable_that_a_package_of_node_names_itself_is_the_package_s_own(tmp_path: Path) -> None:
    (tmp_path / "node_modules" / "third").mkdir(parents=True)
    (tmp_path / "node_modules" / "third" / "index.js").write_text(
        "exports.look = (name) => process.env[name];\nexports.tell = () => process.env.THIRD_DEBUG;\n"
    )
    (tmp_path / "old.js").write_text(
        "const third = require('third');\nthird.look('SITE_KEY'); third.tell(); process.exit(1);\n"
    )
    assert of_node("old.js", tmp_path) == ["SITE_KEY"]
