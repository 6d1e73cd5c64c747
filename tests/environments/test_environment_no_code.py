"""``PREVIEW_BUILD_CODE=deny``: environments are built without running any code of packages."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from environment_kit import Said, write_wheel
from jail_kit import make_jail
from test_environment_jail import write_source_package
from test_node_environment import write_manifest, write_package

from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.explain import explain_npm
from preview.environments.node.manifest import read_node_manifest
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data", uv_offline=True, build_code="deny")


@pytest.fixture
async def jail(settings: Settings) -> AsyncIterator[Jail]:
    with child_subreaper():
        yield await make_jail(settings)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


async def build(settings: Settings, project: Path, said: Said, jail: Jail | None = None) -> Path:
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(
            EnvironmentRequest(project, server=None), said
        ) as environment:
            return environment.directory


async def refused(settings: Settings, project: Path, jail: Jail | None = None) -> EnvironmentFailed:
    with pytest.raises(EnvironmentFailed) as raised:
        await build(settings, project, Said(), jail)
    return raised.value


async def test_a_package_that_needs_a_build_is_refused_by_its_name_and_the_settings(
    settings: Settings, project: Path, tmp_path: Path
) -> None:
    write_source_package(project, f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()")
    error = await refused(settings, project)
    assert error.details["reason"] == "denied"
    assert error.message.startswith("odd (requirements.txt line 1) would have to be built")
    assert "PREVIEW_BUILD_CODE=deny" in error.message
    assert not (tmp_path / "ran").exists()


async def test_no_option_of_the_project_brings_a_build_back(settings: Settings, project: Path) -> None:
    write_source_package(project, "pass")
    with (project / "requirements.txt").open("a") as file:
        file.write("--no-binary odd\n--only-binary :none:\n")
    assert (await refused(settings, project)).details["reason"] == "denied"


async def test_in_a_jail_a_package_that_needs_a_build_is_refused_too(
    settings: Settings, jail: Jail, project: Path
) -> None:
    write_source_package(project, "pass")
    assert (await refused(settings, project, jail)).details["reason"] == "denied"


async def test_wheels_are_installed_and_compiled_without_running_what_they_bring(
    settings: Settings, project: Path, tmp_path: Path
) -> None:
    wheel = write_wheel(
        project, "tiny", more={"tiny.pth": f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"}
    )
    (project / "requirements.txt").write_text(f"./{wheel.name}\n")
    cache = EnvironmentCache(settings)
    folder = await build(settings, project, Said())
    with trio.fail_after(LIMIT_S):
        await cache.compile(folder.name)
    module = next(folder.glob("lib/python*/site-packages/tiny"))
    assert (module.parent / "tiny.pth").exists()
    assert list((module / "__pycache__").iterdir())
    assert not (tmp_path / "ran").exists()


async def test_in_a_jail_wheels_are_hard_linked_whether_pinned_or_not(
    settings: Settings, jail: Jail, project: Path
) -> None:
    wheel = write_wheel(project, "tiny")
    (project / "requirements.txt").write_text(f"./{wheel.name}\n")
    folder = await build(settings, project, Said(), jail)
    assert next(folder.glob("lib/python*/site-packages/tiny/__init__.py")).stat().st_nlink > 1


@pytest.mark.parametrize("in_file", [False, True])
async def test_settings_of_uv_that_need_a_program_stop_no_build(
    settings: Settings, jail: Jail, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_file: bool
) -> None:
    (tmp_path / "uv.toml").write_text("compile-bytecode = true\n")
    name, value = ("UV_CONFIG_FILE", str(tmp_path / "uv.toml")) if in_file else ("UV_COMPILE_BYTECODE", "1")
    monkeypatch.setenv(name, value)
    wheel = write_wheel(project, "tiny")
    (project / "requirements.txt").write_text(f"./{wheel.name}\n")
    folder = await build(settings, project, Said(), jail)
    assert next(folder.glob("lib/python*/site-packages/tiny/__init__.py")).is_file()


async def test_an_environment_that_was_built_with_code_is_not_taken(settings: Settings, project: Path) -> None:
    wheel = write_wheel(project, "tiny")
    (project / "requirements.txt").write_text(f"./{wheel.name}\n")
    with_code = await build(settings.model_copy(update={"build_code": "allow"}), project, Said())
    assert await build(settings, project, Said()) != with_code


async def test_install_scripts_of_npm_packages_are_left_out_and_told_once(settings: Settings, project: Path) -> None:
    write_package(project / "one.tgz", "one", "module.exports = 1", scripts={"postinstall": "echo ran > ran"})
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz"})
    said = Said()
    with trio.fail_after(LIMIT_S):
        async with NodeEnvironmentCache(settings).open_environment(EnvironmentRequest(project), said) as environment:
            folder = environment.directory / "node_modules" / "one"
            assert sorted(path.name for path in folder.iterdir()) == ["index.js", "package.json"]
    told = [(line, level) for line, level in said.lines if "PREVIEW_BUILD_CODE" in line]
    assert told == [
        ("install scripts are left out (PREVIEW_BUILD_CODE=deny), so these may not work: one", logging.WARNING)
    ]


async def test_nothing_is_told_of_npm_packages_without_install_scripts(settings: Settings, project: Path) -> None:
    write_package(project / "one.tgz", "one", "module.exports = 1")
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz"})
    said = Said()
    with trio.fail_after(LIMIT_S):
        async with NodeEnvironmentCache(settings).open_environment(EnvironmentRequest(project), said):
            assert "PREVIEW_BUILD_CODE" not in said.text


def test_a_git_repository_out_of_reach_is_named(project: Path) -> None:
    write_manifest(project, name="shop", dependencies={"one": "git+https://example.org/one.git"})
    lines = [
        "npm error code 128",
        "npm error An unknown git error occurred",
        "npm error command git --no-replace-objects ls-remote ssh://git@example.org/one.git",
    ]
    found = explain_npm(lines, read_node_manifest(project))
    assert found.message.startswith("The Git repository ssh://git@example.org/one.git cannot be fetched")


def test_an_npm_package_from_a_repository_is_refused_by_its_address_and_the_setting(project: Path) -> None:
    write_manifest(project, name="shop", dependencies={"one": "git+https://example.org/one.git"})
    lines = ["npm error code EALLOWGIT", 'npm error Refusing to fetch "one@git+https://example.org/one.git"']
    found = explain_npm(lines, read_node_manifest(project))
    assert found.reason == "denied"
    assert found.message.startswith("one@git+https://example.org/one.git comes from a Git repository")
    assert "PREVIEW_BUILD_CODE=deny" in found.message
