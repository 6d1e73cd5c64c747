"""A ``.env`` file for programs that refuse to start without one; what the step writes is tried for real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from detection_kit import FASTAPI, plan_of, write
from dotenv import dotenv_values

from preview.detection import Step

EXAMPLE = "# settings\nSECRET_KEY=changeme\nexport NAME=shop\nLIMIT = 5\nDATABASE_URL=postgresql://a:b@c/d\n"
THROWS = ";\nif (loaded.error) { throw loaded.error; }\n"
SERVER = "require('express')().listen(3000);\n"


def env_step(folder: Path, files: dict[str, str]) -> Step | None:
    return next((step for step in plan_of(folder, files).steps if step.name == ".env"), None)


@pytest.mark.parametrize(
    "source",
    [
        "import os\nif not os.path.exists('.env'):\n    raise RuntimeError('no .env')\n",
        "env = Path(__file__).parent / '.env'\nif not env.exists():\n    raise SystemExit(1)\n",
        "assert os.path.isfile('.env'), 'copy .env.example'\n",
        "from dotenv import load_dotenv\nif not load_dotenv():\n    sys.exit('no .env')\n",
        "loaded = load_dotenv('.env')\nif not loaded:\n    raise ValueError\n",
        "load_dotenv(find_dotenv(raise_error_if_not_found=True))\n",
        "config = Config(RepositoryEnv('.env'))\n",
        "for line in open('.env'):\n    pass\n",
        "name = os.path.join(\n    here, '.env'\n)\ndata: str = ''\nwith open(name, 'r') as f:\n    data = f.read()\n",
    ],
)
def test_a_python_program_that_demands_its_env_file_gets_one(tmp_path: Path, source: str) -> None:
    step = env_step(tmp_path, {"main.py": source + FASTAPI})
    assert step is not None
    assert not step.required
    assert env_step(tmp_path, {".env": ""}) is None


@pytest.mark.parametrize(
    "source",
    [
        "load_dotenv()\n",
        "if os.path.exists('.env'):\n    load_dotenv('.env')\n",
        "path = here / '.env'\nif path.is_file():\n    with open(path) as f:\n        pass\n",
        "path = here / '.env'\nwith open(other) as f:\n    pass\n",
        "class S(BaseSettings):\n    class Config:\n        env_file = '.env'\n",
        "",
    ],
)
def test_a_python_program_that_only_may_have_one_gets_none(tmp_path: Path, source: str) -> None:
    assert env_step(tmp_path, {"main.py": source + FASTAPI, ".env.example": EXAMPLE}) is None


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("if (!fs.existsSync('.env')) { throw new Error('no .env'); }\n", True),
        ("process.loadEnvFile();\n", True),
        ("const text = fs.readFileSync('./.env', 'utf8');\n", True),
        ("require('dotenv').config();\n", False),
        ("const loaded = require('dotenv').config()" + THROWS, True),
        ("const loaded = require('dotenv').config({ path: '.env' })" + THROWS, True),
        ("const loaded = dotenv.config({\n  path: path.join(__dirname, '.env'), quiet: true })" + THROWS, True),
        ("const loaded = require('dotenv').config({ quiet: true })" + THROWS, True),
        ("const loaded = require('dotenv').config({ path: 'secrets.txt' })" + THROWS, False),
        ("require('dotenv').config({ path: '.env' });\n", False),
    ],
)
def test_a_node_program_that_demands_its_env_file_gets_one(tmp_path: Path, source: str, *, found: bool) -> None:
    package = json.dumps({"main": "server.js", "dependencies": {"express": "4"}})
    assert (env_step(tmp_path, {"package.json": package, "server.js": source + SERVER}) is not None) == found


def laid(folder: Path, step: Step) -> str:
    program = {"python": sys.executable, "node": "node"}[step.argv[0]]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "SECRET_KEY": "s3", "DATABASE_URL": "sqlite:///x"}
    subprocess.run([program, *step.argv[1:]], cwd=folder, env=environment, check=True, timeout=60)
    return (folder / ".env").read_text()


def test_the_values_are_those_of_the_environment(tmp_path: Path) -> None:
    files = {"main.py": "if not load_dotenv():\n    sys.exit(1)\n" + FASTAPI, ".env.example": EXAMPLE}
    step = env_step(tmp_path, files)
    assert step is not None
    assert laid(tmp_path, step) == "SECRET_KEY=s3\nDATABASE_URL=sqlite:///x\n"


def test_a_program_that_reads_only_the_file_also_gets_the_examples_values(tmp_path: Path) -> None:
    node = json.dumps({"main": "server.js", "dependencies": {"express": "4"}})
    for name, files in {
        "python": {"main.py": "config = Config(RepositoryEnv('.env'))\n" + FASTAPI},
        "node": {"package.json": node, "server.js": "fs.readFileSync('.env');\n" + SERVER},
    }.items():
        folder = write(tmp_path / name, {".env.example": EXAMPLE + "TOKEN=<your token>\n"})
        step = env_step(folder, files)
        assert step is not None
        assert laid(folder, step) == "SECRET_KEY=s3\nexport NAME=shop\nLIMIT = 5\nDATABASE_URL=sqlite:///x\n"


def test_a_program_that_reads_only_the_file_gets_its_variables_without_an_example(tmp_path: Path) -> None:
    source = "from dotenv import dotenv_values\nenv = dotenv_values('.env')\nTOKEN = env['TOKEN_KEY']\nimport os\n"
    step = env_step(tmp_path, {"main.py": source + FASTAPI, "other.py": "import os\nos.environ['OTHER']\n"})
    assert step is not None
    subprocess.run([sys.executable, *step.argv[1:]], cwd=tmp_path, env={"TOKEN_KEY": "a", "OTHER": "b"}, check=True)
    assert (tmp_path / ".env").read_text() == "TOKEN_KEY=a\n"


VALUES = {
    "PEM": "-----BEGIN KEY-----\nab/c=\n-----END KEY-----",
    "PHRASE": "two words #1",
    "SAID": 'it\'s\n"here"',
    "TABLE": '{"a": 1}',
    "PLAIN": "x=y",
    "FIRST": "#ff0000",
}


def test_values_with_line_breaks_and_comment_marks_are_read_as_they_are(tmp_path: Path) -> None:
    text = "import os\nfor line in open('.env'):\n    pass\n" + "".join(f"os.environ['{name}']\n" for name in VALUES)
    files = {"main.py": text + FASTAPI}
    example = "".join(f"{name}=\n" for name in VALUES)
    for folder, more in (("set", {}), ("copied", {".env.example": example})):
        step = env_step(tmp_path / folder, {**files, **more})
        assert step is not None
        argv = [*step.argv[1:3], *([".env.example"] if more else VALUES)]
        subprocess.run([sys.executable, *argv], cwd=tmp_path / folder, env=VALUES, check=True, timeout=60)
        assert dotenv_values(tmp_path / folder / ".env") == VALUES
        assert 'TABLE={"a": 1}\n' in (tmp_path / folder / ".env").read_text()
