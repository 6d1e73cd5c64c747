"""Node's files, made to keep their reader busy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preview.sources import Sources
from preview.sources.node_package import find_entry, read_node_packages
from preview.sources.tsconfig import TsConfig, read_tsconfig


def test_scripts_that_all_name_each_other_come_to_an_end(tmp_path: Path) -> None:
    names = ["start", *(f"s{number}" for number in range(20))]
    every = " && ".join(f"npm run {name}" for name in names)
    (tmp_path / "package.json").write_text(json.dumps({"scripts": dict.fromkeys(names, every)}))
    sources = Sources(tmp_path)
    assert find_entry(read_node_packages(sources)[0], sources) is None


def test_a_main_file_outside_the_project_is_none(tmp_path: Path) -> None:
    (tmp_path / "server.js").write_text("express().listen(1)")
    folder = tmp_path / "project"
    folder.mkdir()
    content = {"main": "../server.js", "scripts": {"start": "node ../server.js"}}
    (folder / "package.json").write_text(json.dumps(content))
    sources = Sources(folder)
    assert find_entry(read_node_packages(sources)[0], sources) is None


def test_a_tsconfig_that_extends_itself_often_comes_to_an_end(tmp_path: Path) -> None:
    content = {"extends": ["./tsconfig.json"] * 100, "compilerOptions": {"outDir": "dist"}}
    (tmp_path / "tsconfig.json").write_text(json.dumps(content))
    assert read_tsconfig(Sources(tmp_path), ".").out_dir == "dist"


def test_a_specifier_leads_to_the_targets_of_its_longest_pattern() -> None:
    paths = {"@/*": ("src/*",), "@/api/*": ("api/*", "more/api/*"), "~env": ("src/env.ts",), "#*": ("../other/*",)}
    config = TsConfig(base_url="lib", paths=paths)
    assert config.candidates("@/api/users") == ("api/users", "more/api/users", "lib/@/api/users")
    assert TsConfig(paths=paths).candidates("@/users") == ("src/users",)
    assert TsConfig(paths=paths).candidates("~env") == ("src/env.ts",)
    assert TsConfig(paths=paths).candidates("#x") == TsConfig(paths=paths).candidates("express") == ()


def test_of_many_patterns_the_first_hundreds_are_read(tmp_path: Path) -> None:
    paths = {f"@{number}/*": ["src/*"] for number in range(400)} | {"@0/*": ["src/*"] * 400}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": {"paths": paths}}))
    found = read_tsconfig(Sources(tmp_path), ".").paths
    assert (len(found), len(found["@0/*"])) == (300, 10)


def write_monorepo(folder: Path, script: str, config: object) -> str | None:
    """Write NestJS's two applications; return the entry that is found."""
    for name in ("barns", "herds"):
        (folder / "apps" / name / "src").mkdir(parents=True)
        (folder / "apps" / name / "src" / "main.ts").write_text("app.listen(1)")
    (folder / "nest-cli.json").write_text(json.dumps(config))
    package = {"scripts": {"start": script}, "dependencies": {"@nestjs/core": "^10.0.0"}}
    (folder / "package.json").write_text(json.dumps(package))
    sources = Sources(folder)
    found = find_entry(read_node_packages(sources)[0], sources)
    return found.file if found is not None else None


PROJECTS = {name: {"sourceRoot": f"apps/{name}/src", "entryFile": "main"} for name in ("barns", "herds")}
HERDS = "apps/herds/src/main.ts"


@pytest.mark.parametrize("script", ["nest start", "set SCOPE=dev && nest start --watch", "nest start herds -b swc"])
def test_an_application_of_a_monorepo_is_that_of_its_configuration(tmp_path: Path, script: str) -> None:
    first = "barns" if "herds" in script else "herds"
    config = {"monorepo": True, "sourceRoot": f"apps/{first}/src", "projects": PROJECTS}
    assert write_monorepo(tmp_path, script, config) == HERDS


def test_a_built_application_of_a_monorepo_has_its_source(tmp_path: Path) -> None:
    assert write_monorepo(tmp_path, "node dist/apps/herds/main", {}) == HERDS


@pytest.mark.parametrize("config", [[], {"sourceRoot": 1, "projects": [1]}, {"sourceRoot": "../..", "entryFile": {}}])
def test_a_configuration_of_nest_without_sense_names_no_file(tmp_path: Path, config: object) -> None:
    assert write_monorepo(tmp_path, "nest start herds", config) is None
