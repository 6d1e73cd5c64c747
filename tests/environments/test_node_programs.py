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


def run(folder: Path, *argv: str) -> tuple[int, str]:
    path = f"{folder}/node_modules/.bin:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder), "npm_config_update_notifier": "false"}
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


def test_prisma_without_its_engine_does_all_else(tmp_path: Path) -> None:
    put(tmp_path, "prisma", "preview-no-engine.cjs")
    (tmp_path / "node_modules" / "prisma" / "build").mkdir(parents=True)
    (tmp_path / "node_modules" / "prisma" / "build" / "index.js").write_text("console.log(process.argv[2]);")
    assert run(tmp_path, "prisma", "version") == (0, "version\n")
