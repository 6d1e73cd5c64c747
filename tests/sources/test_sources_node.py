"""Node's files, made to keep their reader busy."""

from __future__ import annotations

import json
from pathlib import Path

from preview.sources import Sources
from preview.sources.node_package import find_entry, read_node_packages
from preview.sources.tsconfig import read_tsconfig


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
