from __future__ import annotations

import codecs
import platform
from pathlib import Path

import pytest
from environment_kit import write_wheel
from hypothesis import given
from hypothesis import strategies as st

from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.manifests.requirements_file import read_requirements_file
from preview.environments.manifests.search import read_project
from preview.environments.python.reading import read_request
from preview.environments.python.recipe import Recipe, make_recipe
from preview.environments.requirements.arguments import write_arguments
from preview.environments.requirements.requirements import RequirementSet, parse_requirement
from preview.environments.sandbox.interpreter import PythonInterpreter, allows
from preview.environments.store.eviction import RequestMemory
from preview.errors import EnvironmentFailed
from preview.sources import Sources

PYTHON = PythonInterpreter("/usr/bin/python3", platform.python_version(), "3.11 linux /usr")


def recipe(request: EnvironmentRequest, interpreter: PythonInterpreter = PYTHON) -> Recipe:
    return make_recipe(RequestMemory().read(request), interpreter)


def read(folder: Path, text: str | bytes, **others: str) -> RequirementSet:
    folder.mkdir(exist_ok=True)
    (folder / "requirements.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, content in others.items():
        (folder / f"{name}.txt").write_text(content)
    return read_requirements_file(folder, "requirements.txt")


def names(required: RequirementSet) -> list[str | None]:
    return [item.name for item in required.requirements]


def test_comments_blank_lines_and_continuations_are_understood(tmp_path: Path) -> None:
    required = read(tmp_path, "# all\n\nsix==1.16.0 # why\n  idna \\\n  >=3\nFlask_Login\n")
    assert names(required) == ["six", "idna", "flask-login"]
    assert [item.origin for item in required.requirements] == [f"requirements.txt line {n}" for n in (3, 4, 6)]


def test_an_included_file_counts_from_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps" / "base.txt").write_text("-r more.txt\nsix\n")
    (tmp_path / "deps" / "more.txt").write_text("idna\n-r base.txt\n")
    assert names(read(tmp_path, "-r deps/base.txt\nflask\n")) == ["idna", "six", "flask"]


@pytest.mark.parametrize("place", ["", "deps/"])
def test_a_path_counts_from_the_file_s_folder_or_from_one_above(tmp_path: Path, place: str) -> None:
    wheel = tmp_path / place / "wheels" / "tiny-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.write_bytes(b"a wheel")
    (tmp_path / "deps").mkdir(exist_ok=True)
    (tmp_path / "deps" / "base.txt").write_text("wheels/tiny-1.0-py3-none-any.whl\n")
    [found] = read(tmp_path, "-r deps/base.txt\n").requirements
    assert (found.name, found.text) == ("tiny", str(wheel))


def test_a_path_upwards_that_is_missing_is_not_called_outside(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps" / "base.txt").write_text("../tiny-1.0-py3-none-any.whl\n")
    [left] = read(tmp_path, "-r deps/base.txt\n").unfollowed
    assert "which is not in the project" in left.sentence


def test_constraints_are_kept_apart(tmp_path: Path) -> None:
    required = read(tmp_path, "six\n--constraint=limits.txt\n", limits="six<2\n")
    assert [item.text for item in required.constraints] == ["six<2"]
    assert names(required) == ["six"]


def test_a_file_saved_by_powershell_can_be_read(tmp_path: Path) -> None:
    assert names(read(tmp_path, codecs.BOM_UTF16_LE + "six\r\n".encode("utf-16-le"))) == ["six"]


def test_hashes_stay_with_their_requirement(tmp_path: Path) -> None:
    required = read(tmp_path, "six==1.16.0 \\\n  --hash=sha256:00 \\\n  --hash=sha256:11\n")
    assert required.requirements[0].text == "six==1.16.0 --hash=sha256:00 --hash=sha256:11"


def test_options_with_a_meaning_are_passed_on_and_others_ignored(tmp_path: Path) -> None:
    required = read(tmp_path, "--pre\n--no-binary six\n--prefer-binary\n--only-binary=:all:\nsix\n")
    assert required.prerelease
    assert required.options == ("--no-binary", "six", "--only-binary", ":all:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("six\n!!nonsense\n", "requirements.txt line 2 is not a requirement"),
        ("-r ../other.txt\n", "outside the project"),
        ("-c /etc/passwd\n", "outside the project"),
        ("-r missing.txt\n", "'missing.txt' is not in the project"),
        ("--surprise\n", "--surprise is not supported"),
        ("-r\n", "-r needs a value"),
        ("-r 'open\n", "is not in the project"),
        ("-r a\x00b\n", "outside the project"),
        ("pywin32==306\n", "it is for another system"),
        ("dataclasses==0.6\n", "it is part of Python"),
        ("pkg_resources==0.0.0\n", "a mistake of an old pip freeze"),
    ],
)
def test_what_cannot_be_followed_is_left_out_and_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    required = read(tmp_path, f"{text}idna\n")
    assert [item.text for item in required.requirements if item.name != "six"] == ["idna"]
    assert said in "\n".join(required.notes)
    assert required.options == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("../lib", "outside the project"),
        ("./nothere", "is not in the project"),
        ("lib @ file:///etc", "outside the project"),
        ("lib @ file:///home/me/lib", "outside the project"),
        ("six @ https://host.example/${SECRET}/six.whl", "environment variable"),
        ("six @ ssh://host.example/six", "does not follow"),
    ],
)
def test_what_names_where_it_comes_from_and_leads_nowhere_is_not_left_out(tmp_path: Path, text: str, said: str) -> None:
    required = read(tmp_path, f"{text}\nidna\n")
    assert [item.text for item in required.requirements] == ["idna"]
    (found,) = required.unfollowed
    assert said in found.sentence
    assert (found.origin, found.text) == ("requirements.txt line 1", text)


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("--index-url https://index.example/simple", "https://index.example/simple"),
        ("-i https://index.example/simple", "https://index.example/simple"),
        ("--extra-index-url=https://index.example", "https://index.example"),
        ("-f https://index.example", "https://index.example"),
        ("--find-links ./wheels", "./wheels"),
        ("--no-index", ""),
    ],
)
def test_an_index_of_the_projects_own_is_noted_with_its_place(tmp_path: Path, line: str, url: str) -> None:
    (index,) = read(tmp_path, f"{line}\nidna\n").indexes
    assert index.url == url
    assert index.origin.startswith("requirements.txt line 1 (-")


@pytest.mark.parametrize("text", [b"\xff\xfe\xff", b"\xe9\n", b"#" * (1024 * 1024 + 1)])
def test_what_is_no_text_is_refused(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(EnvironmentFailed, match=r"UTF-8|larger than"):
        read(tmp_path, text)


def test_a_link_that_leaves_the_project_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("six\n")
    project = tmp_path / "project"
    project.mkdir()
    (project / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert read(project, "-r link.txt\n").requirements == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("certifi @ file:///croot/certifi_1671487769961/built/certifi", "certifi"),
        ("Flask   2.0.1", "Flask==2.0.1"),
        ("flask=2.0.1=pyhd8ed1ab_0", "flask==2.0.1"),
        ("pip install flask", "flask"),
        ('python -m pip install -U "celery[redis]"', "celery[redis]"),
        ("flask >=2.0", "flask>=2.0"),
        ("git+https://host.example/me/x", "x @ git+https://host.example/me/x"),
        ("git+https://u@host.example/me/x.git@a/b", "x @ git+https://u@host.example/me/x.git@a/b"),
        ("git+https://host.example/me/repo.git@1.2#egg=x", "x @ git+https://host.example/me/repo.git@1.2"),
        ("-e git+https://host.example/me/x.git@1.2#egg=x", "x @ git+https://host.example/me/x.git@1.2"),
    ],
)
def test_lines_that_other_tools_write_are_understood(tmp_path: Path, text: str, line: str) -> None:
    assert [item.text for item in read(tmp_path, f"{text}\n").requirements] == [line]


@pytest.mark.parametrize(
    "command",
    ["sudo add-apt-repository ppa:me/ffmpeg4", "apt install redis-server", "flask run", "uvicorn main:app"],
)
def test_a_command_among_the_requirements_is_left_out_with_a_note(tmp_path: Path, command: str) -> None:
    required = read(tmp_path, f"six\n{command}\n")
    assert [item.text for item in required.requirements] == ["six"]
    assert required.unfollowed == ()
    assert [note for note in required.notes if command in note]


def test_the_file_that_a_command_installs_from_is_no_package(tmp_path: Path) -> None:
    assert [one.text for one in read(tmp_path, "pip install -r more.txt six\n").requirements] == ["six"]


def test_a_list_printed_by_pip_is_understood(tmp_path: Path) -> None:
    required = read(tmp_path, "Package    Version\n---------- -------\nidna       3.10\n")
    assert [item.text for item in required.requirements] == ["idna==3.10"]
    assert required.notes == ()


def test_a_chain_of_includes_has_an_end(tmp_path: Path) -> None:
    others = {f"r{n}": f"-r r{n + 1}.txt\n" for n in range(60)}
    with pytest.raises(EnvironmentFailed, match="more than 50 files"):
        read(tmp_path, "-r r0.txt\n", **others)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    try:
        read(folder, text.encode("utf-8", "surrogatepass"))
    except EnvironmentFailed as error:
        assert error.message  # noqa: PT017  both outcomes are fine, a third is not


@pytest.mark.parametrize(
    ("lines", "has"),
    [
        (["fastapi"], False),
        (["fastapi[standard]==0.1"], True),
        (["FastAPI[all]"], True),
        (["uvicorn[standard]>=0.2"], True),
        (["uvicorn; python_version < '3'"], False),
        (["uvicorn-worker"], False),
    ],
)
def test_a_server_is_recognised_by_name_and_extra(lines: list[str], has: bool) -> None:
    required = RequirementSet(tuple(parse_requirement(line, "x") for line in lines))
    assert required.brings("uvicorn") is has


@pytest.mark.parametrize(("line", "pinned"), [("a==1", True), ("a==1.*", False), ("a>=1", False), ("a===1", True)])
def test_only_exact_versions_are_pinned(line: str, pinned: bool) -> None:
    assert parse_requirement(line, "x").pinned is pinned


def test_pyproject_is_read_when_there_is_no_requirements_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nrequires-python = ">=3.8"\ndependencies = ["six==1.16.0", "idna"]\n'
    )
    required = read_project(tmp_path)
    assert names(required) == ["six", "idna"]
    assert required.requires_python == ">=3.8"
    assert required.source == "pyproject.toml"


@pytest.mark.parametrize(("text", "said"), [("[project", "cannot be read"), ("#" * (1024 * 1024 + 1), "larger than")])
def test_a_wrong_pyproject_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(EnvironmentFailed, match=said):
        read_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('dependencies = "six"', "is not a list"),
        ('dependencies = ["six\\n-r /etc/passwd"]', "line break"),
        ('dependencies = ["???"]', "pyproject.toml dependency 1 is not a requirement"),
    ],
)
def test_a_wrong_line_of_a_pyproject_is_left_out(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[project]\n{text}\n")
    required = read_project(tmp_path)
    assert required.requirements == ()
    assert said in "\n".join((*required.notes, *(one.sentence for one in required.unfollowed)))


@pytest.mark.parametrize(
    ("text", "said"),
    [('[project]\ndynamic = ["dependencies"]', "computes"), ("[tool.x]\n", "no [project] table")],
)
def test_a_pyproject_without_known_dependencies_is_noted(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    required = read_project(tmp_path)
    assert required.requirements == ()
    assert said in required.notes[0]


def test_a_backend_folder_may_keep_the_requirements(tmp_path: Path) -> None:
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "requirements.txt").write_text("six\n")
    assert read_project(tmp_path).source == "backend/requirements.txt"


def test_a_project_without_requirements_says_so(tmp_path: Path) -> None:
    assert "names no requirements" in read_project(tmp_path).notes[-1]


@pytest.mark.parametrize(("requires", "said"), [(">=99", False), (">=3", True), ("new", True), (None, True)])
def test_a_python_is_compared_with_what_the_project_wants(requires: str | None, said: bool) -> None:
    assert allows(requires, PYTHON) is said


def key(project: Path, text: str) -> str:
    (project / "requirements.txt").write_text(text)
    return recipe(EnvironmentRequest(project), PYTHON).key


def test_the_key_depends_on_what_is_required_and_not_on_how_it_is_written(tmp_path: Path) -> None:
    first = key(tmp_path, "six==1.16.0\nidna==3.10\n")
    assert key(tmp_path, "# hello\nidna == 3.10\nsix==1.16.0   # why\n") == first
    assert key(tmp_path, "six==1.15.0\nidna==3.10\n") != first
    assert key(tmp_path, "six==1.16.0\nidna==3.10\nuvicorn==0.30\n") != first


def test_the_key_depends_on_the_python(tmp_path: Path) -> None:
    other = PythonInterpreter("/usr/bin/python3", "3.12.0", "3.12.0 linux /usr")
    assert recipe(EnvironmentRequest(tmp_path), PYTHON).key != recipe(EnvironmentRequest(tmp_path), other).key


def test_the_key_depends_on_a_local_packages_content(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "pyproject.toml").write_text("[project]\nname='lib'\nversion='1'\n")
    first = key(tmp_path, "-e ./lib\n")
    (tmp_path / "lib" / "__pycache__").mkdir()
    (tmp_path / "lib" / "__pycache__" / "x.pyc").write_text("")
    assert key(tmp_path, "-e ./lib\n") == first
    (tmp_path / "lib" / "new.py").write_text("")
    assert key(tmp_path, "-e ./lib\n") != first


def test_a_local_wheel_has_its_packages_name(tmp_path: Path) -> None:
    write_wheel(tmp_path, "uvicorn", "1.0")
    for line in ("./uvicorn-1.0-py3-none-any.whl", "uvicorn @ ./uvicorn-1.0-py3-none-any.whl"):
        (tmp_path / "requirements.txt").write_text(line)
        assert recipe(EnvironmentRequest(tmp_path), PYTHON).server is None


def test_a_huge_local_folder_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.environments.requirements.local_paths._MAX_FILES", 1)
    (tmp_path / "lib").mkdir()
    for name in "ab":
        (tmp_path / "lib" / name).write_text("")
    assert "more than" in read(tmp_path, "./lib\n").unfollowed[0].sentence


def test_a_project_that_wants_itself_installed_gets_what_it_requires(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup(install_requires=['six'])\n")
    (tmp_path / "requirements.txt").write_text("-e .\nidna\n")
    assert names(read_project(tmp_path)) == ["idna", "six"]


def test_the_folder_asked_for_says_what_is_required(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "requirements.txt").write_text("six\n")
    (tmp_path / "requirements.txt").write_text("idna\n")
    assert read_project(tmp_path, "service").source == "service/requirements.txt"


def test_extra_requirements_are_added_unless_the_project_names_them(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six==1.16.0\n")
    made = recipe(EnvironmentRequest(tmp_path, extra=("Six", "idna>=3")), PYTHON)
    assert [item.text for item in made.required.requirements] == ["six==1.16.0", "idna>=3"]


def test_an_extra_requirement_is_no_package_that_the_project_has_elsewhere(tmp_path: Path) -> None:
    text = '[project]\nname = "a"\nversion = "1"\ndependencies = ["six", "mine"]\n[tool.uv.sources]\nmine = '
    (tmp_path / "pyproject.toml").write_text(f"{text}{{ workspace = true }}\n")
    made = recipe(EnvironmentRequest(tmp_path, extra=("mine", "idna")), PYTHON)
    assert names(made.required) == ["six", "idna"]
    (tmp_path / "pyproject.toml").write_text(f'{text}{{ path = "../mine" }}\n')
    (tmp_path / "requirements.txt").write_text("six\n")
    made = recipe(EnvironmentRequest(tmp_path, extra=("mine", "idna")), PYTHON)
    assert names(made.required) == ["six", "idna"]


def test_a_limit_leaves_the_version_that_a_constraint_has_chosen(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\nidna\n-c limits.txt\n")
    (tmp_path / "limits.txt").write_text("six==1.16.0\n")
    made = recipe(EnvironmentRequest(tmp_path, extra=("six<1", "idna<3")), PYTHON)
    assert [item.text for item in made.required.constraints] == ["six==1.16.0", "idna<3"]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("six==1.16.0", "six<1.2"),
        ("six==1.1.0", "six==1.1.0"),
        ("six==1.16.0 --hash=sha256:aa", "six==1.16.0 --hash=sha256:aa"),
    ],
)
def test_a_limit_takes_the_place_of_a_pin_beyond_it(tmp_path: Path, written: str, text: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"{written}\n")
    made = recipe(EnvironmentRequest(tmp_path, extra=("six<1.2",)), PYTHON)
    assert [item.text for item in made.required.requirements] == [text]
    assert made.required.constraints == ()


def test_the_server_is_the_one_asked_for(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("fastapi[standard]\n")
    assert recipe(EnvironmentRequest(tmp_path), PYTHON).server is None
    assert recipe(EnvironmentRequest(tmp_path, server=None), PYTHON).server is None
    assert recipe(EnvironmentRequest(tmp_path, server="waitress"), PYTHON).server == "waitress>=3"


def test_requirements_in_a_folder_of_production_come_before_those_of_developers(tmp_path: Path) -> None:
    (tmp_path / "requirements" / "prod").mkdir(parents=True)
    (tmp_path / "requirements" / "prod" / "requirements.txt").write_text("django==4.2\n")
    (tmp_path / "requirements" / "dev-requirements.txt").write_text("django==4.2\ncoverage\n")
    asked = read_request(EnvironmentRequest(tmp_path), Sources(tmp_path))
    names = [item.name for item in asked.required.requirements]
    assert names[0] == "django"
    assert "coverage" not in names


@pytest.mark.parametrize(
    ("lines", "extra", "overridden"),
    [
        ("flask==2.3.3\nitsdangerous==2.1.2\n", ("itsdangerous<2.1",), "itsdangerous<2.1\n"),
        ("flask\nitsdangerous\n", ("itsdangerous<2.1",), "itsdangerous<2.1\n"),
        ("flask\n", ("itsdangerous<2.1",), "itsdangerous<2.1\n"),
        ("flask\nitsdangerous<2.1\n", (), None),
        ("flask\n", ("werkzeug<3",), None),
        ("python-json-logger==2.0.7\n", ("python-json-logger>0",), "python-json-logger>0\n"),
        ("Django>=5.0.0,<5.1.0\n", ("django<6,>=5.1",), "django<6,>=5.1\n"),
    ],
)
def test_a_limit_of_a_failed_start_stands_beside_a_package_that_demands_a_newer_version(
    tmp_path: Path, lines: str, extra: tuple[str, ...], overridden: str | None
) -> None:
    (tmp_path / "requirements.txt").write_text(lines)
    asked = read_request(EnvironmentRequest(tmp_path, extra=extra), Sources(tmp_path))
    arguments = write_arguments(tmp_path, asked.required, None, runs_code=True) or []
    file = Path(arguments[arguments.index("--override") + 1]) if "--override" in arguments else None
    assert (file.read_text() if file is not None else None) == overridden


@pytest.mark.parametrize(
    ("lines", "overridden"),
    [
        ("django-heroku\npsycopg2-binary\n", "psycopg2 ; python_version < '3'\n"),
        ("django-heroku\npsycopg2\n", None),
        ("django-heroku\n", None),
    ],
)
def test_a_driver_that_a_package_brings_is_the_projects_own_with_wheels(
    tmp_path: Path, lines: str, overridden: str | None
) -> None:
    (tmp_path / "requirements.txt").write_text(lines)
    arguments = write_arguments(tmp_path, read_project(tmp_path), None, runs_code=True) or []
    file = Path(arguments[arguments.index("--override") + 1]) if "--override" in arguments else None
    assert (file.read_text() if file is not None else None) == overridden


@pytest.mark.parametrize(
    ("text", "lines", "limited"),
    [
        ("from pydantic import BaseSettings\n", "fastapi\npydantic[email]\n", True),
        ("from pydantic import BaseSettings\n", "fastapi\n", True),
        ("from pydantic import BaseSettings\n", "pydantic==2.1\n", False),
        ("from pydantic import BaseModel\n", "fastapi\n", False),
        (
            "try:\n    from pydantic_settings import BaseSettings\nexcept E:\n    from pydantic import BaseSettings\n",
            "fastapi\n",
            False,
        ),
    ],
)
def test_settings_of_pydantic_1_want_pydantic_1(tmp_path: Path, text: str, lines: str, limited: bool) -> None:
    (tmp_path / "requirements.txt").write_text(lines)
    (tmp_path / "main.py").write_text(text)
    asked = read_request(EnvironmentRequest(tmp_path, entry="main.py"), Sources(tmp_path))
    assert ("pydantic<2" in {item.text for item in asked.required.constraints}) is limited


def test_what_only_the_developers_file_names_is_added_in_its_version_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "base.txt").write_text("django==4.2\n")
    (tmp_path / "requirements" / "dev.txt").write_text("-r base.txt\ndjango-debug-toolbar==4.1.0\n")
    (tmp_path / "manage.py").write_text("INSTALLED_APPS = ['debug_toolbar', 'rest_framework']\n")
    asked = read_request(EnvironmentRequest(tmp_path, entry="manage.py"), Sources(tmp_path))
    found = {one.module: (one.distribution, one.origin) for one in asked.wanted}
    assert found["debug_toolbar"] == ("django-debug-toolbar==4.1.0", "requirements/dev.txt line 2")
    assert found["rest_framework"] == ("djangorestframework", "")
