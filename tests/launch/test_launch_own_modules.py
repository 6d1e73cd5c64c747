"""A missing module that is the project's own is told by its place and its likely spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.supervisor.diagnosis.diagnose import diagnose
from preview.supervisor.diagnosis.exits import name_own_module
from preview.supervisor.diagnosis.places import own_place


def explain(project: Path, module: str, file: str = "app/main.py") -> str:
    lines = [f'  File "{project / file}", line 3, in <module>', f"ModuleNotFoundError: No module named '{module}'"]
    found = diagnose(lines)
    assert found is not None
    return name_own_module(found, lines, project).message


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("app/main.py", "app/database.py", "backend/shop/models.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def test_a_misspelt_module_of_the_project_is_named_with_its_place_and_the_likely_one(project: Path) -> None:
    said = explain(project, "app.databse")
    assert said == (
        "app/main.py line 3 imports 'app.databse', which the project does not have; did you mean 'app.database'?"
    )


def test_a_module_like_none_of_the_project_is_named_all_the_same(project: Path) -> None:
    said = explain(project, "app.xyzzy")
    assert said == (
        "app/main.py line 3 imports 'app.xyzzy', which the project does not have. Add it, or correct the import."
    )


@pytest.mark.parametrize("line", ["config.py", "/app/config.py", "config/ "])
def test_a_module_that_version_control_leaves_out_is_told_as_such(project: Path, line: str) -> None:
    (project / ".gitignore").write_text(f"*.pyc\n{line}\n")
    assert explain(project, "app.config") == (
        "app/main.py line 3 imports 'app.config', which the project does not have: .gitignore leaves it out of version "
        "control. Add it, as its author has it."
    )
    assert "gitignore" not in explain(project, "app.xyzzy")


def test_a_list_of_ignored_files_behind_a_link_is_not_read(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "ignored"
    elsewhere.write_text("config.py\n")
    (project / ".gitignore").symlink_to(elsewhere)
    assert "gitignore" not in explain(project, "app.config")


def test_a_module_that_hides_a_folder_is_named(project: Path) -> None:
    (project / "app" / "routes").mkdir()
    for name in ("routes/health.py", "routes.py"):
        (project / "app" / name).write_text("")
    assert explain(project, "app.routes.health").endswith(
        " imports 'app.routes.health', but app/routes.py hides the folder app/routes, which has no __init__.py. "
        "Rename one of them."
    )


def test_the_package_may_lie_in_a_folder_of_the_project(project: Path) -> None:
    assert "did you mean 'shop.models'?" in explain(project, "shop.model", "backend/shop/models.py")


@pytest.mark.parametrize("module", ["jose", "google.cloud", "os.pth"])
def test_what_is_not_the_project_s_is_a_package_that_is_missing(project: Path, module: str) -> None:
    assert "Add the package that provides it" in explain(project, module)


def test_lines_and_links_that_lead_out_of_the_project_show_nothing_of_it(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    (inner / "app").symlink_to(project / "app")
    assert "database" not in explain(inner, "app.databse", "../app/main.py")


HEAD = "Traceback (most recent call last):"


def said_of(project: Path, *frames: tuple[str, int], error: str) -> str:
    lines = [HEAD, *(f'  File "{project / file}", line {line}, in <module>' for file, line in frames)]
    lines.append(error.replace("PROJECT", str(project)))
    found = diagnose(lines)
    assert found is not None
    return name_own_module(found, lines, project).message


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    for name in ("main.py", "app/routes/__init__.py", "app/routes/orders.py", "app/models.py"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return project


PARTIAL = (
    "ImportError: cannot import name '{}' from partially initialized module '{}' (most likely due to a circular import)"
)


def test_a_package_that_imports_a_module_that_it_lacks_imports_in_no_circle(shop: Path) -> None:
    error = f"{PARTIAL.format('order', 'app.routes')} (PROJECT/app/routes/__init__.py)"
    said = said_of(shop, ("main.py", 2), ("app/routes/__init__.py", 1), error=error)
    assert said == (
        "app/routes/__init__.py line 1 imports 'app.routes.order', which the project does not have; "
        "did you mean 'app.routes.orders'?"
    )


def test_modules_that_import_each_other_are_named_with_the_line(shop: Path) -> None:
    error = f"{PARTIAL.format('Order', 'app.models')} (PROJECT/app/models.py)"
    said = said_of(shop, ("main.py", 2), ("app/models.py", 1), ("app/routes/orders.py", 4), error=error)
    assert said.startswith(
        "app/routes/orders.py, line 4, imports 'Order' from 'app.models', which is not complete yet: the two import"
    )


def test_a_name_that_the_project_s_own_module_lacks_is_no_other_version(shop: Path) -> None:
    error = "ImportError: cannot import name 'Order' from 'app.models' (PROJECT/app/models.py)"
    said = said_of(shop, ("main.py", 7), error=error)
    assert said.startswith("main.py, line 7, imports 'Order' from 'app.models', which does not have it.")


@pytest.mark.parametrize("module", ["App", "app.Models", "App.models"])
def test_a_module_in_other_capitals_is_no_missing_package(shop: Path, module: str) -> None:
    said = said_of(shop, ("main.py", 2), error=f"ModuleNotFoundError: No module named '{module}'")
    assert said == (
        f"main.py line 2 imports '{module}': the project has it as '{module.lower()}', and Linux tells capitals apart. "
        "Write both alike."
    )


@pytest.mark.parametrize(
    ("name", "after", "written"),
    [
        ("../Models/order", ["Require stack:", "- PROJECT/routes/orders.js", "- PROJECT/server.js"], "models/Order"),
        ("./Routes/orders.js", ["Require stack:", "- PROJECT/server.js"], "routes/orders.js"),
        ("./routes/Orders", ["Require stack:", "- PROJECT/server.js"], "routes/orders"),
    ],
)
def test_a_file_of_node_in_other_capitals_is_named(tmp_path: Path, name: str, after: list[str], written: str) -> None:
    project = tmp_path / "project"
    for file in ("routes/orders.js", "models/Order.js", "server.js"):
        (project / file).parent.mkdir(parents=True, exist_ok=True)
        (project / file).write_text("")
    lines = [f"Error: Cannot find module '{name}'", *(line.replace("PROJECT", str(project)) for line in after)]
    found = diagnose(lines)
    assert found is not None
    said = name_own_module(found, lines, project).message
    assert said == (
        f"The file {name} does not exist: the project has it as '{written}', and Linux tells capitals apart. "
        "Write both alike."
    )


@pytest.mark.parametrize("name", ["../../Secret/key", "./" + "a/" * 100 + "b", "./gone", "./link/Inner"])
def test_a_file_out_of_the_project_or_behind_a_link_is_not_looked_for(tmp_path: Path, name: str) -> None:
    project = tmp_path / "project"
    for file in ("project/server.js", "project/inner/inner.js", "secret/key.js"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    (project / "link").symlink_to(tmp_path / "secret")
    lines = [f"Error: Cannot find module '{name}'", "Require stack:", f"- {project}/server.js"]
    found = diagnose(lines)
    assert found is not None
    assert name_own_module(found, lines, project) == found


def test_a_django_model_imported_by_another_name_is_told_by_the_import(shop: Path) -> None:
    frames = (("core/academics/models.py", 8), ("core/administration/models.py", 12))
    said = said_of(
        shop,
        *frames,
        error="RuntimeError: Model class administration.models.Article doesn't declare an explicit app_label and "
        "isn't in an application in INSTALLED_APPS.",
    )
    assert said == (
        "core/academics/models.py, line 8, imports 'administration.models', which has models and is in no application "
        "of INSTALLED_APPS. Import it by the name that its application has there, or add the application."
    )


@pytest.mark.parametrize(
    ("trace", "place"),
    [
        (['  File "{project}/a/b.py", line 3, in f', '  File "/lib/c.py", line 9, in f', "{error}"], "a/b.py line 3"),
        (["{error}", "    at f (/lib/a.js:1:2)", "    at Object.<anonymous> ({project}/b.js:7:3)"], "b.js line 7"),
        (["{error}", "    at async file://{project}/src/c.mjs:2:9"], "src/c.mjs line 2"),
        (["{error}", "    at f ({project}/node_modules/a/a.js:1:2)"], ""),
        # The source map of a package.
        (["{error}", "    at f ({project}/src/Error.ts:1:2)", "    at g ({project}/b.js:7:3)"], "b.js line 7"),
        (["{error}", "    at f ({project}/link/c.js:1:2)"], ""),
        (['  File "{project}/../x.py", line 3, in <module>', "{error}"], ""),
        (['  File "{project}/old.py", line 3, in f', "Traceback (most recent call last):", "{error}"], ""),
        (["no error"], ""),
    ],
)  # fmt: skip
def test_the_nearest_own_line_of_an_error_is_found(tmp_path: Path, trace: list[str], place: str) -> None:
    project = tmp_path / "project"
    for name in ("project/a/b.py", "project/b.js", "project/src/c.mjs", "project/old.py", "x.py", "outside/c.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (project / "link").symlink_to(tmp_path / "outside")
    lines = [line.format(project=project, error="TypeError: no") for line in trace]
    assert own_place(lines, project) == place
    assert own_place(lines, None) == ""


@pytest.mark.parametrize("name", ["a" * 300, "loop", "a\0b"])
def test_a_place_that_no_file_can_have_is_told_of_none(project: Path, name: str) -> None:
    (project / "loop").symlink_to("loop")
    lines = ["Traceback (most recent call last):", f'  File "{project}/{name}", line 3, in x', "TypeError: no"]
    assert own_place(lines, project) == ""


@pytest.mark.parametrize(("line", "is_told"), [("logs", True), ("/src/logs/", True), ("*.log", False), ("..", False)])
def test_a_module_of_node_that_version_control_leaves_out_is_told_as_such(
    project: Path, line: str, is_told: bool
) -> None:
    (project / ".gitignore").write_text(f"{line}\n")
    lines = ["Error: Cannot find module '../logs/logs.service'"]
    found = diagnose(lines)
    assert found is not None
    said = name_own_module(found, lines, project).message
    assert (".gitignore leaves 'logs' out of version control" in said) is is_told


@pytest.mark.parametrize(("there", "ending"), [("get.js", ".js"), ("get.mjs", ".mjs"), ("get/index.js", "/index.js")])
def test_an_import_between_modules_of_node_that_lacks_the_ending_is_named(
    tmp_path: Path, there: str, ending: str
) -> None:
    file = tmp_path / "src" / there
    file.parent.mkdir(parents=True)
    file.touch()
    lines = [
        f"Error [ERR_MODULE_NOT_FOUND]: Cannot find module '{tmp_path}/src/get' imported from {tmp_path}/src/app.js"
    ]
    found = diagnose(lines)
    assert found is not None
    said = name_own_module(found, lines, tmp_path).message
    assert said == f"An import lacks the ending of src/{there}: Node's modules need it. Write it with {ending!r}."
    # What is elsewhere is not looked for.
    outside = name_own_module(found, lines, tmp_path / "other").message
    assert "lacks the ending" not in outside


def test_the_place_of_another_error_is_not_that_of_an_address(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("x = 1\n")
    frame = f'  File "{tmp_path}/shop.py", line 3, in <module>'
    lines = ["Traceback (most recent call last):", frame, "    connect()", "OSError: no mail.example.org"]
    assert own_place(lines, tmp_path, "mail.example.org") == "shop.py line 3"
    logged = ["could not reach mail.example.org", *lines[:3], "KeyError: 'cart'"]
    assert own_place(logged, tmp_path) == "shop.py line 3"
    assert own_place(logged, tmp_path, "mail.example.org") == ""
