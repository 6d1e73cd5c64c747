"""Node environments, built by the real npm from packages that lie in the project: no network is needed."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
import trio

from preview.environments.folders.environment import Environment, EnvironmentRequest
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.explain import explain_npm, failed_package
from preview.environments.node.manifest import NodeManifest, read_node_manifest
from preview.environments.node.modules import place_modules
from preview.environments.node.recipe import nodedir_environment
from preview.errors import EnvironmentFailed
from preview.settings import Settings


def write_package(path: Path, name: str, script: str, **more: object) -> None:
    """A packed package with one file."""
    files = {
        "package.json": json.dumps({"name": name, "version": "1.0.0", "main": "index.js", **more}),
        "index.js": script,
    }
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            info = tarfile.TarInfo(f"package/{file}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


def write_manifest(folder: Path, **content: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps(content))


@pytest.fixture
def cache(tmp_path: Path) -> NodeEnvironmentCache:
    return NodeEnvironmentCache(Settings(cache_dir=tmp_path / "cache", uv_offline=True))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write_manifest(folder, name="shop", dependencies={"one": "file:one.tgz"}, devDependencies={"eslint": "^8"})
    write_package(folder / "one.tgz", "one", "module.exports = () => __dirname;")
    return folder


def run_node(environment: Environment, folder: Path, script: str) -> str:
    variables = {"PATH": "/usr/bin:/bin", **environment.variables}
    done = subprocess.run(
        [environment.program, "-e", script], cwd=folder, env=variables, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def quiet(_line: str, _level: int) -> None:
    pass


async def test_packages_are_installed_once_and_found_where_the_project_is(
    cache: NodeEnvironmentCache, project: Path
) -> None:
    with trio.fail_after(60):
        async with cache.open_environment(EnvironmentRequest(project), quiet) as first:
            assert first.how == "built"
            place_modules(first.directory, project)
            # The package believes to lie in the project: what looks for the project's root from there finds it.
            assert run_node(first, project, "console.log(require('one')())") == str(project / "node_modules" / "one")
        async with cache.open_environment(EnvironmentRequest(project), quiet) as second:
            assert (second.how, second.directory) == ("cached", first.directory)


async def test_a_member_of_a_workspace_is_the_projects_own_copy(cache: NodeEnvironmentCache, tmp_path: Path) -> None:
    project = tmp_path / "mono"
    write_manifest(project, name="mono", workspaces=["packages/*"])
    write_manifest(project / "packages" / "api", name="api", dependencies={"shared": "workspace:*"})
    write_manifest(project / "packages" / "shared", name="shared", main="index.js")
    (project / "packages" / "shared" / "index.js").write_text("module.exports = 'ours';")
    with trio.fail_after(60):
        async with cache.open_environment(EnvironmentRequest(project), quiet) as environment:
            place_modules(environment.directory, project)
            assert run_node(environment, project / "packages" / "api", "console.log(require('shared'))") == "ours"


async def test_a_package_that_is_named_by_a_path_out_of_the_folder(cache: NodeEnvironmentCache, tmp_path: Path) -> None:
    project = tmp_path / "mono"
    shared = {"shared": "file:../../packages/shared"}
    write_manifest(project / "services" / "api", name="api", dependencies=shared)
    write_manifest(project / "web", name="web", dependencies={"no-such-package-anywhere": "1"})
    write_manifest(project / "packages" / "shared", name="shared", main="index.js")
    (project / "packages" / "shared" / "index.js").write_text("module.exports = 'ours';")
    with trio.fail_after(60):
        async with cache.open_environment(EnvironmentRequest(project), quiet) as environment:
            place_modules(environment.directory, project)
            assert run_node(environment, project / "services" / "api", "console.log(require('shared'))") == "ours"


async def test_a_failed_install_script_costs_only_its_package(cache: NodeEnvironmentCache, project: Path) -> None:
    broken = {"scripts": {"install": "exit 3"}}
    write_package(project / "two.tgz", "two", "module.exports = 2;", **broken)
    write_manifest(project, name="shop", dependencies={"one": "file:one.tgz", "two": "file:two.tgz"})
    said: list[str] = []
    with trio.fail_after(60):
        async with cache.open_environment(
            EnvironmentRequest(project), lambda line, _level: said.append(line)
        ) as environment:
            place_modules(environment.directory, project)
            assert run_node(environment, project, "console.log(require('two'))") == "2"
    assert any("two" in line and "could not be built" in line for line in said)


async def test_packages_in_c_are_compiled_quickly(cache: NodeEnvironmentCache, project: Path) -> None:
    said = """echo "module.exports = '$CFLAGS, $CXXFLAGS, $JOBS'" > index.js"""
    write_package(project / "two.tgz", "two", "", scripts={"install": said})
    write_manifest(project, name="shop", dependencies={"two": "file:two.tgz"})
    with trio.fail_after(60):
        async with cache.open_environment(EnvironmentRequest(project), quiet) as environment:
            place_modules(environment.directory, project)
            assert run_node(environment, project, "console.log(require('two'))") == "-O1, -O1, 2"


async def test_what_cannot_be_had_is_named_and_leaves_nothing(cache: NodeEnvironmentCache, project: Path) -> None:
    write_manifest(project, name="shop", dependencies={"no-such-package-anywhere": "^1.0.0"})
    with trio.fail_after(60), pytest.raises(EnvironmentFailed):
        async with cache.open_environment(EnvironmentRequest(project), quiet):
            pass
    assert not list((project.parent / "cache" / "environments").iterdir())


async def test_a_cancelled_build_leaves_nothing(cache: NodeEnvironmentCache, project: Path) -> None:
    write_package(project / "slow.tgz", "slow", "", scripts={"install": "echo started > $HOME/x; sleep 60"})
    write_manifest(project, name="shop", dependencies={"slow": "file:slow.tgz"})
    with trio.fail_after(60):
        with trio.move_on_after(1.5):
            async with cache.open_environment(EnvironmentRequest(project), quiet):
                pass
    assert not list((project.parent / "cache" / "environments").iterdir())


def test_what_generators_write_to_is_copied(tmp_path: Path) -> None:
    environment, project = tmp_path / "environment", tmp_path / "project"
    client = environment / "node_modules" / ".prisma" / "client"
    client.mkdir(parents=True)
    (client / "index.js").write_text("shared")
    (environment / "modules.json").write_text('{"folders": ["."], "no_engine": {}}')
    project.mkdir()
    place_modules(environment, project)
    (project / "node_modules" / ".prisma" / "client" / "index.js").write_text("own")
    assert (client / "index.js").read_text() == "shared"


def test_tools_for_development_are_left_out_unless_they_are_asked_for(project: Path) -> None:
    assert "devDependencies" not in read_node_manifest(project).packages["."]
    assert read_node_manifest(project, ["eslint"]).packages["."]["devDependencies"] == {"eslint": "^8"}


def test_a_dependency_outside_the_project_is_left_out_and_told(project: Path) -> None:
    write_manifest(project, dependencies={"far": "file:../far"})
    manifest = read_node_manifest(project)
    assert manifest.is_empty
    assert "far" in manifest.notes[0]


def test_a_manifest_that_is_no_json_is_named(project: Path) -> None:
    (project / "package.json").write_text("{")
    with pytest.raises(EnvironmentFailed, match=r"package\.json is not valid JSON"):
        read_node_manifest(project)


@pytest.mark.parametrize("line", ["--registry=x", "a b", "file:../../etc", ""])
def test_a_requirement_that_is_none_is_refused(project: Path, line: str) -> None:
    with pytest.raises(EnvironmentFailed):
        read_node_manifest(project, [line])


@pytest.mark.parametrize(
    ("text", "reason", "name"),
    [
        ("npm error code ETARGET\nnpm error No matching version found for express@^9", "no_version", "express"),
        ("npm error code E404\nnpm error 404  'expres@^1' is not in this registry.", "not_found", "expres"),
        ("npm error code ENOTFOUND\nnpm error network request", "network", None),
        ("npm error code ERESOLVE\nnpm error Could not resolve dependency:\nnpm error peer a@1", "conflict", None),
        ("npm error code 1\nnpm error path /x/node_modules/bcrypt\nnpm error gyp ERR! build", "build", "bcrypt"),
        ("npm error code ENOSPC\nnpm error nospc", "disk", None),
    ],
)  # fmt: skip
def test_a_failure_is_explained_with_its_package(text: str, reason: str, name: str | None) -> None:
    found = explain_npm(text.splitlines(), NodeManifest({".": {"dependencies": {"express": "^99.0.0"}}}))
    assert (found.reason, found.requirement) == (reason, name)


def test_a_version_that_another_package_requires_is_named_with_its_range() -> None:
    lines = ["npm error code ETARGET", "npm error notarget No matching version found for old-fb@^6001.1.0-dev."]
    said = explain_npm(lines, NodeManifest({".": {"dependencies": {"express": "^4"}}})).message
    assert said.startswith("No version matches old-fb@^6001.1.0-dev, which another package requires: the registry may")
    assert "overrides in package.json" in said


def test_a_failure_of_npm_itself_is_no_packages_fault() -> None:
    assert failed_package(["npm error code ETARGET", "npm error path /x/node_modules/a"]) is None


def test_node_gyp_gets_the_headers_beside_node(tmp_path: Path) -> None:
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.touch()
    assert nodedir_environment(node) == {}
    version = tmp_path / "include" / "node" / "node_version.h"
    version.parent.mkdir(parents=True)
    version.touch()
    assert nodedir_environment(node) == {"npm_config_nodedir": str(tmp_path)}
