"""Secrets in files, as Docker, Kubernetes and systemd provide them."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

from preview.cli.doctor.bundle import secrets_of
from preview.core.env_file import EnvFile
from preview.errors import ConfigurationError
from preview.settings import Settings, load_settings
from preview.settings_secrets import SECRET_FIELDS

SECRET = "sesame-sesame-sesame-sesame-sesame-sesame"


def file(folder: Path, content: str | bytes = f"{SECRET}\n") -> str:
    path = folder / "a secret"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def text_of(settings: Settings, field: str) -> str:
    value = getattr(settings, field)
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


@pytest.mark.parametrize("field", ["database_url", "jwt_secret", "jwks_url", "log_shipping", "otlp_headers"])
def test_a_secret_is_read_from_its_file(field: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(f"PREVIEW_{field.upper()}_FILE", file(tmp_path))
    settings = load_settings()
    assert text_of(settings, field) == SECRET
    assert SECRET not in repr(settings) or field == "jwks_url"
    assert SECRET in secrets_of(settings, os.environ) or field == "jwks_url"


def test_each_secret_of_the_settings_may_stand_in_a_file() -> None:
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    addresses = {"mongodb", "mysql", "postgres", "jwks_url"}
    assert set(SECRET_FIELDS) == secret | addresses


def test_an_address_with_a_password_and_keys_one_a_line_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PREVIEW_POSTGRES", raising=False)
    monkeypatch.setenv("PREVIEW_POSTGRES_FILE", file(tmp_path, "postgresql://admin:sesame@db.example\n"))
    found = load_settings().postgres
    assert not isinstance(found, str)
    assert (found.host, found.password) == ("db.example", "sesame")
    monkeypatch.delenv("PREVIEW_POSTGRES_FILE")
    monkeypatch.setenv("PREVIEW_SEALING_KEYS_FILE", file(tmp_path, f"{SECRET}\nold-{SECRET}\n"))
    assert text_of(load_settings(), "sealing_keys") == f"{SECRET},old-{SECRET}"


def test_the_environment_wins_over_the_env_file_in_either_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = EnvFile(tmp_path / ".env", {"PREVIEW_JWT_SECRET": "listed"})
    monkeypatch.setenv("PREVIEW_JWT_SECRET_FILE", file(tmp_path))
    assert text_of(load_settings(listed), "jwt_secret") == SECRET
    monkeypatch.delenv("PREVIEW_JWT_SECRET_FILE")
    monkeypatch.setenv("PREVIEW_JWT_SECRET", "outer")
    assert (
        text_of(load_settings(EnvFile(listed.path, {"PREVIEW_JWT_SECRET_FILE": "/nowhere"})), "jwt_secret") == "outer"
    )
    assert text_of(load_settings(listed, jwt_secret="given"), "jwt_secret") == "given"
    monkeypatch.delenv("PREVIEW_JWT_SECRET")
    listed = EnvFile(tmp_path / ".env", {"PREVIEW_JWT_SECRET_FILE": file(tmp_path)})
    assert text_of(load_settings(listed), "jwt_secret") == SECRET


def test_a_secret_and_its_file_contradict_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREVIEW_JWT_SECRET_FILE", file(tmp_path))
    monkeypatch.setenv("PREVIEW_JWT_SECRET", SECRET)
    with pytest.raises(ConfigurationError, match=r"PREVIEW_JWT_SECRET and PREVIEW_JWT_SECRET_FILE are both set"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"sesame\xff", "is not UTF-8 text"),
        (b"sesame\0sesame", "has a NUL character"),
        (b"sesame" * 20_000, "is longer than 64 KiB"),
    ],
)
def test_a_file_without_a_secret_is_one_sentence(
    content: bytes, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREVIEW_JWT_SECRET_FILE", file(tmp_path, content))
    with pytest.raises(ConfigurationError, match=f"^PREVIEW_JWT_SECRET_FILE: .*{said}") as caught:
        load_settings()
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


def test_what_is_no_file_does_not_stop_the_start_forever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("pipe", "not a regular file"), (".", "not a regular file"), ("none", "No such file")):
        monkeypatch.setenv("PREVIEW_DATABASE_URL_FILE", str(tmp_path / name))
        with pytest.raises(ConfigurationError, match=said):
            load_settings()
