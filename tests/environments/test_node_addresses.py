"""Nothing outside the project reaches npm, whatever form it has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.manifest import read_node_manifest
from preview.environments.node.registries import Outside, inside_project, is_path, is_safe_lock
from preview.settings import Settings

OUTSIDE = [
    "~/x",
    "FILE:../../out",
    " ../out",
    "..",
    ".x/../../out",
    "a/../../out",
    "c:../../out",
    "file:%2e%2e/out",
    "file:..\\out",
    "file:///etc/out",
    "git+file:///srv/repo",
    "GIT+FILE:///srv/repo",
    "git@github.com:a/../../../out",
]


def make_project(folder: Path, **content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"name": "shop", **content}))
    return folder


@pytest.mark.parametrize("value", OUTSIDE)
def test_a_dependency_that_npm_would_look_for_outside_is_left_out(tmp_path: Path, value: str) -> None:
    found = read_node_manifest(make_project(tmp_path / "project", dependencies={"t": value}))
    assert found.packages["."]["dependencies"] == {}
    assert "t (" in found.notes[0]


@pytest.mark.parametrize("value", OUTSIDE)
def test_an_extra_requirement_is_no_way_out_either(tmp_path: Path, value: str) -> None:
    if " " not in value:
        found = read_node_manifest(make_project(tmp_path / "project"), (f"t@{value}",))
        assert found.packages["."]["dependencies"] == {}


@pytest.mark.parametrize(
    "value",
    ["^1.2.0", "~1.2", ">=1 <2 || 3.x", "latest", "*", "", "npm:@scope/other@^2", "user/repo#semver:^1", "github:u/r",
     "https://example.com/x.tgz", "git+https://example.com/u/r.git", "git@github.com:u/r.git"],
)  # fmt: skip
def test_ranges_tags_and_addresses_are_no_paths(value: str) -> None:
    assert not is_path(value)


def test_a_path_is_given_to_npm_in_its_shortest_form(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", dependencies={"lib": "./x/../lib/"})
    make_project(project / "lib", dependencies={})
    found = read_node_manifest(project)
    assert found.packages["."]["dependencies"] == {"lib": "file:lib"}
    assert found.members == ("lib",)


def test_a_link_that_leaves_the_project_is_no_member(tmp_path: Path) -> None:
    make_project(tmp_path / "out")
    project = make_project(tmp_path / "project", workspaces=["packages/*"], dependencies={"t": "file:packages/a"})
    (project / "packages").mkdir()
    (project / "packages" / "a").symlink_to(tmp_path / "out")
    assert read_node_manifest(project).members == ()


@pytest.mark.parametrize("pattern", ["../out", "/etc", "{.,}./out", "a**", "**/**/**", "./packages/../../out"])
def test_npm_is_given_no_pattern_for_members(tmp_path: Path, pattern: str) -> None:
    make_project(tmp_path / "out")
    assert (
        "workspaces" not in read_node_manifest(make_project(tmp_path / "project", workspaces=[pattern])).packages["."]
    )


def test_members_are_named_one_by_one_and_without_those_left_out(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", workspaces=["packages/*", "!packages/b"])
    for name in "abc":
        make_project(project / "packages" / name, workspaces=["../../../*"])
    found = read_node_manifest(project)
    assert found.packages["."]["workspaces"] == ["packages/a", "packages/c"]
    assert "workspaces" not in found.packages["packages/a"]


def test_members_that_pnpm_knows_are_told_to_npm(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    (project / "pnpm-workspace.yaml").write_text("packages:\n  - 'packages/*'\n")
    make_project(project / "packages" / "a")
    assert read_node_manifest(project).packages["."]["workspaces"] == ["packages/a"]


def test_overrides_put_no_path_in_a_packages_place(tmp_path: Path) -> None:
    overrides = {"a": "^1", "b": "file:../../out", "c": {".": "2", "d": "~/x"}, "e": "$a"}
    found = read_node_manifest(make_project(tmp_path / "project", overrides=overrides))
    assert found.packages["."]["overrides"] == {"a": "^1", "c": {".": "2"}, "e": "$a"}


@pytest.mark.parametrize(
    "lock",
    [
        {"packages": {"../../out": {}}},
        {"packages": {"node_modules/a/../../../out": {"resolved": "https://example.com/a.tgz"}}},
        {"packages": {"node_modules/a": {"resolved": "../../out", "link": True}}},
        {"packages": {"node_modules/a": {"resolved": "file:../../out.tgz"}}},
        {"packages": {"node_modules/a": {"resolved": "git+file:///srv/repo"}}},
        {"packages": {"": {"dependencies": {"a": "file:../../out"}}}},
        {"dependencies": {"a": {"version": "file:../../out"}}},
        {"dependencies": {"a": {"dependencies": {"../../out": {"version": "1.0.0"}}}}},
    ],
)
def test_a_lock_file_that_leaves_the_project_is_not_read(tmp_path: Path, lock: dict[str, object]) -> None:
    project = make_project(tmp_path / "project", dependencies={"a": "1.0.0"})
    (project / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, **lock}))
    found = read_node_manifest(project)
    assert found.lock is None
    assert "the lock file refers to paths outside the project, or is no valid JSON: it is not read" in found.notes


@pytest.mark.long
@pytest.mark.parametrize(
    "lock",
    ['{"packages": [' + "[]," * 400_000 + "[]]}", '{"name": "' + "x" * 8 * 1024 * 1024 + '"}'],
    ids=["many", "large"],
)
def test_a_lock_file_that_is_too_large_to_be_checked_is_not_read(tmp_path: Path, lock: str) -> None:
    project = make_project(tmp_path / "project", dependencies={"a": "1.0.0"})
    (project / "package-lock.json").write_text(lock)
    found = read_node_manifest(project)
    assert (found.lock, found.exact) == (None, False)
    assert "the lock file is too large: it is not read" in found.notes


def test_a_large_lock_file_that_alone_names_a_packages_registry_is_kept_and_so_refused(tmp_path: Path) -> None:
    """Without it, npm would take a stranger's package of the same name."""
    project = make_project(tmp_path / "project", dependencies={"a": "1.0.0"})
    facts = {"resolved": "https://npm.example/a/-/a-1.0.0.tgz", "integrity": f"sha512-{'A' * 86}=="}
    lock = {"packages": {"node_modules/a": facts}, "name": "x" * 8 * 1024 * 1024}
    (project / "package-lock.json").write_text(json.dumps(lock))
    found = read_node_manifest(project)
    assert found.registries.keeps_lock
    assert found.lock is not None


def test_a_usual_lock_file_is_read() -> None:
    packages = {
        "": {"workspaces": ["packages/*"], "dependencies": {"a": "^1", "one": "file:one.tgz", "p": "*"}},
        "node_modules/a": {"version": "1.0.0", "resolved": "https://example.com/a.tgz", "peerDependencies": {"b": "*"}},
        "node_modules/@s/c/node_modules/d": {"resolved": "git+ssh://git@github.com/u/r.git#0123"},
        "node_modules/one": {"resolved": "file:one.tgz"},
        "node_modules/p": {"resolved": "packages/p", "link": True},
        "packages/p": {"dependencies": {"one": "file:../../one.tgz"}},
    }
    first = {"a": {"version": "1.0.0", "resolved": "https://example.com/a.tgz"}, "g": {"version": "github:u/r#0123"}}
    assert is_safe_lock(json.dumps({"packages": packages}).encode())
    assert is_safe_lock(json.dumps({"dependencies": first}).encode())


@pytest.mark.parametrize("value", ["file:a\x00b", "file:~x", "file:a?b", "..", "/"])
def test_a_path_that_can_be_read_in_two_ways_is_outside(value: str) -> None:
    with pytest.raises(Outside):
        inside_project(".", value)


def test_a_path_too_long_for_a_file_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot be read"):
        read_node_manifest(make_project(tmp_path / "project", dependencies={"t": f"file:{'x' * 5000}"}))


async def test_npm_leaves_what_lies_beside_the_environment_alone(tmp_path: Path) -> None:
    out = make_project(tmp_path / "cache" / "environments" / "out", version="9.9.9", dependencies={})
    project = make_project(
        tmp_path / "project", workspaces=["../out"], dependencies={"shop": "FILE:../out"}, overrides={"x": "../out"}
    )
    cache = NodeEnvironmentCache(Settings(cache_dir=tmp_path / "cache", uv_offline=True))
    with trio.fail_after(60):
        async with cache.open_environment(EnvironmentRequest(project), lambda _line, _level: None) as environment:
            assert not (environment.directory / "node_modules" / "shop").exists()
    assert [path.name for path in out.iterdir()] == ["package.json"]
