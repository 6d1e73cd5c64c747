"""Commands and main blocks that never become steps: negated, for elsewhere, destructive, endless, asking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, MANAGE, plan_of, write
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.detection import detect
from preview.detection.plan import Toolchain
from preview.detection.steps.click_commands import find_click_commands
from preview.detection.steps.env_file import find_env_file_step
from preview.sources import Sources
from preview.sources.written_commands import written_commands

SEED = ("python", "seed.py")


def steps(folder: Path, named: dict[str, str], script: str = "import app\n") -> list[tuple[str, ...]]:
    return [step.argv for step in plan_of(folder, {"app.py": FLASK, "seed.py": script, **named}).steps]


@pytest.mark.parametrize(
    "readme",
    [
        "Never run `python seed.py` by hand.\n",
        "Do not run\n`python seed.py` twice.\n",
        "To undo what `python seed.py` did, delete the file.\n",
        "The command `python seed.py` should not be run.\n",
        "**Never run this on your machine:**\n\n```\npython seed.py\n```\n",
        "# Shop\n## Production\n\n```\npython seed.py --all\n```\n### Data\n`python seed.py`\n",
        "Shop\n====\n\nDeployment\n----------\n\n    python seed.py\n",
        "# Shop\n## Running the tests\n```\npython seed.py\n```\n",
        "<!--\n```\npython seed.py\n```\n-->\n",
        "```diff\n- python seed.py\n+ python seed.py\n```\n",
        "```python\npython seed.py\n```\n",
        "```\n# python seed.py\nflask run\n```\n",
        "```\npython seed.py --help\npython seed.py --reset\npython seed.py --drop-all\npython seed.py down\n```\n",
        "```\npython seed.py --env production\npython seed.py --db postgresql://a/b\n```\n",
        "```\npython seed.py `date`\npython seed.py 'a;b'\n```\n",
        "```\nssh host python seed.py\nheroku run python seed.py\nkubectl exec pod -- python seed.py\n```\n",
    ],
)
def test_a_command_that_a_readme_negates_or_means_for_elsewhere_is_no_step(tmp_path: Path, readme: str) -> None:
    assert steps(tmp_path, {"README.md": readme}) == []


@pytest.mark.parametrize(
    "named",
    [
        {"README.rst": "Run\n===\n\n..\n    python seed.py\n\ntext\n"},
        {"README.rst": "Run\n===\n\n.. code-block:: python\n\n    python seed.py\n"},
        {"README.rst": "Shop\n====\n\nProduction\n----------\n\n::\n\n    python seed.py\n"},
        {"run.sh": 'echo "now run: python seed.py"\necho python seed.py\n'},
        {"deploy.sh": "python seed.py\n"},
        {"deploy/run.sh": "python ../seed.py\n"},
        {"docker-compose.prod.yml": "services:\n  a:\n    command: python seed.py\n"},
        {"Makefile": "prod-seed:\n\tpython seed.py\ntest: x\n\tpython seed.py\n"},
        {"tests/seed.py": "", "README.md": "`python tests/seed.py`"},
        {"seed_live.py": "", "README.md": "`python seed_live.py`"},
        {"worker_create_data.py": "", "Procfile": "worker: python worker_create_data.py\n"},
    ],
)
def test_a_file_for_elsewhere_names_no_step(tmp_path: Path, named: dict[str, str]) -> None:
    assert steps(tmp_path, named) == []


@pytest.mark.parametrize(
    "script",
    [
        "import time\nwhile True:\n    time.sleep(1)\n",
        "if input('sure? ') == 'y':\n    pass\n",
        "import requests\nopen('a', 'wb').write(requests.get('https://a/b').content)\n",
        "import argparse\na = argparse.ArgumentParser()\na.add_argument('--file', required=True)\na.parse_args()\n",
    ],
)
def test_a_script_that_loops_asks_or_downloads_is_no_step(tmp_path: Path, script: str) -> None:
    assert steps(tmp_path, {"README.md": "`python seed.py`"}, script) == []


@pytest.mark.parametrize(
    "named",
    [
        {"README.md": "`python seed.py` `python3 -m seed` `./seed.py`"},
        {"README.md": "```\npython seed.py\npython seed.py --count 50\n```"},
        {"README.md": "~~~~ sh\n```\npython seed.py\n```\n~~~~\n"},
        {"README.md": "Do not forget the data:\n```console\n$ python seed.py\n```\n"},
        {"README.md": "# Production-ready shop\n`python seed.py`\n"},
        {"README.md": "# A\n## Deploy\n```\nrm -rf /\n```\n## Local\n```\npython seed.py\n```\n"},
        {"README.md": "# A\n## Seed test data\n```\npython seed.py & flask run\n```\n"},
        {"README.rst": "A\n=\n\n.. code-block:: sh\n\n    $ python seed.py\n\nB\n"},
        {"Makefile": "PY := python\ntest:\n\tpytest\nseed: install ## fill\n\t@$(PY) seed.py\n"},
    ],
)
def test_a_command_for_this_machine_stays_one_step(tmp_path: Path, named: dict[str, str]) -> None:
    assert steps(tmp_path, named) == [SEED]


def test_a_script_in_a_folder_is_found_from_windows_too(tmp_path: Path) -> None:
    files = {"app.py": FLASK, "scripts/seed.py": "", "README.md": "```bat\npython scripts\\seed.py\n```\n"}
    assert [step.argv for step in plan_of(tmp_path, files).steps] == [("python", "scripts/seed.py")]


def test_a_django_command_for_production_or_with_a_reset_is_no_step(tmp_path: Path) -> None:
    readme = "```\npython manage.py seed_db --reset\npython manage.py seed_db --settings=shop.production\n"
    readme += "python manage.py _seed_base\npython manage.py flush\npython manage.py test\n```\n"
    files = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/urls.py": "urlpatterns = []\n", "README.md": readme}
    files |= {"shop/settings.py": "ROOT_URLCONF = 'shop.urls'\nINSTALLED_APPS = []\n"}
    files |= {f"a/management/commands/{name}.py": "" for name in ("seed_db", "_seed_base")}
    assert [step.name for step in plan_of(tmp_path, files).steps] == ["migrations"]


@pytest.mark.parametrize(
    ("scripts", "seed"),
    [
        ({"db:seed:reset": "node seed.js", "seed:ci": "node seed.js", "db:wipe": "node seed.js"}, ""),
        ({"db:init": "node drop.js"}, ""),
        ({"data:import": "node seed.js -d"}, ""),
        ({"seed": "node seed.js"}, "setInterval(() => {}, 1000)"),
        ({"seed": "node seed.js"}, "require('readline').createInterface({}).question('Sure?', go)"),
    ],
)
def test_a_node_script_that_destroys_loops_or_asks_is_no_step(
    tmp_path: Path, scripts: dict[str, str], seed: str
) -> None:
    package = {"scripts": {"start": "node server.js", **scripts}, "dependencies": {"express": "4"}}
    server = "const app = require('express')();\napp.listen(3000);\n"
    files = {"package.json": json.dumps(package), "server.js": server, "seed.js": seed, "drop.js": ""}
    assert plan_of(tmp_path, files).steps == ()


def main(*lines: str) -> str:
    return FASTAPI + 'if __name__ == "__main__":\n' + "".join(f"    {line}\n" for line in lines)


ARGUMENTS = ("p = argparse.ArgumentParser()", "p.add_argument('--drop', action='store_true')", "a = p.parse_args()")


@pytest.mark.parametrize(
    "block",
    [
        main("db.drop_all()", "uvicorn.run(app)"),
        main("os.system('rm -rf data')", "uvicorn.run(app)"),
        main("subprocess.Popen('redis-server')", "shutil.rmtree('uploads')", "uvicorn.run(app)"),
        main("scheduler.add_job(f)", "scheduler.start()", "uvicorn.run(app)"),
        main("unittest.main()"),
        main("nltk.download('punkt')", "train_model()", "send_email('a')", "uvicorn.run(app)"),
        main("if click.confirm('drop?'):", "    x()", "init_db()"),
        main(*ARGUMENTS, "if a.drop:", "    reset_all()", "uvicorn.run(app)"),
        main("init_db(sys.argv[1])", "uvicorn.run(app)"),
        main("if len(sys.argv) > 1 and sys.argv[1] == 'init':", "    init_db()", "else:", "    uvicorn.run(app)"),
        main("p = argparse.ArgumentParser()", "p.add_argument('db')", "init_db(p.parse_args().db)"),
    ],
)
def test_a_main_block_that_destroys_asks_or_wants_arguments_is_no_step(tmp_path: Path, block: str) -> None:
    assert plan_of(tmp_path, {"main.py": block}).steps == ()


@pytest.mark.parametrize(
    "block",
    [
        main("db.drop_all()", "db.create_all()", "uvicorn.run(app)"),
        main(*ARGUMENTS, "if a.drop:", "    drop_all()", "if not a.drop:", "    init_db()", "uvicorn.run(app)"),
    ],
)
def test_a_main_block_that_also_makes_tables_is_a_step(tmp_path: Path, block: str) -> None:
    assert [step.argv for step in plan_of(tmp_path, {"main.py": block}).steps] == [("preview-main", "main.py")]


LINES = st.sampled_from(
    ["# A", "## Production", "----", "```", "~~~~", "```diff", "..", ".. code-block:: sh", "    python seed.py", "",
     "`python seed.py`", "<!--", "-->", "$ flask seed", "python seed.py '", "Never run `x", "a:\r",
     "\tflask x && \\", "\0"]
)  # fmt: skip
NAMES = st.sampled_from(["README.md", "README.rst", "Makefile", "a.sh", "docker-compose.yml"])


@settings(max_examples=60, deadline=None)
@given(NAMES, st.lists(LINES | st.text(max_size=20), max_size=12))
def test_any_file_gives_words(tmp_path_factory: pytest.TempPathFactory, name: str, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / name).write_bytes("\n".join(lines).encode("utf-8", "replace"))
    assert all(command.words and all(command.words) for command in written_commands(Sources(folder)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(
    ["@app.cli.command('a')", "@bp.cli.command()", "@g.command(name='b')", "@x.command", "@command(1)", "def f(): ...",
     "async def g(): ...", "g = AppGroup('g')", "bp = Blueprint('bp', cli_group=None)", "g = AppGroup(1, cli_group=2)"]
), max_size=10))  # fmt: skip
def test_any_click_command_has_words(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = write(tmp_path_factory.mktemp("any"), {"app.py": "\n".join(lines) + "\n"})
    found = find_click_commands(Sources(folder))
    assert all(words and all(isinstance(word, str) for word in words) for words in found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(
    ["load_dotenv(", ")", "if not ", ":", "raise X", "\n", "'.env'", ".exists()", "sys.exit(1)", "open(", "assert ",
     "existsSync(", "process.loadEnvFile(", "dotenv", ".config()", ".error", "throw "]
), max_size=30), st.integers(1, 2000))  # fmt: skip
def test_any_source_has_at_most_one_env_file_step(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], times: int
) -> None:
    folder = write(tmp_path_factory.mktemp("any"), {"app.py": "".join(parts) * min(times, 2000 // (len(parts) + 1))})
    assert len(find_env_file_step(Sources(folder), ["app.py"], ".", Toolchain.PYTHON)) <= 1


def test_a_very_large_readme_is_read_within_its_bound(tmp_path: Path) -> None:
    readme = "<!--" * 100_000 + "\n" + "never " * 500_000 + "`python seed.py`\n"
    assert steps(tmp_path, {"README.md": readme}) == []
    assert detect(tmp_path).steps == ()


@pytest.mark.parametrize(
    ("script", "runs"),
    [
        ("from other import create_app\n", False),
        ("from other.store import app\n", False),
        ("from app import app\n", True),
        ("from other.tools import words\n", True),
        ("from flask import app\n", True),
    ],
)
def test_a_script_of_another_application_is_not_run(tmp_path: Path, script: str, runs: bool) -> None:
    files = {"README.md": "```\npython seed.py\n```\n", "Procfile": "web: gunicorn app:app\n"}
    other = {"other/__init__.py": f"def create_app():\n    {FLASK}    return app\n", "other/store.py": FLASK}
    other["other/tools.py"] = "words = []\n"
    assert steps(tmp_path, {**files, **other}, script) == ([SEED] if runs else [])
