"""Steps of Python projects that make tables and data: main blocks, commands of the project, missing migrations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, MANAGE, plan_of
from hypothesis import given
from hypothesis import strategies as st

from preview.detection import Overrides, detect
from preview.detection.steps.main_block import find_main_work
from preview.detection.steps.purpose import purpose
from preview.sources import Sources

INIT = "def init_db():\n    connect().execute('CREATE TABLE a (b)')\n"
CLICK = "@app.cli.command('init-db')\ndef init_db_command():\n    pass\n@app.cli.command()\ndef seed():\n    pass\n"


def argvs(folder: Path, files: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [step.argv for step in plan_of(folder, files).steps]


def main(*lines: str) -> str:
    return 'if __name__ == "__main__":\n' + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    "block",
    [
        main("init_db()", "app.run(debug=True)"),
        main("with app.app_context():", "    db.create_all()", "app.run()"),
        main("print('starting')", "Base.metadata.create_all(engine)", "app.run()"),
        "def main():\n    init_db()\n    app.run()\n" + main("main()"),
        "async def main():\n    await init_db()\n    await server.serve()\n" + main("asyncio.run(main())"),
        "if '__main__' == __name__:\n    init_db()\n    app.run()\n",
        main("if not os.path.exists('a.db'):", "    init_db()", "app.run()"),
        main("db.connect()", "db.create_tables([Note])", "app.run()"),
    ],
)
def test_what_a_main_block_does_besides_serving_is_a_step(tmp_path: Path, block: str) -> None:
    plan = plan_of(tmp_path, {"app.py": FLASK + INIT + block})
    assert [(step.name, step.argv, step.required) for step in plan.steps] == [
        ("tables", ("preview-main", "app.py"), False)
    ]


@pytest.mark.parametrize(
    "block",
    [
        main("app.run()"),
        main("port = int(os.environ.get('PORT', 5000))", "print(f'on {port}')", "app.run(port=port)"),
        main("a = argparse.ArgumentParser()", "a.add_argument('--port')", "app.run(port=a.parse_args().port)"),
        main("logging.basicConfig(level=logging.INFO)", "webbrowser.open('http://localhost')", "app.run()"),
        "def main():\n    app.run()\n" + main("main()"),
        main("folders = os.listdir()", "app.run(reload_dirs=folders, workers=os.cpu_count())"),
        main("settings = get_settings()", "setup_logging()", "app.run(port=settings.port)"),
        main("init_db()", "while True:", "    work()"),
        # Neither ends by itself, or waits for a person.
        main("init_db()", "bot.infinity_polling()"),
        main("init_db(input('name'))", "app.run()"),
        "",
    ],
)  # fmt: skip
def test_a_main_block_that_only_serves_is_no_step(tmp_path: Path, block: str) -> None:
    assert argvs(tmp_path, {"app.py": FLASK + INIT + block}) == []


def test_a_file_with_relative_imports_runs_as_a_module(tmp_path: Path) -> None:
    text = "from .db import init_db\n" + FASTAPI + main("init_db()", "uvicorn.run(app)")
    files = {"app/__init__.py": "", "app/db.py": "def init_db(): ...\n", "app/main.py": text}
    assert argvs(tmp_path, files) == [("preview-main", "-m", "app.main")]


def test_the_script_that_serves_an_application_makes_its_tables(tmp_path: Path) -> None:
    factory = "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n"
    run = "from shop import create_app, db\napp = create_app()\n" + main(
        "with app.app_context():", "    db.create_all()", "app.run()"
    )
    assert argvs(tmp_path, {"shop/__init__.py": factory, "run.py": run}) == [("preview-main", "run.py")]


def test_a_database_in_memory_has_no_step_and_a_warning(tmp_path: Path) -> None:
    text = FLASK + 'URI = "sqlite:///:memory:"\n' + INIT + main("init_db()", "app.run()")
    plan = plan_of(tmp_path, {"app.py": text})
    assert plan.steps == ()
    assert any("the database is in memory" in one for one in plan.warnings)


def test_a_step_of_a_main_block_changes_with_the_tables_and_not_with_other_lines(tmp_path: Path) -> None:
    def step(name: str, text: str) -> object:
        return plan_of(tmp_path / name, {"app.py": text}).steps[0]

    block = main("init_db()", "app.run()")
    assert step("a", FLASK + INIT + block) == step("b", "\n\n" + FLASK + "@app.get('/')\ndef a(): ...\n" + INIT + block)
    assert step("c", FLASK + INIT + block) != step("d", FLASK + INIT.replace("(b)", "(b, c)") + block)


@pytest.mark.parametrize(("body", "expected"), [("db.create_all()", [("flask", "create")]), ("print(1)", [])])
def test_a_flask_command_named_create_is_a_step_if_it_makes_tables(
    tmp_path: Path, body: str, expected: list[tuple[str, ...]]
) -> None:
    text = f"{FLASK}@app.cli.command('create')\ndef create():\n    {body}\n"
    assert argvs(tmp_path, {"app.py": text, "README.md": "```bash\n$ flask create\n```\n"}) == expected


def test_flask_commands_that_a_file_names_run_in_order(tmp_path: Path) -> None:
    files = {
        "app.py": FLASK + CLICK,
        "README.md": "Run `flask --app app seed` after\n```\n$ flask init-db  # first\n```\n",
    }
    steps = plan_of(tmp_path, files).steps
    assert [(step.name, step.argv) for step in steps] == [("init", ("flask", "init-db")), ("seed", ("flask", "seed"))]
    assert steps[0].variables == {"FLASK_APP": "app:app"}


def test_a_command_that_is_just_called_init_runs_if_a_file_names_it(tmp_path: Path) -> None:
    text = FLASK + '@app.cli.command("init")\ndef init(): ...\n'
    assert argvs(tmp_path / "named", {"app.py": text, "README.md": "```bash\n$ flask init\n```\n"}) == [
        ("flask", "init")
    ]
    assert argvs(tmp_path / "unnamed", {"app.py": text}) == []


def test_a_command_that_makes_tables_runs_unnamed_and_one_that_adds_data_does_not(tmp_path: Path) -> None:
    assert argvs(tmp_path, {"app.py": FLASK + CLICK}) == [("flask", "init-db")]


MAKES = "    db.create_all()\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"@app.cli.command('install')\ndef install():\n{MAKES}", [("flask", "install")]),
        (f"group = AppGroup('shop')\n@group.command('install')\ndef a():\n{MAKES}", [("flask", "shop", "install")]),
        (f"def make():\n{MAKES}@app.cli.command()\ndef install():\n    make()\n", [("flask", "install")]),
        (
            "@app.cli.command()\ndef install():\n    db.executescript(open('schema.sql').read())\n",
            [("flask", "install")],
        ),
        (f"@app.cli.command()\ndef install():\n{MAKES}{CLICK}", [("flask", "init-db")]),
        (f"@app.cli.command()\ndef reset():\n    db.drop_all()\n{MAKES}", []),
        (f"@app.cli.command()\n@click.argument('name')\ndef install(name):\n{MAKES}", []),
        (f"@app.cli.command()\ndef install():\n    click.confirm('Sure?')\n{MAKES}", []),
        ("@app.cli.command()\ndef install():\n    pass\n", []),
    ],
)
def test_a_command_whose_function_makes_tables_runs_unnamed(
    tmp_path: Path, text: str, expected: list[tuple[str, ...]]
) -> None:
    assert argvs(tmp_path, {"app.py": FLASK + text}) == expected


def test_a_command_of_flask_script_runs_with_its_script(tmp_path: Path) -> None:
    text = "from flask_script import Manager\nfrom app import app, db\nmanager = Manager(app)\n"
    text += f"@manager.command\ndef create_all():\n{MAKES}"
    files = {"app.py": FLASK, "manage.py": text + main("manager.run()")}
    assert argvs(tmp_path, files) == [("python", "manage.py", "create_all")]


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("from flask_wiki import Wiki\n", "flask flask_wiki init-index", [("flask", "flask_wiki", "init-index")]),
        ("from flask_wiki import Wiki\n", "flask flask_wiki delete-index", []),
        ("", "flask flask_wiki init-index", []),
    ],
)
def test_a_package_s_command_that_a_file_names_is_a_step(
    tmp_path: Path, text: str, line: str, expected: list[tuple[str, ...]]
) -> None:
    assert argvs(tmp_path, {"app.py": text + FLASK, "README.md": f"```bash\n$ {line}\n```\n"}) == expected


def test_commands_of_blueprints_and_groups_have_their_group(tmp_path: Path) -> None:
    text = FLASK + 'bp = Blueprint("shop", __name__)\n@bp.cli.command("seed-data")\ndef fill(): ...\n'
    text += 'group = AppGroup("db-tools")\n@group.command("create-tables")\ndef create(): ...\n'
    files = {"app.py": text, "Makefile": "seed:\n\t@flask db-tools create-tables && flask shop seed-data\n"}
    assert argvs(tmp_path, files) == [("flask", "db-tools", "create-tables"), ("flask", "shop", "seed-data")]


@pytest.mark.parametrize(
    ("named", "argv"),
    [
        ({"README.md": "```\npython seed.py\n```"}, ("python", "seed.py")),
        ({"README.md": "    uv run python3 -u seed.py --count 5\n"}, ("python", "seed.py", "--count", "5")),
        ({"Makefile": "seed:\n\t$(PYTHON) seed.py\n"}, ("python", "seed.py")),
        ({"docker-compose.yml": 'services:\n  a:\n    command: sh -c "python seed.py && x"\n'}, ("python", "seed.py")),
        ({"Dockerfile": "RUN python seed.py\n"}, ("python", "seed.py")),
        ({"entrypoint.sh": "#!/bin/sh\nset -e\npython -m seed\n"}, ("python", "-m", "seed")),
        ({"README.md": "`docker compose exec web python -m seed`"}, ("python", "-m", "seed")),
        # Only prose, a placeholder, another purpose, a missing file
        ({"README.md": "Then run python seed.py to fill it.\n"}, None),
        ({"README.md": "```\npython seed.py <count>\n```"}, None),
        ({"README.md": "```\npython drop_db.py\n```", "drop_db.py": ""}, None),
        ({"README.md": "```\npython populate.py\n```"}, None),
        ({"README.md": "```\npython ../seed.py\n```"}, None),
    ],
)
def test_a_script_runs_if_a_file_names_it_and_it_is_there(
    tmp_path: Path, named: Mapping[str, str], argv: tuple[str, ...] | None
) -> None:
    assert argvs(tmp_path, {"app.py": FLASK, "seed.py": "import app\n", **named}) == ([argv] if argv else [])


def test_a_script_that_starts_a_server_is_no_step(tmp_path: Path) -> None:
    files = {"app.py": FLASK, "init_db.py": "from app import app\napp.run()\n", "README.md": "`python init_db.py`"}
    assert argvs(tmp_path, files) == []


def test_nothing_writes_to_a_server_and_the_plan_says_so(tmp_path: Path) -> None:
    text = (
        "import os\nfrom sqlalchemy import create_engine\nfrom sqlalchemy.dialects.postgresql import JSONB\n"
        + FASTAPI
        + "engine = create_engine(os.environ['DATABASE_URL'])\nBase.metadata.create_all(engine)\n"
    )
    files = {
        "main.py": text,
        "seed.py": "",
        "README.md": "`python seed.py`",
        ".env": "DATABASE_URL=postgresql://a:b@c/d\n",
    }
    plan = plan_of(tmp_path, files)
    assert plan.steps == ()
    assert any("`python seed.py` is not run: it writes to PostgreSQL" in one for one in plan.decisions)


def test_nothing_writes_to_a_document_database(tmp_path: Path) -> None:
    text = "import os\nfrom pymongo import MongoClient\ndb = MongoClient(os.environ['MONGO_URL']).shop\n" + FLASK
    text += "def init_db():\n    db.items.insert_one({})\n" + main("init_db()", "app.run()")
    plan = plan_of(tmp_path, {"app.py": text})
    assert plan.steps == ()
    assert any("is not run: it writes to MongoDB" in one for one in plan.decisions)


def test_a_seed_that_is_named_does_not_hide_the_command_that_makes_the_tables(tmp_path: Path) -> None:
    files = {"app.py": FLASK + CLICK, "README.md": "`flask seed`"}
    assert argvs(tmp_path, files) == [("flask", "init-db"), ("flask", "seed")]


def test_the_projects_own_steps_replace_what_is_found(tmp_path: Path) -> None:
    toml = '[start]\nsteps = ["python other.py"]\n'
    files = {"app.py": FLASK + CLICK, "README.md": "`flask seed`", "preview.toml": toml}
    assert argvs(tmp_path, files) == [("python", "other.py")]
    assert detect(tmp_path, Overrides(skip_steps=True)).steps == ()


DJANGO = {
    "manage.py": MANAGE,
    "shop/__init__.py": "",
    "shop/urls.py": "urlpatterns = []\n",
    "shop/settings.py": "ROOT_URLCONF = 'shop.urls'\n"
    "INSTALLED_APPS = ['django.contrib.admin', 'users.apps.UsersConfig', 'apps.blog']\n",
    "users/models.py": "class User(AbstractUser):\n    pass\n",
    "users/apps.py": "class UsersConfig(AppConfig):\n    label = 'people'\n",
    "users/migrations/__init__.py": "",
    "apps/blog/models/post.py": "class Post(models.Model):\n    pass\n",
    "apps/unused/models.py": "class A(models.Model):\n    pass\n",
}


def test_missing_migrations_of_installed_applications_are_made_before_migrate(tmp_path: Path) -> None:
    steps = plan_of(tmp_path, DJANGO).steps
    assert [step.name for step in steps] == ["makemigrations", "migrations"]
    assert steps[0].argv == ("python", "manage.py", "makemigrations", "people", "blog", "--noinput")
    files = {"users/migrations/0001_initial.py": "", "apps/blog/migrations/0001_initial.py": ""}
    assert [step.name for step in plan_of(tmp_path, files).steps] == ["migrations"]


def test_the_steps_of_django_name_the_settings_that_manage_py_only_reads(tmp_path: Path) -> None:
    manage = MANAGE.replace('"shop.settings"', 'config("DJANGO_SETTINGS_MODULE")')
    files = {**DJANGO, "manage.py": manage, "shop/wsgi.py": MANAGE}
    assert {step.variables["DJANGO_SETTINGS_MODULE"] for step in plan_of(tmp_path, files).steps if step.variables} == {
        "shop.settings"
    }


def test_django_loads_the_data_that_a_file_names(tmp_path: Path) -> None:
    readme = "```\n$ python manage.py loaddata start gone\n$ ./manage.py loaddata start.json\n"
    readme += "$ python manage.py seed_db\n```\n"
    files = {
        **DJANGO,
        "users/fixtures/start.json": "[]",
        "users/management/commands/seed_db.py": "",
        "README.md": readme,
    }
    found = [step.argv[2:] for step in plan_of(tmp_path, files).steps if step.name == "seed"]
    assert found == [("loaddata", "start.json"), ("seed_db",)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *((name, "init") for name in ("init-db", "init_db", "initdb", "create_tables",
                                      "add_categories_table", "create_order_items_tables",
                                      "createTables", "db:migrate", "db:push", "prisma:migrate", "setup-database",
                                      "migrate", "db_init", "db:setup", "gendb", "generate-db")),
        *((name, "seed") for name in ("seed", "db:seed", "seed_db", "populate", "populate_db", "load_data",
                                      "initial_data", "create-sample-data", "prisma:seed", "loaddata", "seeders",
                                      "import_data")),
        *((name, None) for name in ("test", "build", "dev", "drop-db", "db:seed:undo", "db:drop", "deploy", "setup",
                                    "migrate:rollback", "makemigrations", "test:db:create", "lint", "createsuperuser",
                                    "db:generate", "generate:db-types", "generate")),
    ],
)  # fmt: skip
def test_a_name_tells_the_purpose(name: str, found: str | None) -> None:
    assert purpose(name) == found


@given(st.text(max_size=200))
def test_any_name_has_a_purpose_or_none(name: str) -> None:
    assert purpose(name) in {None, "init", "seed"}


@given(st.lists(st.sampled_from(
    ["main()", "init_db()", "app.run()", "def main():", "    main()", "    init_db()", "async def a():", "class B:",
     "if __name__ == '__main__':", "    with x:", "        y()", "    input()", "    app.run()", "    (lambda: z())()"]
), max_size=12))  # fmt: skip
def test_any_file_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "app.py").write_text("\n".join(lines))
    found = find_main_work(Sources(folder), "app.py")
    assert found is None or found.calls
