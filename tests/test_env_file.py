"""The operator's ``.env``: read where it is theirs, and never where a stranger may have written it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from preview.core.env_file import EnvFile, find_env_file, find_env_file_beside
from preview.core.isolation import Isolation
from preview.errors import ConfigurationError
from preview.settings import load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "service"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / ".env"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o644)
    return path


def test_its_preview_names_are_read_and_others_are_not(folder: Path) -> None:
    text = (
        "# a comment\n\nexport PREVIEW_PORT_MIN=4000\nPREVIEW_PORT_MAX=4001\nPREVIEW_MAX_UPTIME='60.5'\n"
        'preview_bind = "127.0.0.1:9000" # x\n'
        "PREVIEW_ALLOWED_HOSTS=a.example,b.example\nPREVIEW_NEWER=1\nDATABASE_URL=postgresql://other\nPREVIEW_DOMAIN=\n"
        "PREVIEW_PUBLIC_URL=https://${HOME}.example\nPREVIEW_LOG_LEVEL=warn\n"
    )
    write(folder, text)
    settings = load_settings(find_env_file())
    assert (settings.port_min, settings.max_uptime_s, settings.bind) == (4000, 60.5, "127.0.0.1:9000")
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert (settings.domain, settings.database_url, settings.log_level) == (None, None, "WARNING")
    assert settings.public_url == "https://${HOME}.example", "values stand for themselves"


def test_the_environment_wins_and_an_option_wins_over_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "PREVIEW_PORT_MIN=4000\nPREVIEW_PORT_MAX=4100\nPREVIEW_MAX_PREVIEWS=7\n")
    monkeypatch.setenv("PREVIEW_PORT_MIN", "4050")
    monkeypatch.setenv("PREVIEW_MAX_PREVIEWS", "")
    settings = load_settings(find_env_file(), port_max=4060)
    assert (settings.port_min, settings.port_max, settings.max_previews) == (4050, 4060, 7)


def test_a_wrong_value_in_it_is_told_as_one_of_the_environment(folder: Path) -> None:
    write(folder, "PREVIEW_PORT_MIN=http\n")
    with pytest.raises(ConfigurationError, match=r"^PREVIEW_PORT_MIN: .*\(got 'http'\)$"):
        load_settings(find_env_file())


def test_a_secret_in_it_is_not_shown(folder: Path) -> None:
    write(folder, "PREVIEW_DATABASE_URL=mysql://user:sesame@host/x\nPREVIEW_JWT_SECRET=sesame\n")
    file = find_env_file()
    assert file is not None
    assert "sesame" not in str(load_settings(file))


@pytest.mark.parametrize("text", ["", "DEBUG=1\n"])
def test_a_file_without_our_names_changes_nothing(folder: Path, text: str) -> None:
    write(folder, text)
    assert load_settings(find_env_file()) == load_settings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A=1\n\nthis is no line of such a file\n", "line 3 is not NAME=VALUE"),
        ('PREVIEW_BIND="unclosed\n', "line 1 is not NAME=VALUE"),
        (b"PREVIEW_BIND=\xff\xfe\n", "not UTF-8"),
        ("PREVIEW_DATA_DIR=a\0b\n", "NUL"),
        ("#" * 300_000, "larger than 256 KiB"),
    ],
)
def test_what_cannot_be_read_is_one_clear_sentence(folder: Path, text: str | bytes, why: str) -> None:
    path = write(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        find_env_file()
    assert str(path) in caught.value.message
    assert why in caught.value.message
    assert "\n" not in caught.value.message


def test_a_pipe_does_not_hold_the_start_up(folder: Path) -> None:
    os.mkfifo(folder / ".env")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        find_env_file()


def test_a_folder_of_that_name_is_none(folder: Path) -> None:
    assert find_env_file() is None
    (folder / ".env").mkdir()
    assert find_env_file() is None


def test_a_file_that_every_user_may_write_is_skipped(folder: Path) -> None:
    write(folder, "PREVIEW_ISOLATION=plain\n").chmod(0o666)
    assert find_env_file() == EnvFile(folder / ".env", skipped="it is writable by every user of this machine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_file_or_link_of_another_user_is_skipped(folder: Path, tmp_path: Path) -> None:
    """Somebody else's ``/tmp/.env``, or their link to a file of ours."""
    path = write(folder, "PREVIEW_ISOLATION=plain\n")
    os.chown(path, 12345, 12345)
    assert find_env_file() == EnvFile(path, skipped="it belongs to another user")
    os.chown(path, 0, 0)
    path.rename(tmp_path / "ours")
    path.symlink_to(tmp_path / "ours")
    assert (found := find_env_file()) is not None
    assert found.values == {"PREVIEW_ISOLATION": "plain"}
    os.chown(path, 12345, 12345, follow_symlinks=False)
    assert find_env_file() == EnvFile(path, skipped="it belongs to another user")


@pytest.mark.parametrize(
    ("working", "project"), [(".", "."), (".", "backend"), (".", "a/b"), ("sub", ".."), ("sub", "../sub")]
)
def test_a_project_s_file_does_not_configure_its_own_launch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, working: str, project: str
) -> None:
    """``cd downloaded; preview run .`` and its relatives: the file came with the project."""
    for name in ("backend", "a/b", "sub"):
        (folder / name).mkdir(parents=True)
    monkeypatch.chdir(folder / working)
    path = write(Path.cwd(), "PREVIEW_ISOLATION=plain\nPREVIEW_ENVIRONMENT_PYTHON=./evil\n")
    found = find_env_file_beside(Path(project))
    assert found == EnvFile(path, skipped="it may be part of the project that is launched")
    assert load_settings(found).isolation is Isolation.AUTO
    write(Path.cwd(), "PREVIEW_BIND='unclosed\n")
    assert find_env_file_beside(Path(project)) is None, "nor does it keep the project from being launched"
    write(Path.cwd(), "DATABASE_URL=x\n")
    assert find_env_file_beside(Path(project)) is None, "nothing is to be said of a project's ordinary file"


def test_a_link_to_the_project_is_the_project(folder: Path, tmp_path: Path) -> None:
    write(folder, "PREVIEW_ISOLATION=plain\n")
    (tmp_path / "link").symlink_to(folder)
    found = find_env_file_beside(tmp_path / "link")
    assert found is not None
    assert found.values == {}


def test_a_project_elsewhere_is_launched_with_the_person_s_settings(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "elsewhere"
    project.mkdir()
    write(folder, "PREVIEW_MAX_PREVIEWS=3\n")
    write(project, "PREVIEW_MAX_PREVIEWS=99\nPREVIEW_ISOLATION=plain\n")
    settings = load_settings(find_env_file_beside(project))
    assert (settings.max_previews, settings.isolation) == (3, Isolation.AUTO)
