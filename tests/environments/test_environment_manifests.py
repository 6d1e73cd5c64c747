from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.environments.manifests.search import read_project
from preview.environments.requirements.requirements import RequirementSet
from preview.errors import EnvironmentFailed


def read(folder: Path, **files: str) -> RequirementSet:
    """What a project with these files requires; ``__`` in a name stands for a point, ``___`` for a slash."""
    for name, text in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read_project(folder)


def texts(required: RequirementSet) -> list[str]:
    return [item.text for item in required.requirements]


POETRY = """
[tool.poetry.dependencies]
python = "^3.9"
fastapi = "^0.79.1"
uvicorn = {version = "~0.18", extras = ["standard"]}
six = "*"
idna = [{version = "2.0", python = "<3.8"}, {version = ">=3,<4 || >=5", python = ">=3.8"}]
shared = {path = "../shared", develop = true}
tool = {git = "https://host.example/tool.git", tag = "v1"}

[tool.poetry.group.prod.dependencies]
gunicorn = "21.2.0"

[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
mkdocs = "*"

[tool.poetry.dev-dependencies]
pytest = "^7"
"""


def test_poetrys_ranges_extras_groups_and_places_are_understood(tmp_path: Path) -> None:
    required = read(tmp_path, pyproject__toml=POETRY)
    found = {item.name: item.text for item in required.requirements if item.applies}
    assert found == {
        "fastapi": "fastapi<0.80.0,>=0.79.1",
        "uvicorn": "uvicorn[standard]<0.19,>=0.18",
        "six": "six",
        "idna": 'idna>=5; python_version >= "3.8"',
        "tool": "tool @ git+https://host.example/tool.git@v1",
        "gunicorn": "gunicorn==21.2.0",
    }
    assert required.requires_python == ">=3.9,<4.0"
    assert "outside the project" in required.unfollowed[0].sentence
    assert {item.name for item in required.spare} == {"pytest", "mkdocs"}


def test_a_lock_file_chooses_the_versions(tmp_path: Path) -> None:
    lock = '[[package]]\nname = "Six"\nversion = "1.16.0"\n'
    lock += '[[package]]\nname = "own"\nversion = "1"\nsource = {virtual = "."}\n'
    lock += '[[package]]\nname = "idna"\nversion = "2"\n[[package]]\nname = "idna"\nversion = "3"\n'
    required = read(tmp_path, pyproject__toml='[project]\ndependencies = ["six>=1"]\n', uv__lock=lock)
    assert [item.text for item in required.constraints] == ["Six==1.16.0".lower()]
    assert required.all_pinned


def test_uvs_sources_say_where_a_package_comes_from(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "pyproject.toml").write_text('[project]\nname = "lib"\nversion = "1"\n')
    text = '[project]\ndependencies = ["lib", "other[x]>=1", "member"]\n[tool.uv.sources]\nlib = {path = "lib"}\n'
    text += 'other = {git = "https://host.example/o.git", rev = "1"}\nmember = {workspace = true}\n'
    required = read(tmp_path, pyproject__toml=text)
    assert texts(required)[0] == f"lib @ {(tmp_path / 'lib').as_uri()}"
    assert texts(required)[1] == "other[x] @ git+https://host.example/o.git@1"
    assert "another member of the workspace" in required.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        '[project]\ndependencies = ["six"]\n[dependency-groups]\ndev = ["fastapi>=0.100", {include-group = "x"}]\n',
        '[project]\ndependencies = ["six"]\n[project.optional-dependencies]\nserver = ["fastapi>=0.100"]\n',
        '[project]\ndependencies = ["six"]\n[tool.pdm.dev-dependencies]\ndev = ["fastapi>=0.100"]\n',
        '[project]\ndependencies = ["six"]\n[tool.uv]\ndev-dependencies = ["fastapi>=0.100"]\n',
        '[project]\ndependencies = ["six"]\n[tool.hatch.envs.default]\ndependencies = ["fastapi>=0.100"]\n',
        '[tool.poetry.dependencies]\nsix = "*"\n[tool.poetry.group.dev.dependencies]\nfastapi = ">=0.100"\n',
    ],
)
def test_a_group_is_installed_when_only_it_brings_the_framework(tmp_path: Path, text: str) -> None:
    required = read(tmp_path, pyproject__toml=text)
    assert texts(required) == ["six", "fastapi>=0.100"]
    assert "it contains the framework" in required.notes[0]


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("requirments.txt", True), ("requriements.txt", True), ("requirements1.txt", True),
        ("requests.txt", False), ("requirements_dev1.txt", False), ("requirments.md", False),
    ],
)  # fmt: skip
def test_a_misspelt_requirements_file_is_read(tmp_path: Path, name: str, is_read: bool) -> None:
    required = read(tmp_path, **{name: "flask==3.0"})
    assert texts(required) == (["flask==3.0"] if is_read else [])


def test_a_misspelt_requirements_file_that_is_a_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "requirments.txt").mkdir()
    assert texts(read(tmp_path, Pipfile='[packages]\nsix = "*"')) == ["six"]


def test_a_pipfile_is_read(tmp_path: Path) -> None:
    text = "[packages]\nflask = '*'\nsix = '>=1.16'\n"
    text += 'idna = {version = "==3.10", extras = ["a"]}\n[dev-packages]\nx = "*"\n'
    required = read(tmp_path, Pipfile=text, Pipfile__lock='{"default": {"flask": {"version": "==2.0.1"}}}')
    assert texts(required) == ["flask", "six>=1.16", "idna[a]==3.10"]
    assert [item.text for item in required.constraints] == ["flask==2.0.1"]
    assert [item.text for item in required.spare] == ["x"]


def test_setup_cfg_is_read(tmp_path: Path) -> None:
    text = "[options]\npython_requires = >=3.8\ninstall_requires =\n    flask>=2\n    six  # why\n"
    required = read(tmp_path, setup__cfg=text + "[options.extras_require]\ndev =\n    pytest\n")
    assert texts(required) == ["flask>=2", "six"]
    assert required.requires_python == ">=3.8"


def test_setup_py_is_read_without_being_run(tmp_path: Path) -> None:
    text = "import setuptools\nraise SystemExit\nBASE = ['flask']\nsetuptools.setup(install_requires=BASE + ['six'])\n"
    assert texts(read(tmp_path, setup__py=text)) == ["flask", "six"]


def test_a_setup_py_that_computes_is_told(tmp_path: Path) -> None:
    required = read(tmp_path, setup__py="from setuptools import setup\nsetup(install_requires=open('x').read())\n")
    assert "computes its requirements" in required.notes[0]


def test_a_conda_environment_gives_its_pip_part_and_the_names_that_are_python(tmp_path: Path) -> None:
    text = "dependencies:\n- python=3.11\n- conda-forge::flask=2.0\n- libpq\n- pytorch>=2\n- pip:\n  - six==1.16.0\n"
    assert texts(read(tmp_path, environment__yml=text)) == ["flask==2.0.*", "torch>=2", "six==1.16.0"]


def test_dynamic_dependencies_in_a_file_are_read(tmp_path: Path) -> None:
    text = '[project]\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\ndependencies = {file = ["deps.txt"]}\n'
    assert texts(read(tmp_path, pyproject__toml=text, deps__txt="six\n")) == ["six"]


def test_a_developers_file_counts_only_when_there_is_nothing_else(tmp_path: Path) -> None:
    assert texts(read(tmp_path, **{"requirements-dev__txt": "six\n"})) == ["six"]
    assert texts(read(tmp_path, pyproject__toml='[project]\ndependencies = ["idna"]\n')) == ["idna"]


def test_an_empty_file_lets_the_next_one_speak(tmp_path: Path) -> None:
    assert texts(read(tmp_path, requirements__txt="\n", Pipfile='[packages]\nsix = "*"\n')) == ["six"]


def test_the_nearest_file_above_the_entry_counts(tmp_path: Path) -> None:
    for folder, name in (("a/b", "six"), ("a", "idna"), (".", "flask")):
        (tmp_path / folder / "c").mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "requirements.txt").write_text(name)
    assert read_project(tmp_path, ".", "a/c/main.py").source == "a/requirements.txt"
    assert read_project(tmp_path, "a/b/c").source == "a/b/requirements.txt"
    assert read_project(tmp_path, ".", "main.py").source == "requirements.txt"


def test_a_requirements_file_without_the_framework_gives_way_to_the_manifest_that_names_it(tmp_path: Path) -> None:
    required = read(tmp_path, requirements__txt="six\n", pyproject__toml='[project]\ndependencies = ["flask"]\n')
    assert texts(required) == ["flask"]
    assert required.notes[0] == "pyproject.toml is used: requirements.txt lists no web framework"


def test_a_list_of_a_whole_system_gives_way_to_the_requirements_file_that_names_the_framework(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "base.txt").write_text("django>=4.2\nsix\n")
    required = read(tmp_path, requirements__txt="distro-info===0.23ubuntu1\ncloud-init==23.1.2\n")
    assert texts(required) == ["django>=4.2", "six"]
    assert required.notes[0] == "requirements/base.txt is used: requirements.txt lists no web framework"
    (tmp_path / "requirements" / "base.txt").write_text("six\n")
    assert read(tmp_path, requirements__txt="aiohttp\n").source == "requirements.txt"


OLD_PIPFILE = '[packages]\nflask = "*"\nbcrypt = "*"\n'
OLD_POETRY = '[tool.poetry]\nname = "a"\nversion = "1"\n[tool.poetry.dependencies]\nflask = "*"\nbcrypt = "*"\n'


@pytest.mark.parametrize(
    ("readme", "older", "source"),
    [
        ("1. `pipenv install`\n", "flask==1.1.2\n", "Pipfile"),
        ("poetry install --no-root", "flask==1.1.2\n", "pyproject.toml"),
        # Nothing is missing, another way is named too, or none.
        ("pipenv install", "flask==1.1.2\nbcrypt\n", "requirements.txt"),
        ("pipenv install\npip install -r requirements.txt", "flask==1.1.2\n", "requirements.txt"),
        ("", "flask==1.1.2\n", "requirements.txt"),
        ("x" * 200_000 + " pipenv install", "flask==1.1.2\n", "requirements.txt"),
    ],
)
def test_the_installer_of_the_readme_decides_if_the_requirements_file_is_older(
    tmp_path: Path, readme: str, older: str, source: str
) -> None:
    manifest = {"pyproject__toml": OLD_POETRY} if "poetry" in readme else {"Pipfile": OLD_PIPFILE}
    required = read(tmp_path, requirements__txt=older, README__md=readme, **manifest)
    assert required.source == source
    assert (len(required.requirements) == 2) == (source != "requirements.txt" or "bcrypt" in older)


def test_a_readme_that_is_no_plain_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("pipenv install")
    (tmp_path / "README.md").symlink_to("other.md")
    os.mkfifo(tmp_path / "README.rst")
    assert read(tmp_path, requirements__txt="flask==1.1.2\n", Pipfile=OLD_PIPFILE).source == "requirements.txt"


def test_any_spelling_of_the_name_is_found(tmp_path: Path) -> None:
    assert texts(read(tmp_path, Requirements__txt="six\n")) == ["six"]


@given(
    st.sampled_from(
        ["pyproject.toml", "Pipfile", "setup.cfg", "setup.py", "environment.yml", "uv.lock", "Pipfile.lock"]
    ),
    st.text(max_size=120)
    | st.sampled_from([POETRY, "[project]\ndependencies=[1]", "[options]\ninstall_requires=%(x)s"]),
    st.text(max_size=30),
)
def test_any_manifest_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str, more: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / name).write_bytes((text + more).encode("utf-8", "surrogatepass"))
    try:
        read_project(folder)
    except EnvironmentFailed as error:
        assert error.message  # noqa: PT017  both outcomes are fine, a third is not


@pytest.mark.parametrize("name", ['["own"]', "{ a = 1 }", "7", "[[]]"])
@pytest.mark.parametrize("tool", ["uv.index", "poetry.source", "pdm.source"])
def test_an_index_whose_name_is_no_text_is_read_like_any_other(tmp_path: Path, name: str, tool: str) -> None:
    table = f'[[tool.{tool}]]\nname = {name}\nurl = "https://index.example/simple"\nexplicit = true\n'
    required = read(tmp_path, pyproject__toml=f'[project]\nname = "app"\ndependencies = ["six"]\n{table}')
    assert texts(required) == ["six"]
