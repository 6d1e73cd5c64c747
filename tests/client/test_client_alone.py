"""The client as its own distribution: built from the same source, and imported where `preview` is not."""

from __future__ import annotations

import ast
import os
import subprocess
import tomllib
from pathlib import Path

import uv

from preview.client import files
from preview.generations import folder

ROOT = Path(__file__).resolve().parents[2]
CHECK = """
import importlib.util, preview.client
assert importlib.util.find_spec("preview.errors") is None
assert preview.client.Client("http://127.0.0.1:1", "t").address.url == "http://127.0.0.1:1"
"""


def test_it_imports_nothing_else_of_preview() -> None:
    for path in sorted((ROOT / "preview" / "client").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert [one for one in names if one.startswith("preview") and not one.startswith("preview.client")] == []


def test_its_wheel_works_in_an_environment_of_its_own(tmp_path: Path) -> None:
    program = uv.find_uv_bin()

    def run(*command: str) -> None:
        clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    run(program, "build", "-q", "--wheel", str(ROOT / "clients" / "python"), "--out-dir", str(tmp_path / "dist"))
    (wheel,) = (tmp_path / "dist").glob("preview_client-*.whl")
    run(program, "venv", "-q", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    run(program, "pip", "install", "-q", "--python", python, str(wheel))
    run(python, "-W", "error", "-c", CHECK)


def test_both_distributions_agree() -> None:
    alone, whole = (
        tomllib.loads((ROOT / one / "pyproject.toml").read_text())["project"] for one in ("clients/python", ".")
    )
    assert alone["version"] == whole["version"]
    assert set(alone["dependencies"]) <= set(whole["dependencies"])


def test_it_leaves_out_the_same_files_as_push() -> None:
    assert files.SKIPPED == folder._SKIPPED
    assert files.SKIPPED_SUFFIXES == folder._SKIPPED_SUFFIXES
    assert files.SKIPPED_PREFIXES == folder._SKIPPED_PREFIXES
