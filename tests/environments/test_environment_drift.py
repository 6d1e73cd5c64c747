"""Old pins beside today's versions: when versions or build tools of their day are taken, and when not."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from hypothesis import given
from hypothesis import strategies as st
from index_kit import open_index
from jail_kit import make_jail

from preview.core.clock import utc_now
from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.python import drift, install
from preview.environments.python.drift import read_uploads
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 120


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


@contextmanager
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, old: str, new: str) -> Iterator[None]:
    """An index with ``shop`` 1, which needs a name of ``parts`` that version 2 of it lacks, and a server."""
    folder = tmp_path / "packages"
    folder.mkdir()
    imports = {"shop/__init__.py": "from parts import gone\n"}
    uploaded = {
        write_wheel(folder, "shop", "1", ("parts",), imports).name: old,
        write_wheel(folder, "parts", "1", (), {"parts/__init__.py": "gone = 1\n"}).name: old,
        write_wheel(folder, "parts", "2").name: new,
        write_wheel(folder, "uvicorn", "99").name: new,
    }
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    with open_index(folder, uploaded) as index:
        monkeypatch.setenv("UV_INDEX_URL", index.url)
        yield


def write_project(
    tmp_path: Path, requirements: str, code: str = "import shop\n", *, is_dated: bool = False
) -> EnvironmentRequest:
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.txt").write_text(requirements)
    (project / "main.py").write_text(code)
    return EnvironmentRequest(project, entry="main.py", is_dated=is_dated)


async def build(settings: Settings, request: EnvironmentRequest, jail: Jail | None = None) -> tuple[set[str], str]:
    """The packages of the environment, and what was said."""
    said = Said()
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(request, said) as environment:
            found = {path.name for path in environment.directory.glob("lib/python*/site-packages/*.dist-info")}
    return {name.removesuffix(".dist-info") for name in found}, said.text


@pytest.mark.parametrize("pin", ["shop==1", "shop~=1.0", "shop>=1,<2"])
async def test_an_import_that_fails_with_today_s_versions_brings_those_of_the_newest_pin_s_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, pin: str
) -> None:
    with packages(tmp_path, monkeypatch, old="2020-05-12", new="2026-01-01"):
        found, said = await build(settings, write_project(tmp_path, f"{pin}\n"))
    # The server that the service adds is of any day.
    assert found >= {"shop-1", "parts-1", "uvicorn-99"}
    assert "using package versions as of 2020-05-12, the date of the newest pin (shop==1" in said
    assert "importing shop failed: ImportError: cannot import name 'gone' from 'parts'" in said
    assert str(tmp_path) not in said


async def test_what_works_with_today_s_versions_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with packages(tmp_path, monkeypatch, old="2020-05-12", new="2026-01-01"):
        found, said = await build(settings, write_project(tmp_path, "shop==1\n", "import parts\n"))
    assert "parts-2" in found
    assert "as of" not in said


async def test_what_fails_with_older_versions_too_stays_with_today_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with packages(tmp_path, monkeypatch, old="2020-05-12", new="2026-01-01"):
        found, said = await build(settings, write_project(tmp_path, "shop==1\n", "from parts import nothing\n"))
    assert found >= {"shop-1", "parts-2"}
    assert "as of" not in said


@pytest.mark.parametrize(
    ("requirements", "old", "new"),
    [
        ("shop\n", "2020-05-12", "2026-01-01"),  # nothing is written down
        ("shop==1\nparts==2\n", "2020-05-12", "2026-01-01"),  # and nothing is left to choose
        ("shop==1\n", "2020-05-12", "2020-06-12"),
    ],
)
async def test_no_import_is_tried_without_old_pins_beside_new_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, requirements: str, old: str, new: str
) -> None:
    async def tried(*_arguments: object) -> tuple[()]:
        raise AssertionError("an import was tried")

    monkeypatch.setattr(install, "failing_imports", tried)
    with packages(tmp_path, monkeypatch, old=old, new=new):
        found, _ = await build(settings, write_project(tmp_path, requirements))
    assert "parts-2" in found


@pytest.mark.parametrize("changes", ["## 1.0 - 2020-05-12\n", ""])
async def test_after_a_failed_start_versions_of_the_project_s_day_are_taken_though_imports_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, changes: str
) -> None:
    pin = "shop" if changes else "shop==1"
    with packages(tmp_path, monkeypatch, old="2020-05-12", new="2026-01-01"):
        request = write_project(tmp_path, f"{pin}\n", "import parts\n", is_dated=True)
        (request.project / "CHANGELOG.md").write_text(changes)
        found, said = await build(settings, request)
    assert found >= {"shop-1", "parts-1", "uvicorn-99"}
    where = "according to CHANGELOG.md" if changes else "the date of the newest pin (shop==1)"
    assert f"using package versions as of 2020-05-12, {where}: with current ones, a start failed" in said


async def test_without_a_day_a_failed_start_has_todays_versions_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with packages(tmp_path, monkeypatch, old="2020-05-12", new="2026-01-01"):
        found, said = await build(settings, write_project(tmp_path, "shop\n", "import parts\n", is_dated=True))
    assert found >= {"shop-1", "parts-2"}
    assert "as of" not in said


async def test_an_index_without_dates_leaves_today_s_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with packages(tmp_path, monkeypatch, old="2020-05-12", new="2026-01-01"), open_index(tmp_path / "packages") as bare:
        monkeypatch.setenv("UV_INDEX_URL", bare.url)
        found, said = await build(settings, write_project(tmp_path, "shop==1\n"))
    assert "parts-2" in found
    assert "as of" not in said


# A backend that needs nothing installed, but ``tools.gone``, which version 2 of its build requirement lacks.
BACKEND = """
import shutil, tools
tools.gone
def build_wheel(directory, *_):
    shutil.copy("old-1-py3-none-any.whl", directory)
    return "old-1-py3-none-any.whl"
"""
BUILT = '[build-system]\nrequires = ["tools"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def write_source(folder: Path, wheel: Path, backend: str) -> str:
    """The source of ``old`` 1, whose build gives the wheel."""
    path = folder / "old-1.tar.gz"
    parts = {"backend.py": backend.encode(), "pyproject.toml": BUILT.encode(), wheel.name: wheel.read_bytes()}
    with tarfile.open(path, "w:gz") as archive:
        for name, data in {"PKG-INFO": b"Metadata-Version: 1.0\nName: old\nVersion: 1\n", **parts}.items():
            entry = tarfile.TarInfo(f"old-1/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path.name


@contextmanager
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, backend: str = BACKEND, day: str) -> Iterator[Path]:
    """An index with the source of ``old`` 1, a wheel of 1.5, and build tools of both times."""
    folder, aside = tmp_path / "packages", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    uploaded = {
        write_source(folder, write_wheel(aside, "old", "1"), backend): day,
        write_wheel(folder, "old", "1.5").name: "2026-01-01",
        write_wheel(folder, "tools", "1", (), {"tools/__init__.py": "gone = 1\n"}).name: "2019-01-01",
        write_wheel(folder, "tools", "2").name: "2024-01-01",
        write_wheel(folder, "user", "3", ("old<1.5",)).name: "2026-01-01",
        write_wheel(folder, "uvicorn", "99").name: "2026-01-01",
        "old-1-cp37-cp37m-win_amd64.whl": day,
    }
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    with open_index(folder, uploaded) as index:
        monkeypatch.setenv("UV_INDEX_URL", index.url)
        yield folder


@pytest.mark.parametrize("line", ["old==1", "old<1.5", "user"])
async def test_what_only_older_tools_build_is_built_with_those_of_its_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, line: str
) -> None:
    with sources(tmp_path, monkeypatch, day="2022-05-12"):
        # A pin that does not exist keeps no other one from being built.
        found, said = await build(settings, write_project(tmp_path, f"{line}\nuvicorn==98\n", "import old\n"))
    assert found == {"old-1", "uvicorn-99", *(["user-3"] if line == "user" else [])}
    assert "is built with build tools as of 2022-05-12: current ones cannot build it" in said


@pytest.mark.long
@pytest.mark.parametrize("line", ["old==1", "user"])
async def test_in_a_jail_what_older_tools_have_built_is_not_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, line: str
) -> None:
    with child_subreaper(), sources(tmp_path, monkeypatch, day="2022-05-12"):
        # This index tells no time for which uv may keep its files.
        jail = await make_jail(settings)
        found, said = await build(settings, write_project(tmp_path, f"{line}\n", "import old\n"), jail)
    assert found >= {"old-1", *(["user-3"] if line == "user" else [])}
    assert "is built with build tools as of 2022-05-12: current ones cannot build it" in said


async def test_a_package_of_an_address_is_never_built_from_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    project = tmp_path / "project"
    with sources(tmp_path, monkeypatch, day="2022-05-12"):
        request = write_project(tmp_path, "./old\n", "import old\n")
        (project / "old").mkdir()
        (project / "old" / "pyproject.toml").write_text(BUILT + '[project]\nname = "old"\nversion = "1"\n')
        (project / "old" / "backend.py").write_text("raise SystemExit('Failed to build `old==1`')\n")
        with pytest.raises(EnvironmentFailed, match="could not be built"):
            await build(settings, request)


async def test_a_pin_with_wheels_for_other_pythons_is_loosened_and_not_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with sources(tmp_path, monkeypatch, day="2022-05-12") as folder:
        (folder / "old-1-cp37-cp37m-win_amd64.whl").write_bytes(b"of another system")
        found, said = await build(settings, write_project(tmp_path, "old==1\n", "import old\n"))
    assert found == {"old-1.5", "uvicorn-99"}
    assert "is built with" not in said


@pytest.mark.parametrize(
    ("day", "backend", "tries"),
    [(str(utc_now().date()), "", 1), ("2020-05-12", "raise RuntimeError\n", 2)],  # too new; of no use on its day either
)
async def test_what_no_day_helps_to_build_is_loosened_after_one_more_attempt_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings, day: str, backend: str, tries: int
) -> None:
    attempts = tmp_path / "attempts"
    backend = f"open({str(attempts)!r}, 'a').write('x')\n{backend}{BACKEND}"
    with sources(tmp_path, monkeypatch, day=day, backend=backend):
        found, said = await build(settings, write_project(tmp_path, "old==1\n", "import old\n"))
    assert found == {"old-1.5", "uvicorn-99"}
    assert "is built with" not in said
    assert attempts.read_text() == "x" * tries


@given(st.text())
def test_a_lock_file_of_any_text_is_read(text: str) -> None:
    assert read_uploads(text) == {} or "upload-time" in text


@given(st.text(), st.lists(st.from_regex(r"[a-z.]{1,8}", fullmatch=True), min_size=2, max_size=6))
def test_no_path_stays_in_the_text_of_an_error(text: str, parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    said = drift._plain(f"cannot import name 'x' from 'y' ({path}) {text}")
    assert path not in said
    assert said.isprintable()
    assert re.search(r"/\w+/\w+", said) is None


@pytest.mark.parametrize(
    "line", ["{}", '{"preview-imports": 1}', '{"preview-imports": [["a"]]}', "preview-imports", ""]
)
def test_an_answer_that_is_none_is_no_failure(line: str) -> None:
    assert drift._answer(line) == ()
