"""Files that a failed start has under another name, or at the folder of its Dockerfile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from preview.detection import Overrides, Server, StartPlan, Toolchain, merge
from preview.supervisor.mending import FailedStart, Mend, container_folder, find_mend, with_folders
from preview.supervisor.mending.container_folder import find_container_folder, may_be_linked
from preview.supervisor.mending.container_values import find_container_values, find_example_values
from preview.supervisor.mending.model import shortened
from preview.supervisor.mending.starts import may_be_newer_python
from preview.supervisor.preview.mends import Mends

ROOT = "/data/previews/p/project"
TRACE = "Traceback (most recent call last):"
NO_FILE = "FileNotFoundError: [Errno 2] No such file or directory: "


def plan_of(toolchain: Toolchain = Toolchain.PYTHON, folder: str = ".", linked_at: str | None = None) -> StartPlan:
    return StartPlan(
        "flask", toolchain, Server.WSGI, None, directory=folder, python_path=(folder,), linked_at=linked_at
    )


def mend_of(
    *lines: str,
    plan: StartPlan | None = None,
    names: Sequence[str] = (),
    folders: Sequence[str] = (),
    container_folder: str | None = None,
    is_sandboxed: bool = False,
) -> Mend | None:
    own = frozenset({"app"})
    return find_mend(
        FailedStart(
            lines,
            plan or plan_of(),
            own,
            ROOT,
            folders=frozenset(folders),
            names=frozenset(names),
            container_folder=container_folder,
            is_sandboxed=is_sandboxed,
        )
    )


@pytest.mark.parametrize(
    ("lines", "names", "folders", "toolchain", "links"),
    [
        ([f"{NO_FILE}'Rates.CSV'"], ["rates.csv"], [], Toolchain.PYTHON, {"Rates.CSV": "rates.csv"}),
        ([f"{NO_FILE}'{ROOT}/Rules/a.json'"], ["rules/a.json"], ["rules"], Toolchain.PYTHON, {"Rules": "rules"}),
        (["RuntimeError: Directory 'Static' does not exist"], [], ["static"], Toolchain.PYTHON, {"Static": "static"}),
        (
            ["Error: Cannot find module './User'", "Require stack:", f"- {ROOT}/models/index.js"],
            ["models/user.js", "models/index.js"], ["models"], Toolchain.NODE, {"models/User.js": "models/user.js"},
        ),
        (
            ["Error: Cannot find module '../Models/user'", "Require stack:", f"- {ROOT}/routes/a.js"],
            ["models/user.js"], ["models", "routes"], Toolchain.NODE, {"Models": "models"},
        ),
        (
            [f"Error [ERR_MODULE_NOT_FOUND]: Cannot find module '{ROOT}/src/Db.js' imported from {ROOT}/src/main.js"],
            ["src/db.ts"], ["src"], Toolchain.NODE, {"src/Db.ts": "src/db.ts"},
        ),
        ([f"{NO_FILE}'config.json'"], ["config.example.json"], [], Toolchain.PYTHON,
         {"config.json": "config.example.json"}),
        ([f"FileNotFoundError: CRITICAL: no settings at: {ROOT}/config/shop.toml"], ["config/shop.toml.example"], [],
         Toolchain.PYTHON, {"config/shop.toml": "config/shop.toml.example"}),
        (["ModuleNotFoundError: No module named 'local_config'"], ["local_config.py.sample"], [], Toolchain.PYTHON,
         {"local_config.py": "local_config.py.sample"}),
        ([f"Error: ENOENT: no such file or directory, open '{ROOT}/.env'"], [".env.docker", ".env.test"], [],
         Toolchain.NODE, {".env": ".env.docker"}),
        ([f"Error: ENOENT: no such file or directory, open '{ROOT}/api/.env.development'"], ["api/.env", ".env.local"],
         ["api"], Toolchain.NODE, {"api/.env.development": "api/.env"}),
        (["ModuleNotFoundError: No module named 'app.keys'"], ["app/keys_example.py"], ["app"], Toolchain.PYTHON,
         {"app/keys.py": "app/keys_example.py"}),
    ],
)  # fmt: skip
def test_a_file_under_another_name_is_linked(
    lines: list[str], names: list[str], folders: list[str], toolchain: Toolchain, links: dict[str, str]
) -> None:
    mend = mend_of(TRACE, *lines, plan=plan_of(toolchain), names=names, folders=folders)
    assert mend is not None
    assert mend.links == links


@pytest.mark.parametrize(
    "before",
    ["00:31:28 [error] ", "2026-01-31T10:00:00.123Z ERROR: ", "[2026-01-31 10:00:00] ", "\x1b[31merror\x1b[0m: "],
)
def test_an_error_that_a_logger_prints_is_read_like_any_other(before: str) -> None:
    stack = ["Require stack:", f"- {ROOT}/server.js"]
    lines = shortened([f"{before}Error: Cannot find module './src/config/database'", *stack])
    mend = mend_of(
        *lines, plan=plan_of(Toolchain.NODE), names=["src/Config/database.js"], folders=["src", "src/Config"]
    )
    assert mend is not None
    assert mend.links == {"src/config": "src/Config"}


@pytest.mark.parametrize(
    "line", ["ERROR:    Error loading ASGI app", "error TS2322: Type", "10:00:00 the Error: was seen", "1 Error"]
)
def test_what_only_looks_like_a_logged_error_stays(line: str) -> None:
    assert shortened([line]) == [line]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        # Outside of the project, by either way.
        (f"{NO_FILE}'../Rates.csv'", ["rates.csv"]),
        (f"{NO_FILE}'/etc/Passwd'", ["etc/passwd"]),
        (f"{NO_FILE}'{ROOT}/../other/A.txt'", ["a.txt"]),
        # Options of the program that makes the links.
        (f"{NO_FILE}'-E.json'", ["-e.json"]),
        (f"{NO_FILE}'config.json'", []),
        (f"{NO_FILE}'.env'", ["api/.env.local", ".environment"]),
        (f"{NO_FILE}'config.json'", ["other/config.example.json"]),
        # Two files that differ in capitals alone.
        (f"{NO_FILE}'RATES.csv'", ["rates.csv", "Rates.csv"]),
        # Python tells capitals of modules apart on every system.
        ("ModuleNotFoundError: No module named 'app.Models'", ["app/models.py"]),
    ],
)
def test_nothing_else_is_linked(line: str, names: list[str]) -> None:
    mend = mend_of(TRACE, line, names=names)
    assert mend is None or not mend.links


@pytest.mark.parametrize(
    ("line", "names", "links"),
    [
        ("ERROR: config.yaml not found at './config.yaml'. App cannot start.", ["config.yaml.example"],
         {"config.yaml": "config.yaml.example"}),
        # An empty configuration, of which the settings lack everything.
        ("pydantic_core.ValidationError: 2 validation errors for Config", ["shop.conf.example", "shop.py"],
         {"shop.conf": "shop.conf.example"}),
        ("KeyError: 'server'", ["settings.sample.toml"], {"settings.toml": "settings.sample.toml"}),
        ("KeyError: 'server'", ["settings.sample.toml", "settings.toml"], {}),
        ("KeyError: 'server'", ["other/settings.sample.toml", "image.example.png", "shop.sample.py"], {}),
    ],
)  # fmt: skip
def test_an_example_stands_in_for_a_configuration_that_is_read_as_empty(
    line: str, names: list[str], links: dict[str, str]
) -> None:
    mend = mend_of(line, names=names)
    assert (mend.links if mend is not None else {}) == links


def test_an_example_of_a_file_that_no_module_mentions_is_left_alone() -> None:
    failed = FailedStart(["KeyError: 'server'"], plan_of(), frozenset(), ROOT, names=frozenset({"a.toml.example"}))
    assert find_mend(replace(failed, mentioned=lambda _: ())) is None


@pytest.mark.parametrize("toolchain", [Toolchain.PYTHON, Toolchain.NODE])
def test_the_step_links_and_leaves_what_is_there(tmp_path: Path, toolchain: Toolchain) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/user.js").write_text("user")
    (tmp_path / "there").write_text("own")
    links = {"models/User.js": "models/user.js", "there": "models/user.js"}
    step = with_folders(plan_of(toolchain), (), links).steps[0]
    program = {"python": sys.executable, "node": "node"}[step.argv[0]]
    subprocess.run([program, *step.argv[1:]], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "models/User.js").read_text() == "user"
    assert (tmp_path / "models/User.js").readlink() == Path("user.js")
    assert (tmp_path / "there").read_text() == "own"


def test_links_are_kept_with_the_mends() -> None:
    mends = Mends()
    mends.add(1, Overrides(), (), "first", {"A": "a"})
    mends.add(2, Overrides(), (), "second", {"B": "b"})
    assert mends.links == {"A": "a", "B": "b"}
    mends.add(3, merge(mends.overrides, Overrides(extra_requirements=("nowhere",))), (), "third", {"C": "c"})
    assert mends.take_back()
    assert mends.links == {"A": "a", "B": "b"}


@pytest.mark.parametrize(
    "line",
    [
        f"{NO_FILE}'/app/data/rates.csv'",
        "sqlite3.OperationalError: unable to open database file",
        "OSError: [Errno 30] Read-only file system: '/app'",
    ],
)
def test_the_folder_of_the_dockerfile_is_shown(line: str) -> None:
    mend = mend_of(TRACE, line, container_folder="/app")
    assert mend is not None
    assert mend.linked_at == "/app"
    assert mend_of(TRACE, line) is None
    assert mend_of(TRACE, line, container_folder="/srv/shop") is None or "unable" in line
    assert mend_of(TRACE, line, container_folder="/app", plan=plan_of(linked_at="/app")) is None


@pytest.mark.parametrize(
    ("dockerfile", "code", "folder"),
    [
        ("FROM python:3.12\nWORKDIR /app\nCOPY . .\n", "DB = '/app/shop.db'", "/app"),
        ("FROM a AS b\nWORKDIR /build\nFROM c\nworkdir /srv/shop/\nCOPY --chown=a:b . /srv/shop\n", 'x = "/srv/shop"',
         "/srv/shop"),
        ("WORKDIR /app\nCOPY . .\n", "x = '/application/a'", None),
        ("WORKDIR /app\nCOPY server.py .\n", "x = '/app/a'", None),
        ("COPY . .\n", "x = '/app/a'", None),
        *(
            (f"WORKDIR {one}\nCOPY . .\n", f"x = '{one}/a'", None)
            for one in ("/", "/.", "/./a", "/etc", "/usr/src/app", "/a/../b")
        ),
    ],
)  # fmt: skip
def test_the_dockerfile_and_the_code_both_name_the_folder(
    tmp_path: Path, dockerfile: str, code: str, folder: str | None
) -> None:
    (tmp_path / "Dockerfile").write_text(dockerfile)
    (tmp_path / "main.py").write_text(code)
    assert find_container_folder(tmp_path, ["main.py"]) == folder


def test_no_folder_around_one_that_sandboxes_show_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_folder, "_OTHERS", frozenset())
    project = tmp_path / "project"
    project.mkdir()
    for folder in (tmp_path, project, project / "app", Path(sys.prefix).parent):
        (project / "Dockerfile").write_text(f"WORKDIR {folder}\nCOPY . .\n")
        (project / "main.py").write_text(f"x = '{folder}/a'")
        assert find_container_folder(project, ["main.py"]) is None
    (project / "Dockerfile").write_text(f"WORKDIR {tmp_path}/project-2\nCOPY . .\n")
    (project / "main.py").write_text(f"x = '{tmp_path}/project-2/a'")
    assert find_container_folder(project, ["main.py"]) == f"{tmp_path}/project-2"


def test_the_search_for_a_container_s_folder_reads_so_much_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nWORKDIR /app\nCOPY . .\n")
    (tmp_path / "long.py").write_text("#" * 1000)
    (tmp_path / "main.py").write_text('open("/app/shop.db")\n')
    assert find_container_folder(tmp_path, ["long.py", "main.py"]) == "/app"
    monkeypatch.setattr(container_folder, "_MOST_READ", 1000)
    assert find_container_folder(tmp_path, ["long.py", "main.py"]) is None


def test_no_link_of_the_project_is_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("WORKDIR /app\nCOPY . .\nx = '/app/a'")
    project = tmp_path / "project"
    project.mkdir()
    (project / "Dockerfile").symlink_to(outside)
    (project / "main.py").write_text("x = '/app/a'")
    assert find_container_folder(project, ["main.py"]) is None


def test_a_folder_in_place_of_the_dockerfile_is_none_and_leaves_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").mkdir()
    before = len([*Path("/proc/self/fd").iterdir()])
    assert find_container_folder(tmp_path, ["main.py"]) is None
    assert len([*Path("/proc/self/fd").iterdir()]) == before


@pytest.mark.parametrize(
    ("line", "may_be"),
    [
        ("NameError: name 'Cart' is not defined", True),
        ("SyntaxError: multiple exception types must be parenthesized", True),
        ("sqlalchemy.exc.InvalidRequestError: Table 'a' is already defined for this MetaData instance.  Specify", True),
        ("TypeError: Too few arguments for typing.Generator; actual 1, expected 3", True),
        ("ImportError: cannot import name 'TypeIs' from 'typing' (/usr/lib/python3.12/typing.py)", True),
        ("TypeError: name 'Cart' is not defined", False),
        ("KeyError: 'Cart'", False),
    ],
)
def test_errors_that_source_of_a_newer_python_causes(line: str, may_be: bool) -> None:
    assert may_be_newer_python([TRACE, line, "starting"]) is may_be


@pytest.mark.parametrize(
    ("code", "path", "folder"),
    [
        ("Path('/models/new').mkdir()", "/models/new", "models"),
        ("os.mkdir('/models/a/b')", "/models/a/b", "models/a"),
        ("open('/models/a', 'w')", "/models/a", None),
    ],
)
def test_a_folder_that_the_program_makes_gets_the_folders_above_it(code: str, path: str, folder: str | None) -> None:
    frame = f'  File "{ROOT}/app/main.py", line 3, in <module>'
    mend = mend_of(TRACE, frame, f"    {code}", f"{NO_FILE}'{path}'", is_sandboxed=True)
    assert (None if mend is None else mend.folders) == (None if folder is None else (folder,))


LOCALE = "locale.Error: unsupported locale setting"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("locale.setlocale(locale.LC_ALL, 'pt_BR.UTF-8')", "pt_BR.utf8"),
        ('setlocale(LC_TIME, "es_ES.utf8")', "es_ES.utf8"),
        ('locale.setlocale(locale.LC_ALL, "de_DE@euro")', "de_DE@euro"),
        ("locale.setlocale(locale.LC_ALL, 'pt_BR.ISO8859-1')", None),
        ("locale.setlocale(locale.LC_ALL, '../../etc')", None),
        ("locale.setlocale(locale.LC_ALL, name)", None),
    ],
)
def test_a_locale_that_the_machine_lacks_is_that_of_c(line: str, name: str | None) -> None:
    frame = f'  File "{ROOT}/shop/dates.py", line 3, in <module>'
    mend = mend_of(frame, f"    {line}", '  File "/usr/lib/python3/locale.py", line 9, in setlocale', "    x", LOCALE)
    if name is None:
        assert mend is None
        return
    assert mend is not None
    assert mend.links == {f".locales/{name}": "/usr/lib/locale/C.utf8"}
    assert mend.variables["LOCPATH"].value == ".locales"
    (make, link) = with_folders(plan_of(), mend.folders, mend.links).steps
    assert (make.argv[-1], link.argv[-2:]) == (".locales", (f".locales/{name}", "/usr/lib/locale/C.utf8"))


NO_FOLDER = "  Path does not point to a directory [type=path_not_directory, input_value={}, input_type=str]"


@pytest.mark.parametrize(
    ("said", "folder"),
    [
        (NO_FOLDER.format("'pics/raw'"), "pics/raw"),
        (NO_FOLDER.format("PosixPath('pics')"), "pics"),
        ('  file or directory at path "pics" does not exist (type=value_error.path.not_exists; path=pics)', "pics"),
        (NO_FOLDER.format("'../pics'"), None),
        (NO_FOLDER.format("'/etc/pics'"), None),
        # The middle of a long path is not shown, and a file may have the name.
        (NO_FOLDER.format("'pics/of-the-shop/of-the...er-than-the-others/raw'"), None),
        (NO_FOLDER.format("'notes'"), None),
    ],
)
def test_a_folder_that_settings_ask_for_is_made(said: str, folder: str | None) -> None:
    error = "pydantic_core._pydantic_core.ValidationError: 1 validation error for Rules"
    mend = mend_of(error, "PICS", said, names=["notes"])
    assert (None if mend is None else mend.folders) == (None if folder is None else (folder,))


def test_a_variable_gets_the_value_that_only_the_dockerfile_sets(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM python:3.8\nENV LANG C.UTF-8\nENV APP_SETTINGS=config.default \\\n    NAME='two words'\n"
        "ENV PATH=$PATH:/x\nenv BROKEN='open\nENV APP_KEY=\nENV =1\n"
    )
    values = find_container_values(tmp_path)
    assert values == {"LANG": "C.UTF-8", "APP_SETTINGS": "config.default", "NAME": "two words"}
    lines = [TRACE, "AttributeError: 'NoneType' object has no attribute 'split'"]
    lines += ["read without a value: APP_SETTINGS, OTHER_URL"]
    found = find_mend(FailedStart(lines, plan_of(), frozenset({"app"}), ROOT, container_values=values))
    assert found is not None
    assert found.variables["APP_SETTINGS"].value == "config.default"
    assert found.variables["OTHER_URL"].value
    assert found.why.endswith("using what the Dockerfile sets and placeholders")


def test_a_variable_that_is_read_by_a_made_name_gets_the_value_of_the_example(tmp_path: Path) -> None:
    (tmp_path / "env.txt").write_text('LOCAL_DB_TYPE = "postgres"\nexport KEY=changeme\nAT=1 # one\nODD=\x07\n')
    (tmp_path / ".env.example").symlink_to("env.txt")
    values = find_example_values(tmp_path, ["env.txt", "other.txt", ".env.example"])
    assert values == {"LOCAL_DB_TYPE": ("postgres", "env.txt")}
    lines = ['MissingDriverError: Wrong driver: "undefined" given', "read without a value: LOCAL_DB_TYPE"]
    found = find_mend(FailedStart(lines, plan_of(), frozenset(), ROOT, example_values=values))
    assert found is not None
    assert found.variables["LOCAL_DB_TYPE"].value == "postgres"
    assert found.why.endswith("using what env.txt has")


def test_example_files_of_any_system_are_read_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / ".env.docker").write_bytes(b"HOST=db\r\nONLY=1\r\n")
    (tmp_path / ".env.example").write_bytes(b"HOST=localhost\r\nAT=http://${HOST}:1\r\n")
    (tmp_path / "a\nb").mkdir()
    (tmp_path / "a\nb" / ".env.example").write_text("FORGED=1\n")
    names = ["a\nb/.env.example", ".env.docker", ".env.example"]
    wanted = {"HOST": ("localhost", ".env.example"), "ONLY": ("1", ".env.docker")}
    assert find_example_values(tmp_path, names) == find_example_values(tmp_path, names[::-1]) == wanted


def test_a_secret_is_not_the_one_that_everybody_can_read(tmp_path: Path) -> None:
    values = {"SECRET_KEY": ("dev-key", ".env.example")}
    found = find_mend(FailedStart(["KeyError: 'SECRET_KEY'"], plan_of(), frozenset(), ROOT, example_values=values))
    assert found is not None
    assert found.variables["SECRET_KEY"].value == "{secret}"
    assert found.why.endswith("using placeholders")


def test_a_dockerfiles_argument_gives_its_default(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM python:3.8\nARG MODULE=\"app.settings\"\nARG EMPTY\narg KEY='a'\n"
        "ENV MODULE=${MODULE}\nENV KEY=$KEY OTHER=${EMPTY} PLACE=$HOME/x\n"
    )
    assert find_container_values(tmp_path) == {"MODULE": "app.settings", "KEY": "a"}


def test_a_dockerfile_that_is_a_link_gives_no_values(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("ENV A=1\n")
    (tmp_path / "Dockerfile").symlink_to("other")
    assert not find_container_values(tmp_path)


def test_a_value_that_no_variable_can_have_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("ENV A=\0\nENV B x\0y\nENV C=1 D=2\0\n")
    assert find_container_values(tmp_path) == {"C": "1"}


@pytest.mark.parametrize(
    ("line", "folder", "at"),
    [
        ("OSError: [Errno 30] Read-only file system: '/storage'", "storage", "/storage"),
        ("PermissionError: [Errno 13] Permission denied: '/media/uploads'", "media/uploads", "/media"),
        (f"{NO_FILE}'/srv/shop/logs/app.log'", "srv/shop/logs", "/srv"),
        ("Error: EROFS: read-only file system, mkdir '/uploads'", "uploads", "/uploads"),
        ("OSError: [Errno 30] Read-only file system: '/var/log'", "var/log", "/var/log"),
        ("OSError: [Errno 30] Read-only file system: '/var/log/shop'", "var/log/shop", "/var/log"),
        ("FileNotFoundError: the folder of maps does not exist: /srv/maps/own", "srv/maps/own", "/srv"),
    ],
)
def test_an_absolute_folder_that_is_written_to_is_an_own_one(line: str, folder: str, at: str) -> None:
    mend = mend_of(TRACE, line, is_sandboxed=True)
    assert mend is not None
    assert (mend.folders, mend.linked_at, mend.linked_folder) == ((folder,), at, at[1:])
    # Without a file system of its own, the preview would write on the machine.
    assert mend_of(TRACE, line) is None
    assert mend_of(TRACE, line, is_sandboxed=True, plan=plan_of(linked_at="/app")) is None


@pytest.mark.parametrize(
    "line",
    [
        "OSError: [Errno 30] Read-only file system: '/etc/shop'",
        "OSError: [Errno 30] Read-only file system: '/usr'",
        "OSError: [Errno 30] Read-only file system: '/var/tmp/x'",
        "OSError: [Errno 30] Read-only file system: '/var'",
        "PermissionError: [Errno 13] Permission denied: '/'",
        "PermissionError: [Errno 13] Permission denied: '/storage/../etc/x'",
        "PermissionError: [Errno 13] Permission denied: '/storage//x'",
        "PermissionError: [Errno 13] Permission denied: '/..'",
        "PermissionError: [Errno 13] Permission denied: '/.'",
        "PermissionError: [Errno 13] Permission denied: '/storage/..'",
        "PermissionError: [Errno 13] Permission denied: '/data/previews/x'",
        f"{NO_FILE}'/models/weights.bin'",
        "FileNotFoundError: no folder in /etc/shop",
        "NotADirectoryError: '/srv/maps' is not a directory",
        f"OSError: [Errno 30] Read-only file system: '{sys.prefix}/x'",
    ],
)
def test_no_other_absolute_path_is_linked(line: str) -> None:
    mend = mend_of(TRACE, line, is_sandboxed=True)
    assert mend is None or mend.linked_at is None


def test_a_folder_around_the_service_s_own_is_not_shown_elsewhere() -> None:
    cache = Path("/srv/preview/cache")
    assert may_be_linked("/srv", "/data/p")
    assert not may_be_linked("/srv", "/data/p", (cache,))
    assert not may_be_linked("/srv/preview/cache/x", "/data/p", (cache,))
