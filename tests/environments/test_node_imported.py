"""Packages of a Node project that has no ``package.json``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from registry_kit import open_registry
from test_node_environment import run_node

from preview.environments import EnvironmentRequest
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.imported import find_imported_packages, package_of
from preview.environments.node.manifest import read_node_manifest
from preview.environments.node.modules import place_modules
from preview.settings import Settings
from preview.sources import Sources


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_what_the_scripts_load_is_required_and_nothing_else(tmp_path: Path) -> None:
    code = """
        const express = require('express'); const fs = require("fs"); const own = require('./lib/own');
        import cors, { x } from 'cors'; import 'dotenv/config'; import type { T } from 'types-only';
        import * as path from 'node:path'; const sql = await import('@scope/sql/part'); export { y } from 'yaml';
        try { require('bufferutil') } catch {}
        require(name); require('../outside'); require('/etc/passwd'); require('UPPER'); require('a b');
        require('fs/promises');
    """
    write(tmp_path, server_js=code, lib__own_js="require('knex'); require('./own'); require('..')")
    write(tmp_path, jest_config_js="require('jest')", web__page_js="require('react')", server_test_js="require('tap')")
    assert find_imported_packages(Sources(tmp_path)) == ("@scope/sql", "cors", "dotenv", "express", "knex", "yaml")


@pytest.mark.parametrize("extra", [(), ("express",), ("express@^4",)])
def test_the_manifest_that_is_made_is_the_same_whoever_else_names_a_package(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    write(tmp_path, index_js="require('express')")
    manifest = read_node_manifest(tmp_path, extra)
    assert manifest.packages["."]["dependencies"] == {"express": "*"}
    assert manifest.notes == ("there is no package.json: installing the packages that the files import (express)",)


def test_files_that_load_nothing_require_nothing(tmp_path: Path) -> None:
    write(tmp_path, index_js="require('http').createServer()")
    manifest = read_node_manifest(tmp_path)
    assert manifest.is_empty
    assert "requires nothing" in manifest.notes[0]


@given(st.text(max_size=300))
def test_no_specifier_becomes_an_option_a_path_or_an_address(specifier: str) -> None:
    name = package_of(specifier)
    assert name is None or (not name.startswith(("-", ".", "/")) and ":" not in name and ".." not in name.split("/"))


async def test_a_script_without_a_manifest_finds_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write(project, index_js="console.log(require('tiny'))")
    cache = NodeEnvironmentCache(Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with open_registry({"tiny": {"1.0.0": {}, "2.0.0": {}}}) as address, trio.fail_after(90):
        monkeypatch.setenv("npm_config_registry", address)
        async with cache.open_environment(EnvironmentRequest(project), lambda _line, _level: None) as environment:
            place_modules(environment.directory, project)
            assert run_node(environment, project, "console.log(require('tiny'))") == "2.0.0"


async def test_a_tool_for_developers_that_does_not_exist_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    package = {"dependencies": {"tiny": "^1"}, "devDependencies": {"gone": "9.9.9", "never": "1"}}
    write(project, index_js="require('tiny'); require('gone'); require('never')", package_json=json.dumps(package))
    cache = NodeEnvironmentCache(Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    said: list[str] = []
    with open_registry({"tiny": {"1.0.0": {}}, "gone": {"1.0.0": {}}}) as address, trio.fail_after(90):
        monkeypatch.setenv("npm_config_registry", address)
        async with cache.open_environment(
            EnvironmentRequest(project), lambda line, _level: said.append(line)
        ) as environment:
            place_modules(environment.directory, project)
            assert run_node(environment, project, "console.log(require('tiny'))") == "1.0.0"
    assert "gone 9.9.9 (devDependencies) does not exist: it is left out" in said
    assert "never 1 (devDependencies) does not exist: it is left out" in said


def test_a_replaced_release_counts_in_place_of_the_declared_one(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"sharp": "0.30.7", "express": "^4"}}')
    manifest = read_node_manifest(tmp_path, ("sharp@>=0.33.5", "express@^5"))
    assert manifest.packages["."]["dependencies"] == {"sharp": ">=0.33.5", "express": "^4"}
