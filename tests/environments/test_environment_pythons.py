"""Which Pythons of a machine are found, wherever those who manage versions put them."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from preview.environments.folders.layout import Layout
from preview.environments.python.choosing import Choice, find_newer
from preview.environments.sandbox import installed
from preview.environments.sandbox.installed import find_installed, look_at
from preview.errors import ConfigurationError
from preview.settings import load_settings

TWELVE = range(12, 13)


def write_python(folder: Path, version: str, *, name: str = "", says: Any = None, does: str = "") -> Path:
    """A program that is called as a Python is, and answers what it is asked."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"python{version.rpartition('.')[0]}")
    answer = says if says is not None else [version, "linux-x86_64", "/home", "CPython", False, ["sys", "typing"], []]
    path.write_text(f"#!/bin/sh\n{does or f'''echo '{json.dumps(answer)}' '''}\n")
    path.chmod(0o755)
    return path


async def found(variables: dict[str, str], minors: range = TWELVE, requires: str = "") -> str | None:
    with trio.fail_after(60):
        one = await find_installed(minors, requires, variables)
    return None if one is None else one.interpreter.request


async def test_what_is_on_the_path_comes_first(tmp_path: Path) -> None:
    there = write_python(tmp_path / "bin", "3.12.1")
    write_python(tmp_path / ".pyenv/versions/3.12.9/bin", "3.12.9")
    assert await found({"PATH": f"relative:{tmp_path / 'bin'}", "HOME": str(tmp_path)}) == str(there)


@pytest.mark.parametrize(
    ("variable", "root", "below"),
    [
        ("PYENV_ROOT", ".pyenv", "versions/3.12.1"),
        ("MISE_DATA_DIR", ".local/share/mise", "installs/python/3.12"),
        ("ASDF_DATA_DIR", ".asdf", "installs/python/3.12.1"),
        ("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python", "cpython-3.12.1-linux-x86_64-gnu"),
    ],
)
async def test_those_that_manage_versions_are_looked_at(tmp_path: Path, variable: str, root: str, below: str) -> None:
    usual = write_python(tmp_path / root / below / "bin", "3.12.1")
    named = write_python(tmp_path / "named" / below / "bin", "3.12.1")
    assert await found({"PATH": "", "HOME": str(tmp_path)}) == str(usual)
    assert await found({"PATH": "", "HOME": str(tmp_path), variable: str(tmp_path / "named")}) == str(named)
    assert await found({"PATH": "", variable: str(tmp_path / "named")}) == str(named)


async def test_of_one_minor_version_the_newest_is_taken(tmp_path: Path) -> None:
    for version in ("3.12.9", "3.12.10", "3.12.2", "3.1.2", "3.13.0", "miniconda3-3.12", "3.12.99t"):
        write_python(
            tmp_path / "versions" / version / "bin", "3.12.1", says=[version, "x", "x", "CPython", False, [], []]
        )
    expected = tmp_path / "versions" / "3.12.10" / "bin" / "python3.12"
    assert await found({"PATH": "", "PYENV_ROOT": str(tmp_path)}) == str(expected)


async def test_a_manager_s_shim_is_not_taken_for_a_python(tmp_path: Path) -> None:
    write_python(tmp_path / "shims", "3.12.1")
    assert await found({"PATH": str(tmp_path / "shims")}) is None


@pytest.mark.parametrize(
    ("says", "does"),
    [
        (["3.12.1", "x", "x", "PyPy", False, [], []], ""),
        (["3.12.1", "x", "x", "CPython", True, [], []], ""),
        (["3.11.1", "x", "x", "CPython", False, [], []], ""),
        (["3.12.1"], ""),
        (None, "echo garbage"),
        (None, "exit 0"),
        (None, """echo '["3.12.1", "x", "x", "CPython", false, [], []]'; exit 3"""),
        (["3.12.1+", "x", "x", "CPython", False, [], []], ""),
        ([3.12, "x", "x", "CPython", False, [], []], ""),
        (None, "head -c 3000 /dev/zero | tr '\\0' '['"),
    ],
    ids=["PyPy", "no lock", "another", "too little", "garbage", "nothing", "fails", "between", "number", "deep"],
)
async def test_what_is_no_such_python_is_passed_over(tmp_path: Path, says: Any, does: str) -> None:
    write_python(tmp_path / "first", "3.12.1", says=says, does=does)
    good = write_python(tmp_path / "second", "3.12.2")
    assert await found({"PATH": f"{tmp_path / 'first'}:{tmp_path / 'second'}"}) == str(good)


async def test_one_that_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "_PATIENCE_S", 0.1)
    path = write_python(tmp_path, "3.12.1", does="exec sleep 600")
    with trio.fail_after(60):
        assert await look_at(path) is None


async def test_the_nearest_version_is_taken_and_only_one_that_the_project_allows(tmp_path: Path) -> None:
    write_python(tmp_path, "3.13.1")
    write_python(tmp_path, "3.12.1")
    variables = {"PATH": str(tmp_path)}
    assert await found(variables, range(12, 15)) == str(tmp_path / "python3.12")
    assert await found(variables, range(12, 15), ">=3.12.2") == str(tmp_path / "python3.13")
    assert await found(variables, range(12, 15), ">=3.14") is None


async def test_one_that_was_built_without_a_part_is_not_taken_for_all(tmp_path: Path) -> None:
    write_python(tmp_path / "first", "3.12.1", says=["3.12.1", "x", "x", "CPython", False, [], ["_sqlite3"]])
    good = write_python(tmp_path / "second", "3.12.2")
    variables = {"PATH": f"{tmp_path / 'first'}:{tmp_path / 'second'}"}
    found = await find_installed(TWELVE, "", variables, whole=True)
    assert found is not None
    assert found.interpreter.request == str(good)
    asked_for = await find_installed(TWELVE, "", variables)
    assert asked_for is not None
    assert asked_for.lacks == {"_sqlite3"}


async def test_want_of_descriptors_is_not_taken_for_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    write_python(tmp_path, "3.12.1")
    monkeypatch.setattr(installed, "run_program", fails)
    with pytest.raises(OSError, match="too many"):
        await find_installed(TWELVE, "", {"PATH": str(tmp_path)})


async def test_a_python_before_3_10_is_found_too(tmp_path: Path) -> None:
    one = await find_installed(range(8, 10))
    if one is None:
        pytest.skip("none is installed")
    assert one.interpreter.version.startswith(("3.8.", "3.9."))
    assert one.modules == frozenset()


async def test_a_real_python_tells_what_it_brings() -> None:
    with trio.fail_after(60):
        one = await look_at(Path(sys.executable))
    assert one is not None
    assert one.interpreter.version == ".".join(map(str, sys.version_info[:3]))
    assert one.modules == sys.stdlib_module_names


async def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert await look_at(tmp_path / "python") is None


async def test_a_service_whose_own_python_shares_looks_for_no_other() -> None:
    newer = await find_newer()
    assert newer is None or sys.version_info < (3, 12) <= tuple(map(int, newer.interpreter.version.split(".")))


async def test_a_configured_version_is_found_where_uv_does_not_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_python(tmp_path / "versions/3.10.77/bin", "3.10.77")
    for name, value in {"PYENV_ROOT": str(tmp_path), "PATH": os.defpath, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(data_dir=tmp_path, environment_python="3.10", uv_offline=True)
    with trio.fail_after(60):
        [only] = await Choice(settings, Layout(tmp_path), is_held=True).usual()
    assert (only.request, only.version) == (str(path), "3.10.77")
    absent = load_settings(data_dir=tmp_path, environment_python="3.77", uv_offline=True)
    with trio.fail_after(60), pytest.raises(ConfigurationError, match=r"PREVIEW_ENVIRONMENT_PYTHON=3\.77"):
        await Choice(absent, Layout(tmp_path), is_held=True).usual()
