"""Lock files of Yarn, pnpm and Bun: what they pin, and that real npm installs it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from environment_kit import Said
from hypothesis import example, given
from hypothesis import strategies as st
from registry_kit import open_registry

from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.node import recipe
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.locks import LOCK_NAMES, LockFile, Pins, UnreadableLock, place_pins, read_pins
from preview.environments.node.manifest import read_node_manifest
from preview.environments.node.recipe import NodeToolchain, make_node_recipe
from preview.errors import EnvironmentFailed
from preview.settings import Settings

CLASSIC = """# yarn lockfile v1


"@scope/far@^1.0.0", far@^1.0.0, "far@>=1 <2":
  version "1.0.0"
  resolved "https://registry.invalid/far/-/far-1.0.0.tgz#abc"
  integrity sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==

near@^1.0.0:
  version "1.1.0"
  resolved "https://registry.invalid/near/-/near-1.1.0.tgz"
  dependencies:
    far "^1.0.0"

"other@npm:near@^1.0.0":
  version "1.1.0"
  resolved "https://registry.invalid/near/-/near-1.1.0.tgz"

"local@file:../local":
  version "1.0.0"

"made@https://host.invalid/made.tgz":
  version "1.0.0"
"""
LATER = """__metadata:
  version: 8

"far@npm:^1.0.0, far@npm:~1.0.0":
  version: 1.0.0
  resolution: "far@npm:1.0.0"

"near@npm:^1.0.0":
  version: 1.1.0
  resolution: "near@npm:1.1.0"
  dependencies:
    far: "npm:^1.0.0"

"near@patch:near@npm%3A^1.0.0#./fix.patch":
  version: 1.1.0
  resolution: "near@patch:near@npm%3A1.1.0#./fix.patch"

"other@npm:near@^1.0.0":
  version: 1.1.0
  resolution: "near@npm:1.1.0"

"shop@workspace:.":
  version: 0.0.0-use.local
  resolution: "shop@workspace:."
"""
PNPM_9 = """lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      near:
        specifier: ^1.0.0
        version: 1.1.0(far@1.0.0)
      other:
        specifier: npm:near@^1.0.0
        version: near@1.1.0
      beside:
        specifier: workspace:*
        version: link:packages/beside
packages:
  far@1.0.0: {resolution: {integrity: sha512-x}}
  twice@1.0.0: {}
  twice@2.0.0: {}
  near@1.1.0: {}
"""
PNPM_6 = """lockfileVersion: '6.0'
dependencies:
  near:
    specifier: ^1.0.0
    version: 1.1.0(far@1.0.0)
packages:
  /far@1.0.0: {dev: false}
  /near@1.1.0(far@1.0.0): {dev: false}
"""
PNPM_5 = """lockfileVersion: 5.4
specifiers: {near: ^1.0.0}
dependencies:
  near: 1.1.0_far@1.0.0
packages:
  /far/1.0.0: {dev: false}
  /near/1.1.0_far@1.0.0: {dev: false}
"""
BUN = """{
  "lockfileVersion": 1,
  "workspaces": {
    "": {"name": "shop", "dependencies": {"near": "^1.0.0", "other": "npm:near@^1.0.0"}},
    "packages/api": {"name": "api", "dependencies": {"far": "^2.0.0"}},
  },
  "packages": {
    "far": ["far@1.0.0", "", {}, "sha512-x"],
    "api/far": ["far@2.0.0", "", {}, "sha512-x"],
    "near": ["near@1.1.0", "", {"dependencies": {"far": "^1.0.0"}}, "sha512-x"],
    "other": ["near@1.1.0", "", {}, "sha512-x"],
    "deep": ["deep@3.0.0", "", {}, "sha512-x"],
    "api": ["api@workspace:packages/api"],
  }
}
"""
REGISTRY: dict[str, dict[str, dict[str, str]]] = {
    "near": {"1.0.0": {"far": "^1.0.0"}, "1.1.0": {"far": "^1.0.0"}, "1.2.0": {"far": "^1.0.0"}},
    "far": {"1.0.0": {}, "1.5.0": {}},
}
TOOLS = NodeToolchain(Path("/usr/bin/node"), Path("/usr/bin/npm"), "node test")


def pins_of(name: str, text: str) -> Pins:
    return read_pins(LockFile(name, text.encode()))


def versions_of(pins: Pins) -> dict[str, str]:
    return {key: locked.version for key, locked in pins.ranges.items()}


def test_yarn_1_names_a_version_for_each_range() -> None:
    pins = pins_of("yarn.lock", CLASSIC)
    assert versions_of(pins) == {
        "@scope/far@^1.0.0": "npm:far@1.0.0",
        "far@^1.0.0": "1.0.0",
        "far@>=1 <2": "1.0.0",
        "near@^1.0.0": "1.1.0",
        "other@npm:near@^1.0.0": "npm:near@1.1.0",
    }
    assert (pins.ranges["far@^1.0.0"].integrity or "").startswith("sha512-AAA")


def test_later_yarn_names_a_version_for_each_range() -> None:
    assert versions_of(pins_of("yarn.lock", LATER)) == {
        "far@^1.0.0": "1.0.0",
        "far@~1.0.0": "1.0.0",
        "near@^1.0.0": "1.1.0",
        "other@npm:near@^1.0.0": "npm:near@1.1.0",
    }


@pytest.mark.parametrize("text", [PNPM_9, PNPM_6, PNPM_5])
def test_pnpm_names_what_the_project_asks_for_and_what_occurs_once(text: str) -> None:
    pins = pins_of("pnpm-lock.yaml", text)
    assert pins.direct["."]["near"] == "1.1.0"
    assert pins.overrides == {"far": "1.0.0"}


def test_pnpm_names_a_package_under_another_name() -> None:
    assert pins_of("pnpm-lock.yaml", PNPM_9).direct == {".": {"near": "1.1.0", "other": "npm:near@1.1.0"}}


def test_bun_names_what_each_package_of_a_workspace_asks_for() -> None:
    pins = pins_of("bun.lock", BUN)
    assert pins.direct == {".": {"near": "1.1.0", "other": "npm:near@1.1.0"}, "packages/api": {"far": "2.0.0"}}
    assert pins.overrides == {"deep": "3.0.0"}


def test_the_projects_own_overrides_are_those_of_the_lock_file(tmp_path: Path) -> None:
    given = {"near": "^1.1.0", "deep": "^3.0.0", "file": "$near", "far": {"deep": "3"}, "none": "^1"}
    root: dict[str, object] = {"dependencies": {"near": "^1.1.0"}, "overrides": given}
    place_pins(Pins(direct={".": {"near": "1.1.0"}}, overrides={"deep": "3.0.1"}), {".": root}, tmp_path)
    placed = json.loads((tmp_path / "package.json").read_text())
    assert placed["dependencies"] == {"near": "1.1.0"}
    assert placed["overrides"] == {**given, "near": "1.1.0", "deep": "3.0.1"}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("yarn.lock", "<<<<<<< HEAD\n", "line 1 is neither"),
        ("yarn.lock", "# yarn lockfile v1\n", "names no version"),
        ("yarn.lock", "__metadata:\n  a: [", "line 3"),
        ("pnpm-lock.yaml", "a: &x 1\nb: *x\n", "refers to parts of itself"),
        ("pnpm-lock.yaml", "[" * 1_000_000, "nested too deeply"),
        ("pnpm-lock.yaml", "? [a]\n: 1\n", "not text"),
        ("bun.lock", "[]", "not a JSON object"),
        ("bun.lockb", "\x00", "binary"),
    ],
)
def test_a_lock_file_that_says_nothing_usable_is_refused_with_the_reason(name: str, text: str, why: str) -> None:
    with pytest.raises(UnreadableLock, match=why):
        pins_of(name, text)


def test_a_lock_file_that_is_no_text_is_refused() -> None:
    for name in ("yarn.lock", "pnpm-lock.yaml"):
        with pytest.raises(UnreadableLock, match="UTF-8"):
            read_pins(LockFile(name, b"\xff\xfe a:\n"))


def lines() -> st.SearchStrategy[str]:
    """Texts of the pieces that lock files are made of, in any order."""
    parts = [line for text in (CLASSIC, LATER, PNPM_9, PNPM_5, BUN) for line in text.splitlines(keepends=True)]
    return st.lists(st.sampled_from(parts) | st.text(max_size=20), max_size=30).map("".join)


@given(st.sampled_from(LOCK_NAMES), lines().map(str.encode) | st.binary(max_size=200))
@example("pnpm-lock.yaml", b"- " * 50_000)
@example("yarn.lock", b'a@1:\n  version "1.0.0"\n  resolved "' + b"/-1" * 50_000 + b'"\n')
def test_any_text_is_read_or_refused(name: str, data: bytes) -> None:
    try:
        pins = read_pins(LockFile(name, data))
    except UnreadableLock:
        return
    direct = [version for versions in pins.direct.values() for version in versions.values()]
    versions = {locked.version for locked in pins.ranges.values()} | set(pins.overrides.values()) | set(direct)
    # Nothing that npm would look for on the disk or at an address.
    assert all(re.fullmatch(r"(?:npm:(?:@[\w~.-]+/)?[\w~.-]+@)?\d[\w.+-]*", version) for version in versions)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with open_registry(REGISTRY) as address:
        monkeypatch.setenv("npm_config_registry", address)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        yield


async def installed(folder: Path, said: Said) -> dict[str, str]:
    """The versions that npm has put there, by place."""
    cache = NodeEnvironmentCache(Settings(cache_dir=folder.parent / "cache"))
    with trio.fail_after(60):
        async with cache.open_environment(EnvironmentRequest(folder), said) as environment:
            tree = json.loads((environment.directory / "node_modules" / ".package-lock.json").read_text())
    return {place.removeprefix("node_modules/"): facts["version"] for place, facts in tree["packages"].items()}


def project_of(folder: Path, files: dict[str, str], **more: object) -> Path:
    folder.mkdir()
    package = {"name": "shop", "dependencies": {"near": "^1.0.0"}, **more}
    for name, text in {"package.json": json.dumps(package), **files}.items():
        (folder / name).write_text(text)
    return folder


# Without the hash, which is none of these packages'.
CLASSIC_ONLY = "".join(line for line in CLASSIC.splitlines(keepends=True) if "integrity" not in line)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("name", "text"),
    [("yarn.lock", CLASSIC_ONLY), ("yarn.lock", LATER), ("pnpm-lock.yaml", PNPM_9), ("bun.lock", BUN)],
)
async def test_npm_installs_the_versions_of_the_lock_file(tmp_path: Path, name: str, text: str) -> None:
    said = Said()
    text = text.replace('    "packages/api": {"name": "api", "dependencies": {"far": "^2.0.0"}},\n', "")
    text = text.replace('    "api/far": ["far@2.0.0", "", {}, "sha512-x"],\n', "")
    found = await installed(project_of(tmp_path / "shop", {name: text}), said)
    assert found == {"near": "1.1.0", "far": "1.0.0"}
    assert f"versions from {name}" in said.text


@pytest.mark.usefixtures("registry")
async def test_a_lock_file_that_cannot_be_read_is_told_and_ranges_count(tmp_path: Path) -> None:
    said = Said()
    found = await installed(project_of(tmp_path / "shop", {"yarn.lock": "<<<<<<< HEAD\n"}), said)
    assert found == {"near": "1.2.0", "far": "1.5.0"}
    assert "yarn.lock cannot be read (line 1 is neither an entry nor a part of one): versions are chosen" in said.text


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("name", "text"),
    [("yarn.lock", CLASSIC_ONLY.replace("1.1.0", "1.1.9")), ("pnpm-lock.yaml", PNPM_9.replace("1.1.0", "1.1.9"))],
)
async def test_a_locked_version_that_cannot_be_had_gives_way_to_the_range(tmp_path: Path, name: str, text: str) -> None:
    said = Said()
    found = await installed(project_of(tmp_path / "shop", {name: text}), said)
    # The lock file counts for all others.
    assert found == {"near": "1.2.0", "far": "1.0.0"}
    assert "near is not available in the version of the lock file: its range in package.json is used" in said.text
    assert "trying again without it" not in said.text


@pytest.mark.usefixtures("registry")
async def test_an_indirect_version_that_cannot_be_had_is_left_to_npm(tmp_path: Path) -> None:
    said = Said()
    text = PNPM_9.replace("far@1.0.0:", "far@1.0.9:")
    found = await installed(project_of(tmp_path / "shop", {"pnpm-lock.yaml": text}), said)
    assert found == {"near": "1.1.0", "far": "1.5.0"}


@pytest.mark.usefixtures("registry")
async def test_a_package_that_is_not_there_at_all_takes_its_lock_file_along(tmp_path: Path) -> None:
    said = Said()
    text = PNPM_9.replace("packages:\n", "packages:\n  gone@1.0.0: {}\n").replace("near@1.1.0: {}", "near@1.1.0: {}\n")
    package = {"dependencies": {"near": "^1.0.0", "gone": "^1.0.0"}}
    with pytest.raises(EnvironmentFailed):
        await installed(project_of(tmp_path / "shop", {"pnpm-lock.yaml": text}, **package), said)
    assert "trying again without it" in said.text


@pytest.mark.usefixtures("registry")
async def test_a_resolution_of_what_the_project_asks_for_itself_takes_its_place(tmp_path: Path) -> None:
    folder = project_of(tmp_path / "shop", {}, resolutions={"near": "1.0.0", "**/far": "1.0.0"})
    assert await installed(folder, Said()) == {"near": "1.0.0", "far": "1.0.0"}


def test_a_lock_file_of_another_manager_is_part_of_the_key(tmp_path: Path) -> None:
    folder = project_of(tmp_path / "shop", {})
    keys = {make_node_recipe(read_node_manifest(folder), TOOLS).key}
    for text in (CLASSIC, LATER):
        (folder / "yarn.lock").write_text(text)
        keys.add(make_node_recipe(read_node_manifest(folder), TOOLS).key)
    assert len(keys) == 3


def test_a_changed_program_of_the_service_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_node_manifest(project_of(tmp_path / "shop", {}))
    before = make_node_recipe(manifest, TOOLS).key
    assert before == make_node_recipe(manifest, TOOLS).key
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "preview-prisma.cjs").write_text("// another stand-in\n")
    monkeypatch.setattr("preview.environments.node.recipe.resources.files", lambda _: tmp_path)
    recipe.programs_hash.cache_clear()
    try:
        assert make_node_recipe(manifest, TOOLS).key != before
    finally:
        recipe.programs_hash.cache_clear()


def test_npms_own_lock_file_comes_before_that_of_another_manager(tmp_path: Path) -> None:
    folder = project_of(tmp_path / "shop", {"yarn.lock": CLASSIC, "package-lock.json": "{}"})
    manifest = read_node_manifest(folder)
    assert (manifest.lock, manifest.foreign_lock) == (b"{}", None)


def test_a_shrinkwrap_is_taken_as_npm_takes_it(tmp_path: Path) -> None:
    folder = project_of(tmp_path / "shop", {"package-lock.json": "{}", "npm-shrinkwrap.json": '{"name": "shop"}'})
    assert read_node_manifest(folder).lock == b'{"name": "shop"}'
