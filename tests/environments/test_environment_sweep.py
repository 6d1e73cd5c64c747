"""A folder that the code of packages has written in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preview.environments.sandbox.sweep import outward_links, sweep
from preview.environments.way_out.leading import named_paths, own_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "environment"
    (folder / "bin").mkdir(parents=True)
    return folder


def test_links_that_lead_out_go_and_others_stay(folder: Path) -> None:
    (folder / "out").symlink_to("/etc/hostname")
    (folder / "up").symlink_to("../elsewhere")
    (folder / "nowhere").symlink_to(folder.parent / "not-yet-there")
    (folder / "lib64").symlink_to("bin")
    (folder / "far").symlink_to(folder / "bin")
    sweep(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["bin", "far", "lib64"]


def test_a_link_that_leads_out_by_way_of_another_goes(folder: Path) -> None:
    (folder / "a").symlink_to("/etc")
    (folder / "b").symlink_to("a/hostname")
    sweep(folder)
    # Without the other one it leads nowhere but inside.
    assert not (folder / "b").exists()


def test_the_interpreters_links_stay_as_they_were(folder: Path) -> None:
    (folder / "bin" / "python").symlink_to("/usr/bin/env")
    (folder / "bin" / "python3").symlink_to("python")
    kept = outward_links(folder / "bin")
    sweep(folder, kept)
    assert (folder / "bin" / "python3").resolve() == Path("/usr/bin/env").resolve()
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to("/usr/bin/true")
    sweep(folder, kept)
    assert not (folder / "bin" / "python").is_symlink()


def test_what_would_block_a_reader_goes(folder: Path) -> None:
    os.mkfifo(folder / "bin" / "pipe")
    sweep(folder)
    assert not list((folder / "bin").iterdir())


def test_what_variables_of_installers_name_is_found(tmp_path: Path) -> None:
    wheels, certificates = tmp_path / "wheels", tmp_path / "ca.pem"
    wheels.mkdir()
    certificates.write_text("x")
    variables = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin",
        "SSL_CERT_FILE": str(certificates),
        "UV_FIND_LINKS": f"https://example.org/x,{wheels}",
        "UV_INDEX": f"own=file://{wheels}",
        "UV_CONFIG_FILE": "/not/there",
        "UV_CACHE_DIR": "/usr",
    }
    assert named_paths(variables) == [certificates, wheels]


def test_a_variable_never_shows_the_home_folder_or_what_it_lies_in(tmp_path: Path) -> None:
    variables = {"HOME": str(tmp_path / "home"), "UV_FIND_LINKS": f"{tmp_path} {tmp_path / 'home'} /"}
    (tmp_path / "home").mkdir()
    assert named_paths(variables) == []


def test_settings_of_the_user_are_found_where_xdg_says(tmp_path: Path) -> None:
    found = own_settings({"HOME": "/home/ann", "XDG_CONFIG_HOME": "/config"}, tmp_path)
    assert found[tmp_path / ".config" / "uv"] == Path("/config/uv")
    assert found[tmp_path / ".netrc"] == Path("/home/ann/.netrc")
