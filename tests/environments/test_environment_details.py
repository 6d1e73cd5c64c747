"""Environments in the small: second ways of npm, odd manifests, limits of old versions, what is remembered."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from environment_kit import Said

from preview.environments import EnvironmentCache
from preview.environments.folders.environment import EnvironmentRequest
from preview.environments.folders.layout import Layout, measure_and_protect
from preview.environments.folders.locks import lock, try_lock
from preview.environments.imports.names import read_offered
from preview.environments.imports.removed_apis import RemovedApiUse, find_relics
from preview.environments.manifests.manifest_files import read_text
from preview.environments.manifests.search import read_project
from preview.environments.manifests.setuptools_files import read_lock
from preview.environments.node.build import build_node_environment
from preview.environments.node.explain import explain_npm
from preview.environments.node.manifest import NodeManifest, read_node_manifest
from preview.environments.node.modules import modules_variables, place_modules
from preview.environments.node.reading import InThread
from preview.environments.node.recipe import NodeRecipe, NodeToolchain, find_node, newer_node
from preview.environments.node.registries import is_safe_lock
from preview.environments.python.explain import Explanation
from preview.environments.python.install import Installation
from preview.environments.python.recipe import Recipe
from preview.environments.python.relax import Loosening
from preview.environments.requirements.arguments import as_for
from preview.environments.requirements.companions import with_companions
from preview.environments.requirements.requirements import ProjectRequirement, RequirementSet, parse_requirement
from preview.environments.sandbox.interpreter import PythonInterpreter, allows, find_interpreter, find_other
from preview.environments.sandbox.program import ProgramResult
from preview.environments.store.eviction import RequestMemory
from preview.errors import ConfigurationError, EnvironmentFailed
from preview.settings import Settings

LIMIT_S = 20
HERE = PythonInterpreter(sys.executable, "3.11.7", "here")


def required(*lines: str, constraints: tuple[str, ...] = ()) -> RequirementSet:
    return RequirementSet(
        tuple(parse_requirement(line, "requirements.txt line 1") for line in lines),
        tuple(parse_requirement(line, "uv.lock") for line in constraints),
    )


def texts(found: RequirementSet) -> list[str]:
    return [item.text for item in found.requirements]


def write(folder: Path, **files: str) -> Path:
    """Files below the folder; ``__`` in a name stands for a point, ``___`` for a slash."""
    for name, text in files.items():
        path = folder / name.replace("___", "/").replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


# npm: what it says decides what is tried next.


def fake_npm(folder: Path, body: str) -> NodeToolchain:
    """An npm that notes how it is called and does what ``body`` says."""
    folder.mkdir(exist_ok=True)
    npm = folder / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n{body}\n')
    npm.chmod(0o755)
    return NodeToolchain(Path("/usr/bin/node"), npm, "node test")


def calls(folder: Path) -> list[str]:
    """How the npm was called, without what it is always told."""
    lines = (folder / "calls").read_text().splitlines()
    return [line.partition(" --no-audit")[0].replace(" --replace-registry-host=always", "") for line in lines]


async def build(
    tmp_path: Path, body: str, said: Said, *, lock_file: bytes | None = None, more: Mapping[str, str] | None = None
) -> Path:
    """The folder of the environment that this npm fills."""
    wanted = {"one": "^1", "two": "^2", **(more or {})}
    packages: dict[str, dict[str, object]] = {".": {"name": "shop", "dependencies": wanted}}
    manifest = NodeManifest(packages, lock=lock_file, exact=lock_file is not None)
    layout = Layout(tmp_path / "cache")
    layout.directory("key").parent.mkdir(parents=True, exist_ok=True)
    with trio.fail_after(LIMIT_S):
        await build_node_environment(
            NodeRecipe("key", manifest, fake_npm(tmp_path / "bin", body)), layout, said, offline=True, reader=InThread()
        )
    return layout.directory("key")


@pytest.mark.parametrize(
    ("lock", "host"),
    [(b'{"resolved": "https://example.org/one.tgz"}', "always"), (b'{"resolved": "git+ssh://x"}', "npmjs")],
)
async def test_a_lock_file_with_a_git_repository_keeps_its_host(tmp_path: Path, lock: bytes, host: str) -> None:
    await build(tmp_path, "exit 0", Said(), lock_file=lock)
    assert f"--replace-registry-host={host}" in (tmp_path / "bin" / "calls").read_text()


@pytest.mark.parametrize(
    "lock",
    [
        b'{"packages": {"node_modules/../../../cache": {"version": "1.0.0"}}}',
        b"{",
        b'{"packages": [' + b"[]," * 400_000 + b"[]]}",
        b'{"name": "' + b"x" * 8 * 1024 * 1024 + b'"}',
    ],
    ids=["outside", "no JSON", "many", "large"],
)
async def test_npm_gets_no_lock_file_that_a_worker_should_have_refused(tmp_path: Path, lock: bytes) -> None:
    with pytest.raises(EnvironmentFailed, match=r"^The lock file (is too large|refers to paths outside)"):
        await build(tmp_path, "exit 0", Said(), lock_file=lock)
    assert not (tmp_path / "bin" / "calls").exists()


def fails_unless(word: str, *lines: str) -> str:
    said = "\n".join(f'echo "{line}"' for line in lines)
    return f'case "$*" in *{word}*) exit 0;; esac\n{said}\nexit 1'


@pytest.mark.parametrize(
    ("body", "second", "sentence"),
    [
        (fails_unless("legacy-peer", "npm error code ERESOLVE"), "ci --legacy-peer-deps", "peer dependencies contra"),
        (
            fails_unless("--force", "npm error code EBADPLATFORM"),
            "ci --force",
            "a package does not support this machine",
        ),
        (fails_unless("install", "npm error code EUSAGE"), "install", "the lock file does not match"),
        (
            fails_unless("install", "npm error code E404"),
            "install",
            "the lock file lists packages that are unavailable",
        ),
    ],
)
async def test_npm_is_tried_again_in_the_way_that_its_error_asks_for(
    tmp_path: Path, body: str, second: str, sentence: str
) -> None:
    said = Said()
    await build(tmp_path, body, said, lock_file=b"{}")
    assert calls(tmp_path / "bin") == ["ci", second]
    assert sentence in said.text


async def test_peers_that_contradict_each_other_are_all_installed_for_bun(tmp_path: Path) -> None:
    said = Said()
    package = "node_modules/@oven/bun-linux-x64/bin"
    body = f"mkdir -p {package}; touch {package}/bun\n" + fails_unless("--force", "npm error code ERESOLVE")
    await build(tmp_path, body, said, more={"@oven/bun-linux-x64": "1.2.3"})
    assert calls(tmp_path / "bin") == ["install", "install --force"]
    assert "peer dependencies contradict each other: all are installed, as Bun does" in said.text


async def test_a_package_without_bun_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=r"^The package @oven/bun-linux-x64 has no program of Bun"):
        await build(tmp_path, "exit 0", Said(), more={"@oven/bun-linux-x64": "1.2.3"})


async def test_a_lock_file_that_cannot_be_had_is_gone_at_the_second_try(tmp_path: Path) -> None:
    body = '[ -e package-lock.json ] || exit 0\necho "npm error code ETARGET"\nexit 1'
    place = await build(tmp_path, body, Said(), lock_file=b"{}")
    assert not (place / "package-lock.json").exists()


async def test_a_package_of_nodes_own_name_is_replaced(tmp_path: Path) -> None:
    body = (
        'grep -q \'"fs": "npm:\' package.json && exit 0\n'
        'echo "npm error notarget No matching version found for fs@^9."\nexit 1'
    )
    said = Said()
    await build(tmp_path, body, said)
    assert said.lines == [("fs is a part of Node, not a package: it is left out", logging.INFO)]


SPOILT = {
    "large": r"""(printf '{{"a": "'; head -c 9000000 /dev/zero | tr '\0' 0; printf '"}}') > {}""",
    "nested": "printf '%0100000d' 0 | tr 0 '[' > {}",
    "a list": "echo '[]' > {}",
    "no file": "rm -f {}",
    "a link": "ln -sf /etc/passwd {}",
    "a pipe": "rm -f {0}; mkfifo {0}",
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("line", ["No matching version found for fs@^9.", "404 'left@1' is not in this"])
async def test_a_manifest_that_an_install_script_spoils_is_not_read(tmp_path: Path, spoil: str, line: str) -> None:
    body = f'{spoil.format("package.json")}\necho "npm error {line}"\nexit 1'
    with pytest.raises(EnvironmentFailed):
        await build(tmp_path, body, Said())
    assert calls(tmp_path / "bin") == ["install"]


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
async def test_a_record_of_packages_that_an_install_script_spoils_is_not_read(tmp_path: Path, spoil: str) -> None:
    path = "node_modules/.package-lock.json"
    body = f'case "$*" in *ignore-scripts*) mkdir node_modules; {spoil.format(path)}; exit 0;; esac\n'
    body += 'echo "npm error code 1"\necho "npm error path $PWD/node_modules/two"\n'
    body += 'echo "npm error command failed"\nexit 1'
    with suppress(EnvironmentFailed):  # a pipe in an environment
        await build(tmp_path, body, Said())
    assert calls(tmp_path / "bin") == ["install", "install --ignore-scripts"]


INSTALLED = json.dumps(
    {
        "packages": {
            "": {},
            "node_modules/one": {"hasInstallScript": True},
            "node_modules/a/node_modules/deep": {"hasInstallScript": True},
            "node_modules/two": {"hasInstallScript": True},
            "node_modules/-g": {"hasInstallScript": True},
            "node_modules/fine": {"hasInstallScript": True},
        }
    }
)
BUILDS = f"""
case "$*" in
  *ignore-scripts*) mkdir -p node_modules; echo '{INSTALLED}' > node_modules/.package-lock.json
    case "$*" in *two@latest*) exit 1;; esac; exit 0;;
  "rebuild fine"*) exit 0;;
  "rebuild one"*) [ -e mended ] && exit 0; touch mended;;
esac
echo "npm error code 1"
echo "npm error path $PWD/node_modules/two"
echo "npm error command failed"
exit 1"""


async def test_packages_are_built_one_by_one_where_one_cannot(tmp_path: Path) -> None:
    said = Said()
    place = await build(tmp_path, BUILDS, said)
    newest = "--ignore-scripts --legacy-peer-deps"
    assert calls(tmp_path / "bin") == [
        "install",
        "install --ignore-scripts",
        "rebuild one",
        f"install one@latest {newest}",
        "rebuild one",
        "rebuild deep",
        "rebuild two",
        f"install two@latest {newest}",
        "rebuild fine",
    ]
    assert "one@^1 cannot be built here: its newest version is used" in said.text
    assert "anything that needs two will fail" in said.text
    facts = [json.loads(path.read_text()) for path in place.glob("*.json")]
    assert [one["not_built"] for one in facts if "not_built" in one] == [["deep", "two"]]


@pytest.mark.parametrize("tree", ["no json", "[]", '{"packages": []}'])
async def test_without_a_record_of_what_is_installed_nothing_is_built(tmp_path: Path, tree: str) -> None:
    body = BUILDS.replace(INSTALLED, tree)
    await build(tmp_path, body, Said())
    assert calls(tmp_path / "bin") == ["install", "install --ignore-scripts"]


async def test_an_npm_that_fails_for_good_is_quoted_and_nothing_is_left(tmp_path: Path) -> None:
    said = Said()
    with pytest.raises(EnvironmentFailed, match="strange things"):
        await build(tmp_path, 'echo "npm error strange things"; exit 1', said)
    assert said.lines == [("npm error strange things", logging.ERROR)]
    assert list((tmp_path / "cache").rglob("package.json")) == []


async def test_an_npm_that_fails_in_another_way_each_time_is_given_up(tmp_path: Path) -> None:
    names = ("fs", "path", "http", "https", "os", "crypto")
    body = "\n".join(
        f'grep -q \'"{name}": "npm:\' package.json || {{ echo "No matching version found for {name}@1"; exit 1; }}'
        for name in names
    )
    with pytest.raises(EnvironmentFailed, match="every option that was tried"):
        await build(tmp_path, body, Said())


async def test_an_environment_that_cannot_be_written_is_the_disks_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="could not be written") as caught:
        await build(tmp_path, "rm -rf node_modules; touch node_modules", Said())
    assert caught.value.details["reason"] == "disk"


async def test_a_broken_environment_gives_way_to_the_new_one(tmp_path: Path) -> None:
    broken = Layout(tmp_path / "cache").directory("key")
    write(broken, old="x")
    place = await build(tmp_path, "exit 0", Said())
    assert place == broken
    assert not (broken / "old").exists()


@pytest.mark.parametrize(
    ("version", "stand_ins"),
    [('{"version": "4.16.2"}', 6), ('{"version": "5.1.0"}', 3), ('{"version": "next"}', 3), ("{}", 3)],
)
async def test_an_engine_that_prisma_could_not_have_has_a_stand_in(
    tmp_path: Path, version: str, stand_ins: int
) -> None:
    folder = "node_modules/@prisma/engines"
    said = Said()
    place = await build(tmp_path, f"mkdir -p {folder}; echo '{version}' > {folder}/package.json", said)
    stand_in = str(place / "no-prisma-engine")
    assert list(modules_variables(place).values()).count(stand_in) == stand_ins
    assert os.access(stand_in, os.X_OK)
    assert "Prisma's engine could not be downloaded" in said.text


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("6.16.2", "@prisma/adapter-pg@6.16.2 @prisma/adapter-libsql@6.16.2 @prisma/adapter-mariadb@6.16.2"),
        ("6.11.0", "@prisma/adapter-pg@6.11.0 @prisma/adapter-libsql@6.11.0 @prisma/adapter-mariadb@6.11.0"),
        ("6.10.1", "@prisma/adapter-pg@6.10.1 @prisma/adapter-libsql@6.10.1 pg@^8"),
        ("6.6.0", "@prisma/adapter-pg@6.6.0 @prisma/adapter-libsql@6.6.0 pg@^8"),
        ("5.22.0", "@prisma/adapter-pg@5.22.0 @prisma/adapter-libsql@5.22.0 pg@^8 @libsql/client@^0.8"),
        ("5.10.1", ""),
        ("7.1.0", ""),
        ("6.16.2; rm -rf /", ""),
    ],
)
@pytest.mark.parametrize("can_be_had", [True, False])
async def test_without_an_engine_prisma_gets_its_adapters(
    tmp_path: Path, version: str, wanted: str, *, can_be_had: bool
) -> None:
    made = "; ".join(f"mkdir -p node_modules/@prisma/adapter-{name}" for name in ("pg", "libsql"))
    body = (
        f'case "$*" in *adapter-*) {made if can_be_had else "exit 1"};; esac\n'
        f"mkdir -p node_modules/@prisma/client node_modules/@prisma/engines\n"
        f"echo '{json.dumps({'version': version})}' | tee node_modules/@prisma/client/package.json"
        " > node_modules/@prisma/engines/package.json"
    )
    said = Said()
    place = await build(tmp_path, body, said)
    calls = (tmp_path / "bin" / "calls").read_text()
    assert ("adapter-pg" in calls) is bool(wanted)
    assert wanted in calls
    assert ("Prisma's adapters could not be installed: npm ended with 1" in said.text) is bool(
        wanted and not can_be_had
    )
    needs_none = (wanted and can_be_had) or version == "7.1.0"
    name = "prisma-with-adapters" if needs_none else "no-prisma-engine"
    assert modules_variables(place)["PRISMA_QUERY_ENGINE_LIBRARY"] == str(place / name)
    assert ("asks the database through packages" in said.text) is bool(wanted and can_be_had)


async def test_an_engine_that_is_there_needs_no_stand_in(tmp_path: Path) -> None:
    folder = "node_modules/@prisma/engines"
    place = await build(tmp_path, f"mkdir -p {folder}; touch {folder}/libquery_engine.node", Said())
    assert modules_variables(place) == {"NODE_PRESERVE_SYMLINKS": "1"}


def test_a_projects_own_modules_give_way_to_the_environments(tmp_path: Path) -> None:
    environment = write(
        tmp_path / "environment",
        modules__json='{"folders": [".", "gone"], "no_engine": {}}',
        node_modules___plain___index__js="",
        node_modules___single___index__js="",
        **{
            "node_modules/@prisma/client/index__js": "",
            "node_modules/@scope/a/index__js": "",
            "node_modules/@scope/b/index__js": "",
            "node_modules/.cache/x": "",
        },
    )
    (environment / "node_modules" / "member").symlink_to("../member")
    project = write(tmp_path / "project", node_modules___plain___old__js="", node_modules___single="")
    assert place_modules(environment, project) == 6
    modules = project / "node_modules"
    assert (modules / "plain").readlink() == environment / "node_modules" / "plain"
    assert (modules / "single").is_symlink()
    assert (modules / "@scope" / "b").is_symlink()
    assert (modules / "member").readlink() == Path("../member")
    assert not (modules / "@prisma" / "client").is_symlink()
    assert not (modules / ".cache").exists()


def test_a_project_whose_modules_are_a_link_gets_its_own(tmp_path: Path) -> None:
    environment = write(tmp_path / "environment", modules__json='{"folders": ["."]}', node_modules___one___a__js="")
    (tmp_path / "shared").mkdir()
    project = tmp_path / "project"
    project.mkdir()
    (project / "node_modules").symlink_to(tmp_path / "shared")
    assert place_modules(environment, project) == 1
    assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.parametrize(
    ("lock_file", "safe"),
    [
        (b"", True),
        (b"[]", True),
        # npm reads files that Python refuses: those with other bytes, long numbers, deep lists and marks of a merge.
        (b"no json", False),
        (b"\xff", False),
        (b'{"packages": {"node_modules/a": {"link": true, "resolved": "../../a"}}, "x": "\xff"}', False),
        (b'{"packages": {"node_modules/a": {"link": true, "resolved": "../../a"}}, "x": ' + b"1" * 5000 + b"}", False),
        (b'{"packages": {}, "x": ' + b"[" * 3000 + b"]" * 3000 + b"}", False),
        (b'{"packages": {}, "x": ' + b"[" * 200 + b"]" * 200 + b"}", False),
        (b'<<<<<<< a\n{"packages": {"../a": {}}}\n=======\n{}\n>>>>>>> b\n', False),
        (b'{"packages": [], "dependencies": []}', True),
        (b'{"packages": {"": 1, "node_modules/a": {"resolved": "https://host.example/a.tgz"}}}', True),
        (b'{"packages": {"node_modules/../../a": {}}}', False),
        (b'{"packages": {"node_modules/a": {"link": true, "resolved": "../../a"}}}', False),
        (b'{"packages": {"node_modules/a": {"dependencies": {"b": "file:../../../b"}}}}', False),
        (b'{"dependencies": {"a": 1, "b": {"version": "1.0.0", "dependencies": {"c": {"version": "2.0.0"}}}}}', True),
        (b'{"dependencies": {"a": {"dependencies": {"b": {"version": "file:../../b"}}}}}', False),
        (b'{"dependencies": {"../a": {}}}', False),
    ],
)
def test_a_lock_file_may_name_what_is_in_the_project(lock_file: bytes, safe: bool) -> None:
    assert is_safe_lock(lock_file) is safe


@pytest.mark.parametrize(
    ("package", "sentence"),
    [("{", "package.json is not valid JSON"), ("[]", "package.json must hold a JSON object")],
)
def test_a_package_json_that_cannot_be_used_is_told(tmp_path: Path, package: str, sentence: str) -> None:
    with pytest.raises(EnvironmentFailed, match=sentence):
        read_node_manifest(write(tmp_path, package__json=package))


def test_a_further_requirement_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="'a b' cannot be read; write NAME or NAME@RANGE"):
        read_node_manifest(tmp_path, ["a b"])


def test_a_package_json_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "package.json").open("wb") as file:
        file.truncate(32 * 1024 * 1024 + 1)
    with pytest.raises(EnvironmentFailed, match="larger than 32 MiB"):
        read_node_manifest(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "version"),
    [("^7.7.1", "^8.0.3"), ("7", "^8.0.3"), ("~6.4", "^8.0.3"), ("<8", "^8.0.3"), ("^8.0.0", "^8.0.0"), ("*", "*")],
)
def test_a_driver_that_waits_for_ever_on_this_node_is_replaced(tmp_path: Path, wanted: str, version: str) -> None:
    write(tmp_path, package__json=json.dumps({"dependencies": {"pg": wanted, "pgx": "7"}}))
    manifest = read_node_manifest(tmp_path)
    assert manifest.packages["."]["dependencies"] == {"pg": version, "pgx": "7"}
    assert bool(manifest.notes) is (wanted != version)


@pytest.mark.parametrize(
    ("wanted", "is_newer"),
    [
        (">=26", True), ("^22.1.0", True), ("v24", True), ("22 || >=24", True), (">= 22 <27", True),
        (">=20", False), ("^18 || ^22", False), ("<27", False), ("*", False), ("lts/*", False), ("", False),
        (22, False), ("26\x1b[31m", False), (None, False),
    ],
)  # fmt: skip
def test_a_project_that_wants_a_newer_node_is_named(tmp_path: Path, wanted: object, is_newer: bool) -> None:
    write(tmp_path, package__json=json.dumps({"engines": {"node": wanted}, "dependencies": {"six": "1"}}))
    manifest = read_node_manifest(tmp_path)
    assert newer_node(manifest, "20.20.2") == (wanted if is_newer else None)
    assert newer_node(manifest, "") is None


def test_a_package_on_its_vendors_own_server_is_that_of_the_registry(tmp_path: Path) -> None:
    there = "https://cdn.sheetjs.com/xlsx-0.20.3/xlsx-0.20.3.tgz"
    write(tmp_path, package__json=json.dumps({"dependencies": {"xlsx": there, "other": there}}))
    (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {"": {}}}')
    manifest = read_node_manifest(tmp_path)
    assert manifest.packages["."]["dependencies"] == {"xlsx": "^0.18.5", "other": there}
    assert not manifest.exact


@pytest.mark.parametrize(
    ("wanted", "beside", "version"),
    [
        ("^0.2.7", "pg", "^0.2.45"),
        ("0.1.12", "pg", "^0.2.45"),
        ("~0.2.20", "pg", "^0.2.45"),
        ("0.2.0-alpha.24", "pg", "^0.2.45"),
        ("^0.2.21", "pg", "^0.2.21"),
        ("^0.3.17", "pg", "^0.3.17"),
        ("^0.2.7", "mysql2", "^0.2.7"),
    ],
)
def test_a_mapper_that_cannot_read_a_new_postgresql_is_replaced(
    tmp_path: Path, wanted: str, beside: str, version: str
) -> None:
    write(tmp_path, package__json=json.dumps({"dependencies": {"typeorm": wanted, beside: "*"}}))
    manifest = read_node_manifest(tmp_path)
    assert manifest.packages["."]["dependencies"] == {"typeorm": version, beside: "*"}
    assert bool(manifest.notes) is (wanted != version)


def test_a_package_whose_name_npm_cannot_read_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, package__json=json.dumps({"dependencies": {"-": "0.0.1", "koa": "^2"}}))
    assert read_node_manifest(tmp_path).packages["."]["dependencies"] == {"koa": "^2"}


def test_members_of_a_workspace_are_found_by_its_patterns(tmp_path: Path) -> None:
    package = {
        "workspaces": {"packages": ["apps/*", "!apps/old", "../*", "a**", "**/x/**"]},
        "dependencies": {"api": "workspace:*", "lib": "file:lib", "out": "file:../out", "none": "file:none.tgz"},
        "resolutions": {"one": "1.0.0", "**/two": "2"},
    }
    write(tmp_path, package__json=json.dumps(package), lib___package__json="{}", **{"yarn.lock": ""})
    write(tmp_path, apps___api___package__json="{}", apps___old___package__json="{}")
    manifest = read_node_manifest(tmp_path)
    assert manifest.members == ("apps/api", "lib")
    assert manifest.packages["."]["dependencies"] == {"api": "*", "lib": "file:lib"}
    assert manifest.packages["."]["overrides"] == {"one": "1.0.0", "two": "2"}
    assert manifest.range_of("other") is None
    assert manifest.notes == (
        "out (file:../out) lies outside the project and is left out",
        "none (file:none.tgz) is not in the project and is left out",
    )


def test_an_override_of_a_packages_own_requirement_is_taken_as_bun_takes_it(tmp_path: Path) -> None:
    package = {
        "dependencies": {"one": "^2.0.0", "two": "^1.0.0"},
        "overrides": {"one": "^1.5.0", "two": "$two", "three": "1.0.0", "deep": {"one": "3"}},
    }
    write(tmp_path, package__json=json.dumps(package))
    root = read_node_manifest(tmp_path).packages["."]
    assert root["dependencies"] == {"one": "^1.5.0", "two": "^1.0.0"}
    assert root["overrides"] == package["overrides"]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "npm said nothing"),
        (["", "killed", " "], "could not be built: killed;"),
        (["npm error code EWHAT", "npm error it is odd."], "EWHAT"),
    ],
)
def test_what_nobody_knows_of_npm_is_quoted(lines: list[str], sentence: str) -> None:
    found = explain_npm(lines, NodeManifest({".": {}}))
    assert found.reason == "other"
    assert sentence in found.message


async def test_node_projects_need_a_node_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="need the programs node and npm"):
        await find_node()
    for name, body in (("node", "echo broken; exit 3"), ("npm", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(ConfigurationError, match=r"does not run: broken; install Node\.js again"):
        await find_node()
    (tmp_path / "node").write_text("#!/bin/sh\necho v20 linux\n")
    assert (await find_node()).identity == "node v20 linux npm unknown"


# Python: manifests.


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({"Pipfile": '[packages]\na = {path = "x", extras = 1}\nb = {file = "s.whl"}\nidna = "3.1"'}, ["idna==3.1"]),
        (
            {"Pipfile": '[packages]\na = {git = "https://h.example/a", ref = "v1"}\nb = {git = "https://h.example/b"}'},
            ["a @ git+https://h.example/a@v1", "b @ git+https://h.example/b"],
        ),
        ({"Pipfile": '[packages]\na = {version = ">1", extras = ["x"], markers = "os_name == \'posix\'"}'}, None),
        ({"pyproject__toml": '[tool.poetry.dependencies]\npython = "?"\nflask = "no range"\nb = 3'}, ["flask", "b"]),
        ({"pyproject__toml": '[tool.poetry.dependencies]\npython = 3\nflask = "*"'}, ["flask"]),
        (
            {"pyproject__toml": '[project]\nname = "x"\ndependencies = ["flask", "a", "b", "?!"]\n'
             '[tool.uv.sources]\nA = {git = "https://h.example/a", tag = "v1"}\nb = {index = "private"}'},
            ["flask", "a @ git+https://h.example/a@v1", "b"],
        ),
        ({"requirements__txt": "pip install flask six\nname ${X}\n", "setup__cfg": "[options"}, ["flask", "six"]),
    ],
)  # fmt: skip
def test_manifests_are_read_as_far_as_they_can_be(
    tmp_path: Path, files: dict[str, str], lines: list[str] | None
) -> None:
    found = read_project(write(tmp_path, **files))
    if lines is None:
        assert [(item.name, sorted(item.extras)) for item in found.requirements] == [("a", ["x"])]
    else:
        assert texts(found) == lines


@pytest.mark.parametrize(
    ("name", "text", "pins"),
    [
        ("uv.lock", "no toml [", {}),
        ("Pipfile.lock", "no json", {}),
        ("Pipfile.lock", '{"default": {"Six": {"version": "==1.16"}, "git": {"ref": "x"}, "b": 1}}', {"six": "1.16"}),
        ("poetry.lock", '[[package]]\nname = "a"\nversion = "1"\n[[package]]\nname = "a"\nversion = "2"', {}),
    ],
)
def test_a_lock_file_is_a_help_and_no_duty(tmp_path: Path, name: str, text: str, pins: dict[str, str]) -> None:
    (tmp_path / name).write_text(text)
    assert read_lock(tmp_path)[1] == pins


def test_a_text_is_read_by_its_mark_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes("six".encode("utf-16"))
    assert read_text(path, path.name) == "six"
    path.write_bytes("six".encode("utf-16-le"))
    assert read_text(path, path.name) == "six"
    path.write_bytes(b"\xffsix")
    with pytest.raises(EnvironmentFailed, match="save it as UTF-8"):
        read_text(path, path.name)
    path.write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(EnvironmentFailed, match="larger than 1024 KiB"):
        read_text(path, path.name)
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        read_text(tmp_path / "none", "none")


# Python: versions.


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("flask~=1.1", "werkzeug<2.1"),
        ("flask<2.0.0", "werkzeug<2.1"),
        ("flask<=1.9", "werkzeug<2.1"),
        ("flask==1.*", "werkzeug<2.1"),
        ("flask===one", None),
        ("flask>=1", None),
        ("flask", None),
        ("celery<0", "vine<5"),
        ("flask @ https://h.example/flask.tar.gz", None),
    ],
)
def test_an_old_version_limits_what_goes_with_it(line: str, limit: str | None) -> None:
    limits = [item.text for item in with_companions(required(line)).constraints]
    assert limit in limits if limit is not None else limits == []


@pytest.mark.parametrize("own", ["werkzeug>=2.2", "werkzeug @ https://h.example/w.tar.gz"])
def test_what_the_project_asks_for_itself_is_not_limited(own: str) -> None:
    found = with_companions(required("flask==1.1", own))
    assert "werkzeug" not in {item.name for item in found.constraints if ">=" in own}
    assert own in texts(found)


def test_what_has_to_be_there_is_required() -> None:
    assert "pytz" in texts(with_companions(required("django==2.2")))


@pytest.mark.parametrize(
    ("requires", "line", "after"),
    [
        ("no range", 'six; python_version >= "3.90"', 'six; python_version >= "3.90"'),
        ("<3", 'six; python_version >= "3.90"', 'six; python_version >= "3.90"'),
        (">=3.13", 'six==1.16; python_version >= "3.13"', "six==1.16"),
        (">=3.13", 'six; os_name == "nt"', 'six; os_name == "nt"'),
        (">=3.13", "six", "six"),
    ],
)
def test_markers_for_a_newer_python_mean_the_project(requires: str, line: str, after: str) -> None:
    [found] = as_for(required(line), requires).requirements
    assert found.text.replace(" ;", ";") == after


@pytest.mark.parametrize(("requires", "allowed"), [(None, True), ("no range", True), ("<3.11", False), (">3", True)])
def test_a_python_is_allowed_by_what_is_a_range(requires: str | None, allowed: bool) -> None:
    assert allows(requires, HERE) is allowed


async def test_the_python_that_runs_is_found_by_its_path_and_none_that_is_not_there(tmp_path: Path) -> None:
    found = await find_interpreter(sys.executable, offline=True)
    assert found.version == ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(ConfigurationError, match="there is no such Python here"):
        await find_interpreter(str(tmp_path / "python"), offline=True)


async def test_another_python_is_one_of_this_machine_or_none() -> None:
    assert await find_other(">=3.90") is None
    other = await find_other(f">= {sys.version_info[0]}.{sys.version_info[1]}")
    assert other is not None
    assert allows(f">={sys.version_info[0]}.{sys.version_info[1]}", other)


def loosened(why: Explanation, found: RequirementSet, *lines: str, steps: int = 1) -> list[str]:
    """What is said of each step that is taken."""
    loosening, said = Loosening(), []
    for _ in range(steps):
        step = loosening.after(found, why, lines)
        if step is None:
            break
        found = step.required
        said.append(step.sentence)
    return said


def test_a_package_that_another_brings_is_taken_ready_built_once() -> None:
    why = Explanation("x", "build", package="brought")
    said = loosened(why, required("six"), steps=3)
    assert said == ["brought cannot be built here: a version of it that needs no building is taken"]


def test_a_limit_goes_before_the_requirement() -> None:
    why = Explanation("x", "build", package="six")
    said = loosened(why, required("six==1.0", constraints=("six==1.0",)))
    assert said[0].startswith("six==1.0 (uv.lock)")
    assert said[0].endswith("another version is taken")


def test_a_package_that_never_works_is_left_out_in_the_end() -> None:
    said = loosened(Explanation("x", "build", package="six"), required("six==1.0", "idna"), steps=9)
    assert any("six" in sentence and sentence.endswith("it is left out") for sentence in said)


def test_what_the_web_needs_is_never_left_out() -> None:
    said = loosened(Explanation("x", "build", package="flask"), required("flask==1.0"), steps=9)
    assert not any(sentence.endswith("it is left out") for sentence in said)


# Python: what is installed and remembered.


def installed(folder: Path, name: str, text: str) -> Path:
    places = folder / "lib" / "python3.11" / "site-packages"
    (places / name).mkdir(parents=True)
    (places / name / "module.py").write_text(text)
    info = places / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text(f"{name}/module.py,,\n{name}/gone.py,,\n")
    return folder


def test_relics_and_modules_are_found_in_what_is_recorded(tmp_path: Path) -> None:
    installed(tmp_path, "old", "from collections import Mapping\n")
    installed(tmp_path, "res", "import pkg_resources\n")
    (tmp_path / "lib" / "python3.11" / "site-packages" / "norecord-1.0.dist-info").mkdir()
    assert find_relics(tmp_path, "3.11.7") == [
        RemovedApiUse("old", "collections.Mapping"),
        RemovedApiUse("res", "pkg_resources"),
    ]
    offered = read_offered(tmp_path)
    assert offered.has("old.module", "")
    assert offered.has("", "norecord>=1")
    assert not offered.has("norecord", "")


def test_a_request_is_remembered_until_its_files_change(tmp_path: Path) -> None:
    memory = RequestMemory()
    request = EnvironmentRequest(write(tmp_path, requirements__txt="six\n", **{"x.lock": "x" * 3_000_000}))
    first = memory.read(request)
    assert memory.read(request) is first
    write(tmp_path, requirements__txt="idna\n")
    assert texts(memory.read(request).required) == ["idna"]


async def test_a_lock_on_a_file_that_was_removed_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = try_lock(path, exclusive=True)
    assert held is not None
    assert try_lock(path, exclusive=False) is None
    taken = trio.Event()

    async def take() -> None:
        (await lock(path, exclusive=False)).release()
        taken.set()

    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            held.remove()
            held.release()
            held.release()
            await taken.wait()


class Uv:
    """A stand-in for the installer: what it answers, one after the other."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self._answers = deque(answers)
        self.offline: list[bool] = []

    async def __call__(self, *_: object, offline: bool, say: object = None, **__: object) -> ProgramResult:
        await trio.lowlevel.checkpoint()
        self.offline.append(offline)
        code, line = self._answers.popleft()
        if callable(say):
            say(line)
        return ProgramResult(code, deque([line]))


UNREACHABLE = "error: Failed to fetch: `https://h.example/simple/six/`: dns error"


async def install(tmp_path: Path, uv: Uv, monkeypatch: pytest.MonkeyPatch, *lines: str) -> Said:
    said = Said()
    python = PythonInterpreter("/usr/bin/python3", "3.11.7", "")
    monkeypatch.setattr("preview.environments.python.installer.run_uv", uv)
    recipe = Recipe("key", required(*lines), python, None)
    await Installation(recipe, tmp_path, said, None, offline=False, patience_s=LIMIT_S).run(())
    return said


async def test_without_the_index_the_cache_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv((1, UNREACHABLE), (0, "from the cache"))
    said = await install(tmp_path, uv, monkeypatch, "six")
    assert uv.offline == [False, True]
    assert said.lines[-2:] == [
        ("the package index cannot be reached: trying with what is in the package cache", logging.WARNING),
        ("from the cache", logging.INFO),
    ]


async def test_without_index_and_cache_the_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFailed) as caught:
        await install(tmp_path, Uv((1, UNREACHABLE), (1, "error: not cached")), monkeypatch, "six")
    assert caught.value.details["reason"] == "network"


async def test_what_is_pinned_is_looked_for_in_the_cache_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv((0, "cached"))
    said = await install(tmp_path, uv, monkeypatch, "six==1.16")
    assert uv.offline == [True]
    assert said.text == "cached"


async def test_nothing_required_installs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = Uv()
    assert (await install(tmp_path, uv, monkeypatch)).lines == []
    assert uv.offline == []


async def test_a_package_that_wants_pkg_resources_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "res", "import pkg_resources\n")
    said = await install(tmp_path, Uv(*((0, "done") for _ in range(2))), monkeypatch, "res==1.0")
    assert 'setuptools<81 is added: res imports "pkg_resources"' in said.text
    assert "setuptools<81" in (tmp_path / "requirements.txt").read_text()


async def test_a_package_that_uses_what_is_gone_is_loosened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "old", "from collections import Mapping\n")
    said = await install(tmp_path, Uv(*((0, "done") for _ in range(8))), monkeypatch, "old==1.0")
    assert "old==1.0 (requirements.txt line 1) uses collections.Mapping, which this Python lacks" in said.text


ODD = ProjectRequirement("odd !! line; x", "odd", frozenset(), False, "requirements.txt line 1", "odd", applies=False)


def test_a_requirement_that_nobody_can_parse_stays_as_it_is() -> None:
    found = RequirementSet((ODD,))
    assert as_for(found, ">=3.13").requirements == (ODD,)
    flask = replace(ODD, name="flask", applies=True)
    assert with_companions(RequirementSet((flask,))).constraints == ()
    werkzeug = replace(ODD, name="werkzeug")
    limits = with_companions(RequirementSet((*required("flask==1.1").requirements, werkzeug))).constraints
    assert "werkzeug" not in {item.name for item in limits}


def test_what_a_package_uses_that_is_gone_is_a_reason_to_loosen_it_twice() -> None:
    loosening = Loosening()
    step = loosening.away_from(required("old==1.0"), "old", "asyncio.coroutine")
    assert step is not None
    assert "uses asyncio.coroutine, which this Python lacks" in step.sentence
    assert [item.text for item in step.required.requirements] == ["old<2,>=1.0"]
    again = loosening.away_from(step.required, "old", "asyncio.coroutine")
    assert again is not None
    assert [item.text for item in again.required.requirements] == ["old>=1.0"]
    assert loosening.away_from(again.required, "old", "asyncio.coroutine") is None
    assert loosening.away_from(step.required, "other", "asyncio.coroutine") is None


@pytest.mark.parametrize(
    ("marker", "size", "decisions"),
    [
        ("no json", 0, []),
        ("{}", 0, []),
        ('{"size_bytes": "7", "decisions": 1}', 0, []),
        ('{"size_bytes": 7, "decisions": ["a", 1]}', 7, ["a"]),
    ],
)
def test_a_marker_is_read_as_far_as_it_goes(tmp_path: Path, marker: str, size: int, decisions: list[str]) -> None:
    layout = Layout(tmp_path)
    measure_and_protect(write(layout.directory("key"), old="x"), {})
    (layout.directory("key") / "preview.json").write_text(marker)
    assert (layout.size_bytes("key"), layout.decisions("key")) == (size, decisions)


async def test_a_project_for_another_python_is_tried_with_this_one(tmp_path: Path) -> None:
    project = write(tmp_path / "p", pyproject__toml='[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.90"')
    (project / "requirements.txt").write_text('six; python_version >= "3.90"\n')
    cache = EnvironmentCache(Settings(cache_dir=tmp_path / "cache", uv_offline=True))
    said = Said()
    with pytest.raises(EnvironmentFailed), trio.fail_after(LIMIT_S):
        async with cache.open_environment(EnvironmentRequest(project, extra=("no-such-package==9",)), said):
            pass
    assert "The project requires Python >=3.90" in said.text
