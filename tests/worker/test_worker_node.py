"""A Node project's manifest that a taken-over worker forges is refused; an honest one comes through as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from preview.environments.node.build import _write_manifest
from preview.environments.node.locks import Pins, read_pins
from preview.environments.node.locks.placing import Locked, LockFile
from preview.environments.node.manifest import read_node_manifest
from preview.environments.node.recipe import NodeRecipe, NodeToolchain
from preview.environments.way_out.allowed import NODE_REGISTRIES
from preview.worker.checks import Forged
from preview.worker.node_manifests import NodeAnswer, answer_of, check_pins, manifest_of

PACKAGE = {
    "name": "shop",
    "dependencies": {"express": "^4", "local": "file:./packages/local", "packed": "file:packed.tgz"},
    "overrides": {"qs": "6.11.0"},
    "workspaces": ["packages/*"],
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "packages" / "local").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps(PACKAGE))
    (folder / "packages" / "local" / "package.json").write_text('{"name": "local", "version": "1.0.0"}')
    (folder / "packed.tgz").write_bytes(b"packed")
    (folder / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {}}')
    (tmp_path / "outside").write_bytes(b"outside")
    return folder


def test_an_honest_manifest_comes_through_as_it_was(package: Path) -> None:
    manifest = read_node_manifest(package)
    assert manifest.files
    assert manifest.lock is not None
    assert manifest_of(answer_of(manifest), package) == manifest


@pytest.mark.parametrize("name", ["yarn.lock", "pnpm-lock.yaml", "bun.lock"])
def test_another_managers_lock_file_comes_through_too(package: Path, name: str) -> None:
    (package / "package-lock.json").unlink()
    (package / name).write_text("x")
    manifest = read_node_manifest(package)
    assert manifest_of(answer_of(manifest), package).foreign_lock == manifest.foreign_lock


def test_a_mirrors_lock_file_comes_through_and_is_written_with_the_usual_addresses(
    package: Path, tmp_path: Path
) -> None:
    resolved, integrity = "https://mirror.example/repository/npm/ms/-/ms-2.1.3.tgz", f"sha512-{'A' * 86}=="
    ms = {"version": "2.1.3", "resolved": resolved, "integrity": integrity}
    lock = package / "package-lock.json"
    lock.write_text(json.dumps({"lockfileVersion": 3, "packages": {"node_modules/ms": ms}}))
    manifest = manifest_of(answer_of(read_node_manifest(package)), package)
    assert manifest.lock == lock.read_bytes()
    toolchain = NodeToolchain(Path("node"), Path("npm"), "")
    _write_manifest(NodeRecipe("key", manifest, toolchain), tmp_path / "built")
    written = json.loads((tmp_path / "built" / "package-lock.json").read_bytes())
    usual = f"https://{NODE_REGISTRIES[0]}/ms/-/ms-2.1.3.tgz"
    assert written["packages"]["node_modules/ms"] == {**ms, "resolved": usual}


def _root(answer: NodeAnswer, **changed: object) -> NodeAnswer:
    return replace(answer, packages={**answer.packages, ".": {**answer.packages["."], **changed}})


DIGEST = "0" * 64


@pytest.mark.parametrize(
    "forge",
    [
        lambda one: _root(one, dependencies={"x": "file:../../etc"}),
        lambda one: _root(one, dependencies={"x": "/etc"}),
        lambda one: _root(one, dependencies={"x": "./packages/local"}),
        lambda one: _root(one, dependencies={"x": 1}),
        lambda one: _root(one, dependencies="x"),
        lambda one: _root(one, scripts={"install": "true"}),
        lambda one: _root(one, overrides={"qs": "file:../outside"}),
        lambda one: _root(one, workspaces=["../outside"]),
        lambda one: _root(one, workspaces={"packages": ["x"]}),
        lambda one: replace(one, packages={**one.packages, "../outside": {"name": "x"}}),
        lambda one: replace(one, packages={**one.packages, "/etc": {"name": "x"}}),
        lambda one: replace(one, packages={}),
        lambda one: replace(one, files={"../outside": DIGEST}),
        lambda one: replace(one, files={"/etc/passwd": DIGEST}),
        lambda one: replace(one, files={"packed.tgz": DIGEST}),
        lambda one: replace(one, lock=("packed.tgz", DIGEST)),
        lambda one: replace(one, lock=("package-lock.json", DIGEST)),
        lambda one: replace(one, foreign_lock=("../yarn.lock", DIGEST)),
    ],
)
def test_what_no_package_can_say_is_refused(package: Path, forge: Callable[[NodeAnswer], NodeAnswer]) -> None:
    with pytest.raises(Forged):
        manifest_of(forge(answer_of(read_node_manifest(package))), package)


def test_a_file_that_is_a_link_to_elsewhere_by_now_is_refused(package: Path, tmp_path: Path) -> None:
    answer = answer_of(read_node_manifest(package))
    (package / "packed.tgz").unlink()
    (package / "packed.tgz").symlink_to(tmp_path / "outside")
    with pytest.raises(Forged):
        manifest_of(answer, package)


def test_honest_pins_pass() -> None:
    text = 'lockfileVersion 1\n\n"@a/b@^1.0.0", express@^4.17.0:\n  version "4.17.1"\n  integrity sha512-abc==\n'
    pins = read_pins(LockFile("yarn.lock", f"# yarn {text}".encode()))
    assert pins.ranges
    assert check_pins(pins) is pins


@pytest.mark.parametrize(
    "pins",
    [
        Pins(ranges={"a@1": Locked("file:../x")}),
        Pins(ranges={'a@1":\n  version "x': Locked("1.0.0")}),
        Pins(ranges={"a@1": Locked("1.0.0", 'x"\n')}),
        Pins(direct={".": {"a": "https://example.com/a.tgz"}}),
        Pins(direct={".": {"../a": "1.0.0"}}),
        Pins(overrides={"a": "npm:../../x@1.0.0"}),
    ],
)
def test_pins_to_anything_but_versions_are_refused(pins: Pins) -> None:
    with pytest.raises(Forged):
        check_pins(pins)
