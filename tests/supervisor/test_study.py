"""What a project's files say is read once for the same files, and again for any others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from preview.detection import Overrides, ServiceKind
from preview.errors import PreviewError
from preview.supervisor.launch import project_analysis as study_module
from preview.supervisor.launch.project_analysis import AnalysisCache
from preview.worker import Analysis, InProcess, analyse
from preview.worker import reader as reader_module

APP = "import httpx\nfrom fastapi import FastAPI\nfrom shop.names import NAME\n\napp = FastAPI()\n"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The projects that were really read."""
    seen: list[Path] = []

    def read(project: Path, overrides: Overrides | None, supplied: frozenset[ServiceKind]) -> Analysis:
        seen.append(project)
        return analyse(project, overrides, supplied)

    monkeypatch.setattr(reader_module, "analyse", read)
    return seen


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        project = tmp_path / name
        (project / "shop").mkdir(parents=True)
        (project / "main.py").write_text(APP)
        (project / "shop" / "names.py").write_text("NAME = 'shop'\n")
        (project / "requirements.txt").write_text("fastapi\n")
        return project

    return make


@pytest.fixture
def project(make: Callable[[str], Path]) -> Path:
    return make("project")


async def test_it_says_how_the_project_starts_and_what_it_imports_besides_its_own_modules(project: Path) -> None:
    found = await AnalysisCache(InProcess()).analyse(project, None)
    assert str(found.plan.target) == "main:app"
    assert "main" in found.own
    assert {"httpx", "fastapi"} <= set(found.imports)
    assert not any(name.startswith("shop") for name in found.imports)


async def test_a_folder_goes_before_a_package_of_its_name_only_where_it_is_a_package_itself(project: Path) -> None:
    (project / "locale" / "de").mkdir(parents=True)
    (project / "json").mkdir()
    (project / "json" / "__init__.py").touch()
    (project / "csv.py").touch()
    own = (await AnalysisCache(InProcess()).analyse(project, None)).own
    assert {"json", "csv"} <= own
    assert not {"locale", "shop"} & own


async def test_the_same_files_are_read_once(project: Path, reads: list[Path]) -> None:
    analyses = AnalysisCache(InProcess())
    assert await analyses.analyse(project, None) == await analyses.analyse(project, None)
    assert reads == [project]


async def test_the_same_files_in_another_folder_are_the_same(make: Callable[[str], Path], reads: list[Path]) -> None:
    analyses = AnalysisCache(InProcess())
    assert await analyses.analyse(make("one"), None) == await analyses.analyse(make("other"), None)
    assert len(reads) == 1


async def test_the_servers_that_previews_get_are_part_of_the_key(project: Path) -> None:
    kinds: list[frozenset[ServiceKind]] = [frozenset(), frozenset({ServiceKind.REDIS}), frozenset(ServiceKind)]
    assert len({study_module._digest(project, None, one) for one in kinds}) == 3


def write_other_text(project: Path) -> None:
    (project / "main.py").write_text(APP.replace("app =", "application ="))


def write_text_of_same_length(project: Path) -> None:
    before = (project / "main.py").stat()
    (project / "main.py").write_text(APP.replace("httpx", "numpy"))
    os.utime(project / "main.py", ns=(before.st_atime_ns, before.st_mtime_ns))


def rename(project: Path) -> None:
    (project / "main.py").rename(project / "served.py")


def move_into_a_folder(project: Path) -> None:
    (project / "main.py").rename(project / "shop" / "main.py")


def add_an_empty_file(project: Path) -> None:
    (project / "shop" / "__init__.py").touch()


def add_an_empty_folder(project: Path) -> None:
    (project / "fastapi").mkdir()


def remove(project: Path) -> None:
    (project / "requirements.txt").unlink()


def replace_by_a_link(project: Path) -> None:
    (project / "shop" / "names.py").unlink()
    (project / "shop" / "names.py").symlink_to("../main.py")


def replace_a_folder_by_a_file(project: Path) -> None:
    (project / "shop" / "names.py").unlink()
    (project / "shop").rmdir()
    (project / "shop").touch()


@pytest.mark.parametrize(
    "change",
    [
        write_other_text,
        write_text_of_same_length,
        rename,
        move_into_a_folder,
        add_an_empty_file,
        add_an_empty_folder,
        remove,
        replace_by_a_link,
        replace_a_folder_by_a_file,
    ],
)
async def test_other_files_are_read_again(project: Path, reads: list[Path], change: Callable[[Path], None]) -> None:
    analyses = AnalysisCache(InProcess())
    await analyses.analyse(project, None)
    change(project)
    await analyses.analyse(project, None)
    assert len(reads) == 2


@pytest.mark.parametrize("targets", [("main.py", "shop/names.py"), ("shop", "../project/shop")])
async def test_a_link_to_elsewhere_is_another(project: Path, reads: list[Path], targets: tuple[str, str]) -> None:
    analyses, link = AnalysisCache(InProcess()), project / "link.py"
    for target in targets:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        await analyses.analyse(project, None)
    assert len(reads) == 2


async def test_what_a_launch_request_decides_is_part_of_it(project: Path, reads: list[Path]) -> None:
    analyses = AnalysisCache(InProcess())
    other = Overrides(framework="fastapi")
    assert await analyses.analyse(project, None) != await analyses.analyse(project, other)
    assert await analyses.analyse(project, other) == await analyses.analyse(project, Overrides(framework="fastapi"))
    assert len(reads) == 2


async def test_what_is_read_where_something_runs_is_not_remembered(project: Path, reads: list[Path]) -> None:
    analyses = AnalysisCache(InProcess())
    await analyses.analyse(project, None, is_still=False)
    await analyses.analyse(project, None)
    assert len(reads) == 2


async def test_what_is_remembered_serves_a_project_that_runs_too(project: Path, reads: list[Path]) -> None:
    analyses = AnalysisCache(InProcess())
    assert await analyses.analyse(project, None) == await analyses.analyse(project, None, is_still=False)
    assert len(reads) == 1


async def test_a_project_that_is_too_large_is_read_each_time(
    project: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "_MOST_BYTES", 10_000)
    (project / "data.bin").write_bytes(bytes(10_000))
    analyses = AnalysisCache(InProcess())
    await analyses.analyse(project, None)
    await analyses.analyse(project, None)
    assert len(reads) == 2


async def test_a_project_that_cannot_be_started_is_read_each_time(tmp_path: Path, reads: list[Path]) -> None:
    analyses = AnalysisCache(InProcess())
    for _ in range(2):
        with pytest.raises(PreviewError):
            await analyses.analyse(tmp_path, None)
    assert len(reads) == 2


async def test_the_projects_used_last_are_remembered(
    make: Callable[[str], Path], reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "_MOST_REMEMBERED", 2)
    analyses = AnalysisCache(InProcess())
    one, two, three = (make(name) for name in ("one", "two", "three"))
    for number, project in enumerate((one, two, three)):
        (project / "main.py").write_text(f"{APP}# {number}\n")
    for project in (one, two, one, three, one):
        await analyses.analyse(project, None)
    assert reads == [one, two, three]
    await analyses.analyse(two, None)
    assert reads[-1] == two
