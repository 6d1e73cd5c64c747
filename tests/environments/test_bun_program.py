"""Bun in an environment: its program comes from npm, without the code of any package."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from environment_kit import Said
from registry_kit import open_registry

from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.bun import bun_package, installed_bun, place_bun, with_bun
from preview.environments.node.manifest import read_node_manifest
from preview.errors import EnvironmentFailed
from preview.settings import Settings

GLIBC = "node v20.11.0 linux x64 115 2.36 npm 10.2.4"
MUSL = "node v20.11.0 linux x64 115 musl npm 10.2.4"
ARM = "node v20.11.0 linux arm64 115 2.36 npm 10.2.4"


@pytest.mark.parametrize(
    ("identity", "has_avx2", "package"),
    [
        (GLIBC, True, "@oven/bun-linux-x64"),
        (GLIBC, False, "@oven/bun-linux-x64-baseline"),
        (MUSL, True, "@oven/bun-linux-x64-musl"),
        (MUSL, False, "@oven/bun-linux-x64-musl-baseline"),
        (ARM, False, "@oven/bun-linux-aarch64"),
        (ARM.replace("2.36", "musl"), False, "@oven/bun-linux-aarch64-musl"),
    ],
)
def test_the_program_is_the_one_for_this_machine(identity: str, has_avx2: bool, package: str) -> None:
    assert bun_package(identity, has_avx2=has_avx2) == package


def test_a_machine_for_which_there_is_no_bun_is_told() -> None:
    with pytest.raises(EnvironmentFailed) as failed:
        bun_package("node v20.11.0 linux ppc64 115 2.36 npm 10.2.4", has_avx2=False)
    assert failed.value.message == "The project needs Bun, which has no program for this machine (linux ppc64)."


def test_only_a_requirement_for_bun_is_changed() -> None:
    assert with_bun(("tsx@^4", "bun-types"), GLIBC) == ("tsx@^4", "bun-types")
    first, second = with_bun(("bun@1.2.3", "tsx@^4"), ARM)
    assert (first, second) == ("@oven/bun-linux-aarch64@1.2.3", "tsx@^4")


def test_the_projects_own_package_named_bun_is_left_out_beside_the_program(tmp_path: Path) -> None:
    tools = {"bun": "npm:evil@1.0.0", "tsx": "^4"}
    (tmp_path / "package.json").write_text(json.dumps({"devDependencies": tools}))
    root = read_node_manifest(tmp_path, ("@oven/bun-linux-x64@1.2.3",)).packages["."]
    assert root["dependencies"] == {"@oven/bun-linux-x64": "1.2.3"}
    assert root["devDependencies"] == {"tsx": "^4"}
    assert read_node_manifest(tmp_path, ()).packages["."]["devDependencies"] == tools


async def test_a_pipe_in_place_of_the_packages_file_does_not_hold_the_service(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    manifest = read_node_manifest(tmp_path, ("@oven/bun-linux-x64@1.2.3",))
    package = tmp_path / "node_modules" / "@oven" / "bun-linux-x64"
    package.mkdir(parents=True)
    os.mkfifo(package / "package.json")
    with trio.fail_after(10):
        assert await trio.to_thread.run_sync(installed_bun, manifest, tmp_path, abandon_on_cancel=True) == ""


def test_a_folder_that_an_install_script_makes_in_place_of_the_program_is_told(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    manifest = read_node_manifest(tmp_path, ("@oven/bun-linux-x64@1.2.3",))
    program = tmp_path / "node_modules" / "@oven" / "bun-linux-x64" / "bin" / "bun"
    program.parent.mkdir(parents=True)
    program.touch()
    binaries = tmp_path / "node_modules" / ".bin"
    (binaries / "bun").mkdir(parents=True)
    with pytest.raises(EnvironmentFailed, match="in place of the program bun"):
        place_bun(manifest, binaries)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with open_registry({"near": {"1.0.0": {}}}) as address:
        monkeypatch.setenv("npm_config_registry", address)
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        yield


@pytest.mark.usefixtures("registry")
async def test_a_bun_that_the_registry_does_not_have_is_named(tmp_path: Path) -> None:
    cache = NodeEnvironmentCache(Settings(cache_dir=tmp_path / "cache"))
    (tmp_path / "package.json").write_text(json.dumps({"dependencies": {"near": "1.0.0"}}))
    said = Said()
    with trio.fail_after(60), pytest.raises(EnvironmentFailed) as failed:
        async with cache.open_environment(EnvironmentRequest(tmp_path, extra=("bun@9.9.9",)), said):
            pass
    assert failed.value.message.startswith("The project needs Bun 9.9.9, and the package registry does not have it")
    assert "(@oven/bun-linux-" in failed.value.message


async def test_bun_itself_is_installed_and_runs(tmp_path: Path) -> None:
    cache = NodeEnvironmentCache(Settings(cache_dir=tmp_path / "cache"))
    (tmp_path / "package.json").write_text(json.dumps({"devDependencies": {"bun": "1.2.23"}}))
    with trio.fail_after(300):
        async with cache.open_environment(EnvironmentRequest(tmp_path, extra=("bun@1.2.23",)), Said()) as environment:
            assert environment.language == "Bun 1.2.23"
            assert not (environment.directory / "node_modules" / "bun").exists()
            program = environment.binaries / "bun"
            done = await trio.run_process([program, "-e", "console.log(Bun.version)"], capture_stdout=True)
            assert done.stdout == b"1.2.23\n"
            assert (environment.binaries / "bunx").resolve() == program.resolve()
